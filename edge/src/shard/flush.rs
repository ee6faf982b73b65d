//! When the connections that have something to send are written. A pure decision.
//!
//! Merging writes is the only large lever on cost, and costs latency; so a quiet shard writes at once and a
//! busy one collects (ARCHITECTURE.md, "Writing").

use std::time::Duration;

/// Up to so many dirty connections are written on the spot.
pub const INLINE_MAX: usize = 8;

/// The longest that a busy shard collects.
const SPACING_MAX: Duration = Duration::from_millis(20);

/// When to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Now, in the turn that made the connections dirty.
    Inline,
    /// Once, after everything else that is ready has run.
    NextTurn,
    /// Not before this has passed since the last flush.
    Paced(Duration),
}

/// Decides for `dirty` connections on a shard that was busy for `busy_percent` of its recent time.
#[must_use]
pub fn decide(dirty: usize, busy_percent: u32) -> Flush {
    if busy_percent > 50 {
        let share = busy_percent.min(100) - 50;
        return Flush::Paced(SPACING_MAX * share / 50);
    }
    if dirty <= INLINE_MAX {
        Flush::Inline
    } else {
        Flush::NextTurn
    }
}

/// How busy a shard was lately, in percent of wall time.
#[derive(Debug, Default)]
pub struct Load {
    busy: Duration,
    percent: u32,
}

impl Load {
    const WINDOW: Duration = Duration::from_millis(100);

    /// Adds work that was just done.
    pub fn add(&mut self, worked: Duration) {
        self.busy += worked;
    }

    /// Closes the window if it is over; true if it was.
    pub fn roll(&mut self, elapsed: Duration) -> bool {
        if elapsed < Self::WINDOW {
            return false;
        }
        let percent = self.busy.as_micros() * 100 / elapsed.as_micros().max(1);
        self.percent = u32::try_from(percent).unwrap_or(100).min(100);
        self.busy = Duration::ZERO;
        true
    }

    /// The last window's figure.
    #[must_use]
    pub fn percent(&self) -> u32 {
        self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_shard_writes_small_fan_outs_inline_and_large_ones_once_per_turn() {
        assert_eq!(decide(8, 0), Flush::Inline);
        assert_eq!(decide(9, 50), Flush::NextTurn);
    }

    #[test]
    fn a_busy_shard_collects_the_longer_the_busier_it_is() {
        assert_eq!(decide(1000, 75), Flush::Paced(Duration::from_millis(10)));
        assert_eq!(decide(1000, 100), Flush::Paced(Duration::from_millis(20)));
        assert_eq!(decide(1000, 500), decide(1000, 100));
    }

    #[test]
    fn load_is_the_share_of_the_last_window() {
        let mut load = Load::default();
        load.add(Duration::from_millis(30));
        assert!(!load.roll(Duration::from_millis(99)));
        assert!(load.roll(Duration::from_millis(120)));
        assert_eq!(load.percent(), 25);
        assert!(load.roll(Duration::from_millis(100)));
        assert_eq!(load.percent(), 0);
    }
}
