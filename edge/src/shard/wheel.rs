//! One hashed timer wheel per shard: ping, pong deadline, expiry and stale close are slots, not futures.
//!
//! A connection has at most one live entry, for its earliest deadline. An entry whose connection has moved on
//! is recognised by its due tick when it fires, and dropped; a deadline beyond the wheel's horizon is put in
//! the last slot and looked at again there.

use super::ConnKey;

const SLOTS: Tick = 512;

/// Time in wheel ticks since the shard started.
pub type Tick = u32;

/// A shard's timers.
#[derive(Debug)]
pub struct Wheel {
    now: Tick,
    slots: Box<[Vec<ConnKey>]>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            now: 0,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
        }
    }
}

impl Wheel {
    /// The current tick.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Arms a timer and returns the tick at which it fires, at least one tick from now.
    pub fn arm(&mut self, key: ConnKey, due: Tick) -> Tick {
        let ahead = due.saturating_sub(self.now).clamp(1, SLOTS - 1);
        let fires = self.now.wrapping_add(ahead);
        if let Some(slot) = self.slots.get_mut((fires % SLOTS) as usize) {
            slot.push(key);
        }
        fires
    }

    /// Moves on by one tick and swaps what fires now into `fired`, which must be empty.
    pub fn turn(&mut self, fired: &mut Vec<ConnKey>) {
        self.now = self.now.wrapping_add(1);
        if let Some(slot) = self.slots.get_mut((self.now % SLOTS) as usize) {
            std::mem::swap(slot, fired);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> ConnKey {
        ConnKey {
            index,
            generation: 0,
        }
    }

    fn fired_at(wheel: &mut Wheel, ticks: u32) -> Vec<(Tick, u32)> {
        let mut all = Vec::new();
        for _ in 0..ticks {
            let mut fired = Vec::new();
            wheel.turn(&mut fired);
            all.extend(fired.iter().map(|key| (wheel.now(), key.index)));
        }
        all
    }

    #[test]
    fn timers_fire_at_their_tick() {
        let mut wheel = Wheel::default();
        assert_eq!(wheel.arm(key(1), 5), 5);
        assert_eq!(wheel.arm(key(2), 3), 3);
        assert_eq!(fired_at(&mut wheel, 10), [(3, 2), (5, 1)]);
    }

    #[test]
    fn a_past_deadline_fires_at_the_next_tick() {
        let mut wheel = Wheel::default();
        fired_at(&mut wheel, 100);
        assert_eq!(wheel.arm(key(1), 7), 101);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_fires_early_to_be_looked_at_again() {
        let mut wheel = Wheel::default();
        assert_eq!(wheel.arm(key(1), 100_000), SLOTS - 1);
    }
}
