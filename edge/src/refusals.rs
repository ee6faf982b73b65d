//! Log lines about what strangers do: a flood of requests is no flood of lines.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Refused requests.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Since>);

#[derive(Debug, Default)]
struct Since {
    logged: Option<Instant>,
    requests: u64,
}

impl Refusals {
    /// Counts one; returns how many the line about it stands for, unless there was a line less than a second before.
    pub fn note(&self) -> Option<u64> {
        self.note_at(Instant::now())
    }

    fn note_at(&self, now: Instant) -> Option<u64> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.requests += 1;
        let is_due = since
            .logged
            .is_none_or(|logged| now.duration_since(logged) >= LOG_INTERVAL);
        is_due.then(|| {
            since.logged = Some(now);
            std::mem::take(&mut since.requests)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_stands_for_all_refused_requests() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.note_at(start), Some(1), "the first at once");
        for _ in 0..1000 {
            assert_eq!(refusals.note_at(start + LOG_INTERVAL / 2), None);
        }
        assert_eq!(refusals.note_at(start + LOG_INTERVAL), Some(1001));
        assert_eq!(refusals.note_at(start + LOG_INTERVAL * 3), Some(1));
    }
}
