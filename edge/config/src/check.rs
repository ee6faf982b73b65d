//! The rules that a configuration must fulfil beyond its types.
//!
//! The edge checks at start and before each reload, the operator before it writes anything: both
//! through [`Config::check`], so neither accepts what the other refuses.

use std::collections::{HashMap, HashSet};
use std::fmt;

use globset::Glob;
use regex::Regex;

use crate::{ChannelOptions, Config, Duration};

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
        self.check_listeners(&mut found);
        self.check_broker(&mut found);
        self.check_channel(&mut found);
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
        let claim = &client.token.user_id_claim;
        if !claim.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
            found.add(
                "client.token.user_id_claim",
                format!("{claim:?} may hold only letters and underscores: rename the claim"),
            );
        }
    }

    fn check_listeners(&self, found: &mut Violations) {
        let internal_port = &self.http_server.internal_port;
        if !internal_port.is_empty() && internal_port.parse::<u16>().is_err() {
            found.add(
                "http_server.internal_port",
                format!("{internal_port:?} is not a port: write a number from 0 to 65535"),
            );
        }
        let endpoints = [
            (
                "websocket",
                !self.websocket.disabled,
                &self.websocket.handler_prefix,
            ),
            (
                "http_api",
                !self.http_api.disabled,
                &self.http_api.handler_prefix,
            ),
            (
                "prometheus",
                self.prometheus.enabled,
                &self.prometheus.handler_prefix,
            ),
            ("health", self.health.enabled, &self.health.handler_prefix),
        ];
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for (section, _, prefix) in endpoints.iter().filter(|(_, served, _)| *served) {
            let path = format!("{section}.handler_prefix");
            if !is_url_path(prefix) {
                found.add(
                    path,
                    format!(
                        "{prefix:?} is not a path: begin it with / and use only letters, digits \
                         and . _ ~ - /"
                    ),
                );
            } else if let Some(other) = owners.insert(prefix.trim_end_matches('/'), section) {
                found.add(
                    path,
                    format!("{prefix:?} is also {other}.handler_prefix: choose another path"),
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

    fn check_channel(&self, found: &mut Violations) {
        let channel = &self.channel;
        whole_seconds("channel.history_meta_ttl", channel.history_meta_ttl, found);
        self.check_options(
            "channel.without_namespace",
            &channel.without_namespace,
            found,
        );
        let mut names = HashSet::new();
        for (index, item) in channel.namespaces.iter().enumerate() {
            let name = item.name.as_str();
            if !is_namespace_name(name) {
                found.add(
                    format!("channel.namespaces[{index}].name"),
                    format!(
                        "{name:?} is not a name: use at least two letters, digits, dots, hyphens \
                         or underscores"
                    ),
                );
            }
            if !names.insert(name) {
                found.add(
                    format!("channel.namespaces[{index}].name"),
                    format!("{name:?} stands twice: keep one of the two or rename it"),
                );
            }
            self.check_options(&format!("channel.namespaces[{name}]"), &item.options, found);
        }
    }

    fn check_options(&self, at: &str, options: &ChannelOptions, found: &mut Violations) {
        let (size, ttl) = (options.history_size, options.history_ttl);
        let meta_ttl = if options.history_meta_ttl.is_zero() {
            self.channel.history_meta_ttl
        } else {
            options.history_meta_ttl
        };
        if size > 0 && ttl.is_zero() {
            found.add(
                format!("{at}.history_ttl"),
                format!(
                    "history_size is {size} but history_ttl is not set: set both, or neither to \
                     keep no history"
                ),
            );
        }
        if size == 0 && !ttl.is_zero() {
            found.add(
                format!("{at}.history_size"),
                format!(
                    "history_ttl is {ttl} but history_size is not set: set both, or neither to \
                     keep no history"
                ),
            );
        }
        whole_seconds(&format!("{at}.history_ttl"), ttl, found);
        whole_seconds(
            &format!("{at}.history_meta_ttl"),
            options.history_meta_ttl,
            found,
        );
        if ttl > meta_ttl {
            found.add(
                format!("{at}.history_ttl"),
                format!(
                    "{ttl} is longer than the history_meta_ttl that applies ({meta_ttl}): shorten \
                     it or raise history_meta_ttl"
                ),
            );
        }
        if options.force_recovery && (size == 0 || ttl.is_zero()) {
            found.add(
                format!("{at}.force_recovery"),
                "recovery needs history: set history_size and history_ttl too",
            );
        }
        if let Err(error) = Regex::new(&options.channel_regex) {
            found.add(
                format!("{at}.channel_regex"),
                format!(
                    "{:?} is not a regular expression: {}",
                    options.channel_regex,
                    last_line(&error.to_string())
                ),
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

fn whole_seconds(path: &str, duration: Duration, found: &mut Violations) {
    if !duration.is_whole_seconds() {
        found.add(
            path,
            format!("{duration} must be a whole number of seconds: round it"),
        );
    }
}

fn is_namespace_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() >= 2 && name.chars().all(allowed)
}

fn is_url_path(path: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-' | '/');
    path.starts_with('/') && path.chars().all(allowed)
}

/// The reason in a message that first draws where the error is.
fn last_line(message: &str) -> &str {
    let line = message.lines().next_back().unwrap_or(message);
    line.strip_prefix("error: ").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use crate::{ChannelNamespace, ChannelOptions, Config, Duration};

    fn violations(change: impl FnOnce(&mut Config)) -> Vec<(String, String)> {
        let mut config = Config::default();
        change(&mut config);
        config
            .check()
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|violation| (violation.path, violation.message))
            .collect()
    }

    #[track_caller]
    fn refused(path: &str, remedy: &str, change: impl FnOnce(&mut Config)) {
        let found = violations(change);
        let [(found_path, message)] = found.as_slice() else {
            panic!("one violation expected: {found:?}");
        };
        assert_eq!(found_path, path);
        assert!(message.contains(remedy), "{message}");
    }

    fn namespace(name: &str, options: ChannelOptions) -> ChannelNamespace {
        ChannelNamespace {
            name: name.to_owned(),
            options,
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn pings_must_be_rarer_than_the_wait_for_pongs() {
        refused("client.ping_interval", "longer than", |config| {
            config.client.ping_interval = config.client.pong_timeout;
        });
        let longer = |config: &mut Config| {
            config.client.ping_interval = Duration::from_millis(8001);
        };
        assert_eq!(violations(longer), []);
    }

    #[test]
    fn origins_must_be_patterns() {
        refused("client.allowed_origins", "write an origin", |config| {
            config.client.allowed_origins = vec!["https://[".to_owned(), "*".to_owned()];
        });
    }

    #[test]
    fn the_user_claim_is_made_of_letters_and_underscores() {
        refused("client.token.user_id_claim", "letters", |config| {
            config.client.token.user_id_claim = "user-id".to_owned();
        });
        let allowed = |config: &mut Config| {
            config.client.token.user_id_claim = "user_ID".to_owned();
        };
        assert_eq!(violations(allowed), []);
    }

    #[test]
    fn the_internal_port_is_a_port() {
        for port in ["http", "65536", "-1"] {
            refused("http_server.internal_port", "0 to 65535", |config| {
                config.http_server.internal_port = port.to_owned();
            });
        }
        let allowed = |config: &mut Config| {
            config.http_server.internal_port = "9000".to_owned();
        };
        assert_eq!(violations(allowed), []);
    }

    #[test]
    fn two_endpoints_cannot_share_a_path() {
        refused(
            "health.handler_prefix",
            "prometheus.handler_prefix",
            |config| {
                config.prometheus.enabled = true;
                config.health.enabled = true;
                config.health.handler_prefix = "/metrics/".to_owned();
            },
        );
        let not_served = |config: &mut Config| {
            config.health.handler_prefix = "/api".to_owned();
        };
        assert_eq!(violations(not_served), []);
    }

    #[test]
    fn an_endpoint_needs_a_path() {
        for prefix in ["api", "", "/a b", "/{id}", "/*"] {
            refused("http_api.handler_prefix", "begin it with /", |config| {
                config.http_api.handler_prefix = prefix.to_owned();
            });
        }
    }

    #[test]
    fn nats_prefix_and_addresses_are_usable() {
        for prefix in ["", "a b", "a.*", ">", "a..b"] {
            refused("broker.nats.prefix", "NATS subject", |config| {
                config.broker.nats.prefix = prefix.to_owned();
            });
        }
        refused("broker.nats.url", "nats://host:4222", |config| {
            config.broker.nats.url = "nats://user:secret@one:4222,".to_owned();
        });
    }

    #[test]
    fn history_needs_both_size_and_lifetime() {
        refused(
            "channel.namespaces[chat].history_ttl",
            "set both",
            |config| {
                let options = ChannelOptions {
                    history_size: 10,
                    ..ChannelOptions::default()
                };
                config.channel.namespaces = vec![namespace("chat", options)];
            },
        );
        refused(
            "channel.without_namespace.history_size",
            "set both",
            |config| {
                config.channel.without_namespace.history_ttl = Duration::from_secs(60);
            },
        );
    }

    #[test]
    fn publications_cannot_outlive_the_position() {
        refused(
            "channel.without_namespace.history_ttl",
            "720h0m0s",
            |config| {
                config.channel.without_namespace.history_size = 1;
                config.channel.without_namespace.history_ttl = Duration::from_secs(720 * 3600 + 1);
            },
        );
        refused("channel.without_namespace.history_ttl", "10s", |config| {
            config.channel.without_namespace.history_size = 1;
            config.channel.without_namespace.history_ttl = Duration::from_secs(11);
            config.channel.without_namespace.history_meta_ttl = Duration::from_secs(10);
        });
    }

    #[test]
    fn lifetimes_are_whole_seconds() {
        refused("channel.history_meta_ttl", "whole number", |config| {
            config.channel.history_meta_ttl = Duration::from_millis(3500);
        });
        refused(
            "channel.without_namespace.history_ttl",
            "whole number",
            |config| {
                config.channel.without_namespace.history_size = 1;
                config.channel.without_namespace.history_ttl = Duration::from_millis(1500);
            },
        );
        refused(
            "channel.without_namespace.history_meta_ttl",
            "whole number",
            |config| {
                config.channel.without_namespace.history_meta_ttl = Duration::from_millis(1500);
            },
        );
    }

    #[test]
    fn forced_recovery_needs_history_but_the_permission_does_not() {
        refused(
            "channel.without_namespace.force_recovery",
            "history_size",
            |config| {
                config.channel.without_namespace.force_recovery = true;
            },
        );
        let permitted = |config: &mut Config| {
            config.channel.without_namespace.allow_recovery = true;
        };
        assert_eq!(violations(permitted), []);
    }

    #[test]
    fn expressions_must_compile() {
        refused(
            "channel.namespaces[chat].channel_regex",
            "regular expression",
            |config| {
                let options = ChannelOptions {
                    channel_regex: "[a".to_owned(),
                    ..ChannelOptions::default()
                };
                config.channel.namespaces = vec![namespace("chat", options)];
            },
        );
    }

    #[test]
    fn namespace_names_are_well_formed_and_unique() {
        for name in ["", "a", "a b", "ä-name", "a:b"] {
            refused("channel.namespaces[0].name", "at least two", |config| {
                config.channel.namespaces = vec![namespace(name, ChannelOptions::default())];
            });
        }
        refused("channel.namespaces[1].name", "twice", |config| {
            let item = namespace("a.b-c_D", ChannelOptions::default());
            config.channel.namespaces = vec![item.clone(), item];
        });
    }

    #[test]
    fn all_violations_are_reported_at_once() {
        let found = violations(|config| {
            config.client.ping_interval = Duration::ZERO;
            config.http_server.internal_port = "x".to_owned();
        });
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
