use crate::{ChannelNamespace, ChannelOptions, Config, Duration};

pub(super) fn violations(change: impl FnOnce(&mut Config)) -> Vec<(String, String)> {
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
pub(super) fn refused(path: &str, remedy: &str, change: impl FnOnce(&mut Config)) {
    let found = violations(change);
    let [(found_path, message)] = found.as_slice() else {
        panic!("one violation expected: {found:?}");
    };
    assert_eq!(found_path, path);
    assert!(message.contains(remedy), "{message}");
}

pub(super) fn namespace(name: &str, options: ChannelOptions) -> ChannelNamespace {
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

#[test]
fn the_header_of_the_user_is_a_header() {
    for header in ["X User", "X-User:", "é"] {
        refused("client.user_id_http_header", "X-User-Id", |config| {
            config.client.user_id_http_header = header.to_owned();
        });
    }
    let allowed = |config: &mut Config| {
        config.client.user_id_http_header = "x-user-id".to_owned();
    };
    assert_eq!(violations(allowed), []);
}

#[test]
fn periods_are_longer_than_no_time() {
    type Period = fn(&mut Config) -> &mut Duration;
    let periods: [(&str, Period); 3] = [
        ("client.presence_update_interval", |config| {
            &mut config.client.presence_update_interval
        }),
        ("client.channel_position_check_delay", |config| {
            &mut config.client.channel_position_check_delay
        }),
        ("node.info_metrics_aggregate_interval", |config| {
            &mut config.node.info_metrics_aggregate_interval
        }),
    ];
    for (path, period) in periods {
        refused(path, "longer than no time", |config| {
            *period(config) = Duration::ZERO;
        });
        assert_eq!(
            violations(|config| *period(config) = Duration::from_nanos(1)),
            []
        );
    }
}
