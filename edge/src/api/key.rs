//! Who may call (server-api.md section 2.2), and the log about those who may not.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};

use super::Api;

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
        if !allows && let Some(calls) = self.refusals.note() {
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
