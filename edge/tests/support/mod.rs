//! A real node in this process, and clients for it: what the integration tests stand on.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod client;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod token;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Awaits what must happen soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {SOON:?}"),
    }
}

/// Asks until the answer is the expected one: for figures that nobody announces.
pub(crate) async fn eventually<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: T,
    mut ask: impl AsyncFnMut() -> T,
) {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = ask().await;
        if answer == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: still {answer:?}, not {expected:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}
