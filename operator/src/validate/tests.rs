//! Verdicts on specs, and what defaults they come to.

use serde_json::json;

use super::*;
use crate::test_support::{cluster, try_validated, validated};

fn refusal(spec: &str) -> String {
    try_validated(spec)
        .err()
        .map(|invalid| invalid.summary())
        .unwrap_or_default()
}

#[test]
fn an_empty_spec_becomes_two_nodes_with_three_nats_servers_and_generated_keys() {
    let blue = validated("{}");
    assert_eq!(blue.replicas, 2);
    assert_eq!(blue.image.reference, "registry.example/edge:1");
    let Broker::Nats(nats) = &blue.broker else {
        panic!("{:?}", blue.broker)
    };
    assert_eq!(
        (nats.replicas, nats.stream_replicas, nats.quorum()),
        (3, 3, 2)
    );
    assert_eq!(nats.storage.size.0, "10Gi");
    assert_eq!(blue.grace_seconds, 45);
    assert_eq!(blue.resources.requests["cpu"].0, "100m");
    let mounted: Vec<(&str, &str, &str)> = blue
        .keys
        .iter()
        .map(|key| (key.option.as_str(), key.secret.as_str(), key.key.as_str()))
        .collect();
    assert_eq!(
        mounted,
        [
            (
                "client.token.hmac_secret_key",
                "blue-token",
                "hmac_secret_key"
            ),
            ("http_api.key", "blue-api-key", "key"),
            ("admin.password", "blue-admin", "password"),
            ("admin.secret", "blue-admin", "secret"),
            ("tidewire.node_status.token", "blue-node-status", "token"),
        ]
    );
}

#[test]
fn nodes_get_the_operators_own_options_beside_the_users() {
    let blue = validated(
        "config: {client: {allowed_origins: ['https://a.example']}, channel: {namespaces: [{name: chat}]}}",
    );
    assert_eq!(
        blue.config.boot,
        json!({
            "broker": {
                "enabled": true,
                "type": "nats",
                "nats": {"url": "nats://blue-nats.team.svc:4222", "prefix": "tw_team_blue"},
            },
            "client": {"allowed_origins": ["https://a.example"]},
            "health": {"enabled": true},
            "http_server": {"port": 8000, "internal_port": "9000"},
            "prometheus": {"enabled": true},
        })
    );
    assert_eq!(
        blue.config.live,
        json!({"channel": {"namespaces": [{"name": "chat"}]}})
    );
}

#[test]
fn only_the_hash_of_the_part_that_changed_moves() {
    let before = validated("config: {channel: {namespaces: [{name: chat}]}}").config;
    let live = validated("config: {channel: {namespaces: [{name: chat}, {name: news}]}}").config;
    let boot =
        validated("config: {channel: {namespaces: [{name: chat}]}, client: {ping_interval: 30s}}")
            .config;
    assert_eq!(before.boot_hash, live.boot_hash);
    assert_ne!(before.live_hash, live.live_hash);
    assert_ne!(before.boot_hash, boot.boot_hash);
    assert_eq!(before.live_hash, boot.live_hash);
}

#[test]
fn letter_case_of_keys_does_not_change_what_nodes_get() {
    let lower = validated("config: {client: {ping_interval: 30s}}").config;
    assert_eq!(
        validated("config: {Client: {Ping_Interval: 30s}}").config,
        lower
    );
}

#[test]
fn what_the_edge_would_refuse_is_refused_with_the_fields_path() {
    let refused = refusal("config: {client: {ping_interval: 5s, pong_timeout: 8s}}");
    assert!(
        refused.starts_with("spec.config.client.ping_interval: "),
        "{refused}"
    );
    let refused = refusal("config: {client: {ping_interval: soon}}");
    assert!(
        refused.starts_with("spec.config.client.ping_interval: "),
        "{refused}"
    );
    let refused = refusal("config: {channel: {namespaces: [{name: chat, history_size: 10}]}}");
    assert!(
        refused.starts_with("spec.config.channel.namespaces"),
        "{refused}"
    );
    let refused = refusal("config: [1]");
    assert!(refused.starts_with("spec.config: "), "{refused}");
}

#[test]
fn options_of_the_operator_are_refused_by_name_whatever_their_letter_case() {
    for (config, path) in [
        ("{http_server: {port: 1}}", "spec.config.http_server: "),
        ("{HTTP_Server: {port: 1}}", "spec.config.http_server: "),
        ("{broker: {type: nats}}", "spec.config.broker: "),
        ("{engine: {type: memory}}", "spec.config.engine: "),
        ("{health: {enabled: false}}", "spec.config.health: "),
        ("{prometheus: {enabled: false}}", "spec.config.prometheus: "),
        ("{http_api: {key: k}}", "spec.config.http_api.key: "),
        (
            "{client: {token: {hmac_secret_key: k}}}",
            "spec.config.client.token.hmac_secret_key: ",
        ),
        ("{admin: {password: p}}", "spec.config.admin.password: "),
        ("{admin: {secret: s}}", "spec.config.admin.secret: "),
        (
            "{tidewire: {node_status: {token: t}}}",
            "spec.config.tidewire.node_status: ",
        ),
        ("{node: {name: n}}", "spec.config.node.name: "),
    ] {
        let refused = refusal(&format!("config: {config}"));
        assert!(refused.starts_with(path), "{config}: {refused}");
    }
}

#[test]
fn options_that_contradict_the_children_are_refused_with_the_reason() {
    for (config, path, reason) in [
        (
            "{http_api: {disabled: true}}",
            "http_api.disabled",
            "status.endpoints",
        ),
        (
            "{http_api: {handler_prefix: /v1}}",
            "http_api.handler_prefix",
            "status.endpoints",
        ),
        (
            "{http_api: {external: true}}",
            "http_api.external",
            "a Service of its own",
        ),
        (
            "{websocket: {disabled: true}}",
            "websocket.disabled",
            "status.endpoints",
        ),
        (
            "{WebSocket: {handler_prefix: /ws}}",
            "websocket.handler_prefix",
            "status.endpoints",
        ),
        ("{log: {file: /var/log/edge}}", "log.file", "read-only"),
        ("{pid_file: /edge.pid}", "pid_file", "read-only"),
        (
            "{tidewire: {demo: {enabled: true}}}",
            "tidewire.demo",
            "anybody",
        ),
    ] {
        let refused = refusal(&format!("config: {config}"));
        assert!(
            refused.starts_with(&format!("spec.config.{path}: ")),
            "{config}: {refused}"
        );
        assert!(refused.contains(reason), "{config}: {refused}");
        assert!(refused.ends_with(": remove it"), "{config}: {refused}");
    }
    // Beside them stands what is the user's.
    validated(
        "config: {http_api: {insecure: true}, websocket: {compression: true}, log: {level: debug}}",
    );
}

#[test]
fn refused_keys_are_never_repeated_in_the_message() {
    let refused = refusal("config: {http_api: {key: hunter2}}");
    assert!(!refused.contains("hunter2"), "{refused}");
    assert!(refused.contains("spec.auth.apiKey"), "{refused}");
}

#[test]
fn rules_of_the_definition_hold_for_objects_that_are_older_than_them() {
    let refused = refusal("{replicas: 2, broker: {memory: {}}}");
    assert!(refused.contains("set replicas to 1"), "{refused}");
}

#[test]
fn unknown_options_are_kept_and_reported_with_the_nearest_known_one() {
    let blue = validated("config: {client: {ping_intervall: 30s}}");
    assert_eq!(
        blue.config.boot.pointer("/client/ping_intervall"),
        Some(&json!("30s"))
    );
    assert!(
        blue.warnings[0].contains("did you mean client.ping_interval"),
        "{:?}",
        blue.warnings
    );
}

#[test]
fn claims_of_tokens_reach_the_configuration_and_may_not_be_set_twice() {
    let blue = validated("auth: {token: {audience: chat, issuer: me}}");
    assert_eq!(
        blue.config.live,
        json!({"client": {"token": {"audience": "chat", "issuer": "me"}}})
    );
    let refused =
        refusal("{auth: {token: {audience: chat}}, config: {client: {token: {audience: other}}}}");
    assert!(
        refused.starts_with("spec.config.client.token.audience: "),
        "{refused}"
    );
}

#[test]
fn a_referenced_key_is_mounted_instead_of_a_generated_one() {
    let blue = validated("auth: {apiKey: {secretRef: {name: keys, key: api}}}");
    let key = blue
        .keys
        .iter()
        .find(|key| key.option == "http_api.key")
        .unwrap();
    assert_eq!((key.secret.as_str(), key.key.as_str()), ("keys", "api"));
}

#[test]
fn nodes_get_as_long_to_end_as_the_configuration_asks_for() {
    for (config, seconds) in [
        ("{}", 5 + 30 + 10),
        ("{tidewire: {drain: {endpoint_propagation: 20500ms}}}", 61),
        ("{shutdown: {timeout: 90s}}", 5 + 90 + 10),
        (
            "{shutdown: {timeout: 2m}, tidewire: {drain: {endpoint_propagation: 15s}}}",
            15 + 120 + 10,
        ),
    ] {
        let blue = validated(&format!("config: {config}"));
        assert_eq!(blue.grace_seconds, seconds, "{config}");
    }
}

#[test]
fn a_limited_resource_gets_no_default_request() {
    let blue = validated("pod: {resources: {limits: {memory: 32Mi}}}");
    assert_eq!(blue.resources.requests.keys().collect::<Vec<_>>(), ["cpu"]);
}

#[test]
fn scaling_and_pausing_do_not_change_the_hash_of_the_spec() {
    let hash = |spec| spec_hash(&cluster(spec));
    assert_eq!(hash("{}"), hash("{replicas: 7, operation: {paused: true}}"));
    assert_ne!(hash("{}"), hash("{image: {reference: other}}"));
}

#[test]
fn mixing_boot_and_live_options_is_checked_as_one_configuration() {
    let boot = json!({"client": {"ping_interval": "30s"}});
    assert_eq!(
        check_mixed(
            &boot,
            &json!({"channel": {"namespaces": [{"name": "chat"}]}})
        ),
        Ok(())
    );
    assert!(
        check_mixed(
            &boot,
            &json!({"channel": {"namespaces": [{"name": "chat", "history_size": 5}]}})
        )
        .is_err()
    );
}

#[test]
fn history_that_nats_does_not_keep_yet_is_noted_by_namespace() {
    let options = "config: {channel: {without_namespace: {history_size: 5, history_ttl: 60s}, \
                   namespaces: [{name: chat, history_size: 5, history_ttl: 60s}, {name: news}]}}";
    assert_eq!(
        validated(options).without_history,
        ["without_namespace", "chat"]
    );
    let alone = format!("{options}\nbroker: {{memory: {{}}}}\nreplicas: 1");
    assert!(validated(&alone).without_history.is_empty());
}
