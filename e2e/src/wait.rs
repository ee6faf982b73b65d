//! Waiting for a state, with a limit and with words.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(200);
const PROGRESS: Duration = Duration::from_secs(10);

/// What one look at the world found.
pub enum Seen<T> {
    /// The awaited state, with what the caller wants of it.
    Yes(T),
    /// Another one, described for the reader of a failed test.
    NotYet(String),
}

impl Seen<()> {
    /// [`Seen::Yes`] when the condition holds, otherwise the description.
    pub fn when(holds: bool, description: impl FnOnce() -> String) -> Self {
        if holds {
            Self::Yes(())
        } else {
            Self::NotYet(description())
        }
    }
}

/// Looks until the state is there, five times a second; every ten seconds it prints what it sees instead.
/// An error of `look` counts as a state that is not there yet: API servers and processes come and go.
///
/// # Errors
/// When the limit is over; the message has what was seen last.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Seen<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut progress = start + PROGRESS;
    loop {
        let seen = match look().await {
            Ok(Seen::Yes(value)) => return Ok(value),
            Ok(Seen::NotYet(description)) => description,
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() >= limit {
            bail!(
                "after {} s still waiting for {what}; last seen: {seen}",
                limit.as_secs()
            );
        }
        if Instant::now() >= progress {
            eprintln!(
                "waiting for {what}, {} s: {seen}",
                start.elapsed().as_secs()
            );
            progress = Instant::now() + PROGRESS;
        }
        sleep(POLL).await;
    }
}

/// Looks for the whole time and fails as soon as the state is not there: for what must *not* happen.
///
/// # Errors
/// When `look` fails or sees another state.
pub async fn throughout(
    what: &str,
    time: Duration,
    mut look: impl AsyncFnMut() -> Result<Seen<()>>,
) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Seen::NotYet(description) = look().await? {
            bail!(
                "{what} for {} s, but after {} s: {description}",
                time.as_secs(),
                start.elapsed().as_secs()
            );
        }
        sleep(POLL).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_state_that_comes_is_returned() {
        let mut looks = 0;
        let value = until("three", Duration::from_secs(5), async || {
            looks += 1;
            Ok(if looks == 3 {
                Seen::Yes(looks)
            } else {
                Seen::NotYet(looks.to_string())
            })
        })
        .await;
        assert_eq!(value.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_never_comes_is_named_with_what_was_seen_last() {
        let result: Result<()> = until("rain", Duration::from_secs(5), async || {
            Ok(Seen::NotYet("sun".to_owned()))
        })
        .await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "after 5 s still waiting for rain; last seen: sun"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_ends_early_is_an_error() {
        let mut looks = 0;
        let result = throughout("sun", Duration::from_secs(5), async || {
            looks += 1;
            Ok(Seen::when(looks < 3, || "rain".to_owned()))
        })
        .await;
        assert!(result.unwrap_err().to_string().ends_with("rain"));
    }
}
