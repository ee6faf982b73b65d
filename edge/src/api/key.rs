//! Who may call (server-api.md section 2.2), and the log about those who may not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};
use tokio::time::Instant;

use super::Api;

/// The shortest time between two log lines about refused calls.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

impl Api {
    /// Whether a call may be answered; a refused one is logged.
    pub(super) fn allows(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        if self.options.insecure {
            return true;
        }
        let live = self.services.settings.live();
        let key = live.config.http_api.key.expose().as_bytes();
        let is_key = |given: &[u8]| !key.is_empty() && verify_slices_are_equal(given, key).is_ok();
        let by_header = match headers.get("x-api-key").filter(|value| !value.is_empty()) {
            Some(given) => is_key(given.as_bytes()),
            None => headers
                .get(AUTHORIZATION)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| {
                    let mut words = value.split_whitespace();
                    let scheme = words
                        .next()
                        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("apikey"));
                    let given = words.next().is_some_and(|given| is_key(given.as_bytes()));
                    scheme && given && words.next().is_none()
                }),
        };
        let by_query = || query(uri, "api_key").is_some_and(|given| is_key(given.as_bytes()));
        let allows = by_header || by_query();
        if !allows && let Some(calls) = self.refusals.note(Instant::now()) {
            let reason = if key.is_empty() {
                "http_api.key is not set"
            } else {
                "its key is missing or wrong"
            };
            // The path alone: a query may hold the key.
            tracing::warn!(path = uri.path(), reason, calls, "an API call was refused");
        }
        allows
    }
}

/// The first value of a query parameter, undecoded: keys are URL-safe.
fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Refused calls, so that a flood of them is no flood of log lines.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Since>);

#[derive(Debug, Default)]
struct Since {
    logged: Option<Instant>,
    calls: u64,
}

impl Refusals {
    /// Counts a call; returns how many the line about it stands for, unless there was a line shortly before.
    fn note(&self, now: Instant) -> Option<u64> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.calls += 1;
        let is_due = since
            .logged
            .is_none_or(|logged| now.duration_since(logged) >= LOG_INTERVAL);
        is_due.then(|| {
            since.logged = Some(now);
            std::mem::take(&mut since.calls)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_stands_for_all_refused_calls() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.note(start), Some(1), "the first at once");
        for _ in 0..1000 {
            assert_eq!(refusals.note(start + LOG_INTERVAL / 2), None);
        }
        assert_eq!(refusals.note(start + LOG_INTERVAL), Some(1001));
        assert_eq!(refusals.note(start + LOG_INTERVAL * 3), Some(1));
    }
}
