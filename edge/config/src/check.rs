//! The rules that a configuration must fulfil beyond its types.
//!
//! The edge checks at start and before each reload, the operator before it writes anything: both
//! through [`Config::check`], so neither accepts what the other refuses.

mod channel;
mod endpoint;
mod token;
mod transform;

use std::fmt;

use globset::Glob;

use crate::{Config, Duration};

/// A rule that the configuration breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the option; an item of a list is named: `channel.namespaces[chat].history_ttl`.
    pub path: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Config {
    /// Checks every rule that types and bounds cannot express.
    ///
    /// # Errors
    /// All violations, each with the option's path and the way out. Do not run with such a
    /// configuration: refuse to start, or keep the previous one.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut found = Violations(Vec::new());
        self.check_client(&mut found);
        self.check_periods(&mut found);
        token::check("client.token", &self.client.token, &mut found);
        let subscription = &self.client.subscription_token;
        if subscription.enabled {
            token::check("client.subscription_token", &subscription.token, &mut found);
        }
        endpoint::check(self, &mut found);
        transform::check(self, &mut found);
        self.check_broker(&mut found);
        channel::check(self, &mut found);
        if found.0.is_empty() {
            Ok(())
        } else {
            Err(found.0)
        }
    }

    fn check_client(&self, found: &mut Violations) {
        let client = &self.client;
        if client.ping_interval <= client.pong_timeout {
            found.add(
                "client.ping_interval",
                format!(
                    "{} must be longer than client.pong_timeout ({}): lengthen the one or shorten \
                     the other",
                    client.ping_interval, client.pong_timeout
                ),
            );
        }
        for pattern in &client.allowed_origins {
            if let Err(error) = Glob::new(pattern) {
                found.add(
                    "client.allowed_origins",
                    format!(
                        "{pattern:?} is not a pattern ({}): write an origin such as \
                         https://example.com, with * for any text",
                        error.kind()
                    ),
                );
            }
        }
        let header = &client.user_id_http_header;
        if !header.chars().all(is_header_letter) {
            found.add(
                "client.user_id_http_header",
                format!("{header:?} is not the name of a header: write one such as X-User-Id"),
            );
        }
    }

    /// Work that recurs after no time at all would never end.
    fn check_periods(&self, found: &mut Violations) {
        let client = &self.client;
        let periods = [
            (
                "client.presence_update_interval",
                client.presence_update_interval,
            ),
            (
                "client.channel_position_check_delay",
                client.channel_position_check_delay,
            ),
            (
                "node.info_metrics_aggregate_interval",
                self.node.info_metrics_aggregate_interval,
            ),
        ];
        for (path, period) in periods {
            if period <= Duration::ZERO {
                found.add(
                    path,
                    "must be longer than no time: leave it out or lengthen it",
                );
            }
        }
    }

    fn check_broker(&self, found: &mut Violations) {
        let nats = &self.broker.nats;
        let is_token = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '*' || c == '>')
        };
        if !nats.prefix.split('.').all(is_token) {
            found.add(
                "broker.nats.prefix",
                format!(
                    "{:?} cannot begin a NATS subject: leave out spaces, * and >, and empty parts \
                     between dots",
                    nats.prefix
                ),
            );
        }
        if nats.url.split(',').any(|address| address.trim().is_empty()) {
            // The addresses may hold a password, so they are not repeated.
            found.add(
                "broker.nats.url",
                "an address in the list is empty: write nats://host:4222, separated by commas",
            );
        }
    }
}

struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation {
            path: path.into(),
            message: message.into(),
        });
    }
}

fn is_header_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The reason in a message that first draws where the error is.
fn last_line(message: &str) -> &str {
    let line = message.lines().next_back().unwrap_or(message);
    line.strip_prefix("error: ").unwrap_or(line)
}

#[cfg(test)]
mod tests;
