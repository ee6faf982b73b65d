//! How many connections may come per second (`client.connection_rate_limit`).

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A bucket of one second's worth of connections, refilled steadily.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    bucket: Mutex<(f64, Instant)>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            bucket: Mutex::new((per_second, Instant::now())),
        }
    }

    /// Takes one; false if there is none.
    pub(super) fn take(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *bucket;
        let now = Instant::now();
        let refilled = (now - since).as_secs_f64() * self.per_second;
        let left = (left + refilled).min(self.per_second);
        let fits = left >= 1.0;
        *bucket = (if fits { left - 1.0 } else { left }, now);
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_gives_as_many_as_the_limit_says() {
        let rate = Rate::new(3);
        assert_eq!((0..5).filter(|_| rate.take()).count(), 3);
        tokio::time::advance(Duration::from_millis(334)).await;
        assert_eq!((0..5).filter(|_| rate.take()).count(), 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..5).filter(|_| rate.take()).count(), 3);
    }
}
