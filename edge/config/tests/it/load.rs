//! Sources, their order, and what is said about them.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tidewire_config::environment;
use tidewire_config::load::{LoadError, Loaded, Sources, Warning, from_value, load, values};
use tidewire_config::{Config, DataFormat, Duration, LogLevel};

use crate::directory::Directory;

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    given.iter().map(owned).collect()
}

fn from_file(name: &str, content: &str) -> Result<Loaded, LoadError> {
    let directory = Directory::new();
    load(&Sources {
        config: Some(directory.write(name, content)),
        ..Sources::default()
    })
}

fn from_env(env: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    load(&Sources {
        env: pairs(env),
        ..Sources::default()
    })
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(result: Result<Loaded, LoadError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn later_sources_win_over_earlier_ones() {
    let directory = Directory::new();
    let config = directory.write(
        "config.json",
        r#"{"http_server": {"port": 1, "address": "file", "internal_address": "file"},
            "node": {"name": "file"}, "pid_file": "file"}"#,
    );
    let secrets = Directory::with(&[
        ("http_server.address", "secret"),
        ("node.name", "secret"),
        ("pid_file", "secret"),
    ]);
    let loaded = load(&Sources {
        config: Some(config),
        secrets: Some(secrets.path().to_owned()),
        env: pairs(&[("TIDEWIRE_NODE_NAME", "env"), ("TIDEWIRE_PID_FILE", "env")]),
        flags: pairs(&[("pid_file", "flag")]),
    })
    .expect("loaded");
    let config = loaded.config;
    assert_eq!(config.http_server.port, 1);
    assert_eq!(config.http_server.internal_address, "file");
    assert_eq!(config.http_server.address, "secret");
    assert_eq!(config.node.name, "env");
    assert_eq!(config.pid_file, "flag");
    assert_eq!(config.shutdown.timeout, Duration::from_secs(30));
}

#[test]
fn nothing_given_is_the_default() {
    let loaded = load(&Sources::default()).expect("defaults");
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_missing_file_is_a_warning() {
    let loaded = load(&Sources {
        config: Some(PathBuf::from("no/such/config.json")),
        ..Sources::default()
    })
    .expect("defaults");
    assert_eq!(
        warnings(&loaded),
        [
            "config file not found, continue using environment and flag options: \
             no/such/config.json"
        ]
    );
}

#[test]
fn a_missing_secrets_directory_is_an_error() {
    let message = refused(load(&Sources {
        secrets: Some(PathBuf::from("no/such/secrets")),
        ..Sources::default()
    }));
    assert_eq!(message, "cannot read no/such/secrets");
}

#[test]
fn every_format_is_read_and_others_are_refused() {
    for (name, content) in [
        ("a.json", r#"{"client": {"insecure": true}}"#),
        ("a.yaml", "client:\n  insecure: true\n"),
        ("a.YML", "client: {insecure: true}\n"),
        ("a.toml", "client.insecure = true\n"),
    ] {
        let loaded = from_file(name, content).expect(name);
        assert!(loaded.config.client.insecure, "{name}");
    }
    let message = refused(from_file("a.ini", ""));
    assert!(
        message.contains("unknown format; name it .json"),
        "{message}"
    );
}

#[test]
fn a_malformed_file_is_refused_with_its_place() {
    let message = refused(from_file("a.json", "{\n  \"client\": {,}\n}"));
    assert!(message.contains("a.json: "), "{message}");
    assert!(message.contains("line 2"), "{message}");
    let message = refused(from_file("a.yaml", "- a\n- b\n"));
    assert!(message.contains("object of sections"), "{message}");
}

#[test]
fn an_empty_yaml_file_sets_nothing() {
    let loaded = from_file("a.yaml", "# nothing\n").expect("defaults");
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn a_directory_is_merged_in_the_order_of_names() {
    let directory = Directory::with(&[
        (
            "10-boot.json",
            r#"{"http_server": {"port": 1, "address": "a"},
                "channel": {"namespaces": [{"name": "one"}, {"name": "two"}]}}"#,
        ),
        (
            "20-live.yaml",
            "http_server: {port: 2}\nchannel: {namespaces: [{name: three}]}\n",
        ),
        ("..hidden.json", r#"{"pid_file": "hidden"}"#),
        ("notes.txt", "not a configuration"),
    ]);
    fs::create_dir(directory.path().join("..data")).expect("a directory");
    fs::create_dir(directory.path().join("folder.json")).expect("a directory");
    let loaded = load(&Sources {
        config: Some(directory.path().to_owned()),
        ..Sources::default()
    })
    .expect("loaded");
    assert_eq!(loaded.config.http_server.port, 2);
    assert_eq!(loaded.config.http_server.address, "a");
    assert_eq!(loaded.config.pid_file, "");
    let names: Vec<&str> = loaded
        .config
        .channel
        .namespaces
        .iter()
        .map(|namespace| namespace.name.as_str())
        .collect();
    assert_eq!(names, ["three"]);
    let found = warnings(&loaded);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("notes.txt"), "{found:?}");
    assert_eq!(
        loaded.file_layer,
        json!({
            "http_server": { "port": 2, "address": "a" },
            "channel": { "namespaces": [{ "name": "three" }] },
        })
    );
}

#[test]
#[cfg(unix)]
fn files_of_a_mounted_volume_are_followed() {
    let directory = Directory::new();
    let data = directory.path().join("..2026_11_23");
    fs::create_dir(&data).expect("a directory");
    fs::write(data.join("config.json"), r#"{"pid_file": "mounted"}"#).expect("a file");
    std::os::unix::fs::symlink("..2026_11_23", directory.path().join("..data")).expect("a link");
    std::os::unix::fs::symlink("..data/config.json", directory.path().join("config.json"))
        .expect("a link");
    let loaded = load(&Sources {
        config: Some(directory.path().to_owned()),
        ..Sources::default()
    })
    .expect("loaded");
    assert_eq!(loaded.config.pid_file, "mounted");
}

#[test]
fn a_zero_in_a_file_yields_the_default_and_resets_an_earlier_file() {
    let directory = Directory::with(&[
        ("1.json", r#"{"http_server": {"port": 9000}}"#),
        (
            "2.json",
            r#"{"http_server": {"port": 0}, "client": {"channel_limit": 0, "pong_timeout": "0s"},
                "channel": {"user_boundary": ""}, "websocket": {"disabled": false}}"#,
        ),
    ]);
    let loaded = load(&Sources {
        config: Some(directory.path().to_owned()),
        ..Sources::default()
    })
    .expect("loaded");
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn a_zero_in_a_variable_counts_but_an_empty_variable_does_not() {
    let loaded = from_env(&[
        ("TIDEWIRE_HTTP_SERVER_PORT", "0"),
        ("TIDEWIRE_SHUTDOWN_TIMEOUT", "0s"),
        ("TIDEWIRE_CLIENT_CHANNEL_LIMIT", ""),
    ])
    .expect("loaded");
    assert_eq!(loaded.config.http_server.port, 0);
    assert!(loaded.config.shutdown.timeout.is_zero());
    assert_eq!(loaded.config.client.channel_limit, 128);
    let message = refused(from_env(&[("TIDEWIRE_CLIENT_CHANNEL_LIMIT", "0")]));
    assert!(
        message.contains("at least 1") || message.contains("from 1"),
        "{message}"
    );
}

#[test]
fn keys_in_any_case_are_the_same_option() {
    let loaded = from_file("a.json", r#"{"Client": {"PING_Interval": "30s"}}"#).expect("loaded");
    assert_eq!(loaded.config.client.ping_interval, Duration::from_secs(30));
    let both = r#"{"client": {"insecure": true}, "CLIENT": {"insecure": false}}"#;
    let message = refused(from_file("a.json", both));
    assert!(
        message.contains("client: the key stands twice"),
        "{message}"
    );
}

#[test]
fn unknown_keys_warn_with_their_path() {
    let loaded = from_file(
        "a.json",
        r#"{"channel": {"namespaces": [{"name": "chat", "foo": 1}]}, "clinet": {"a": 1}}"#,
    )
    .expect("loaded");
    let found = warnings(&loaded);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("unknown key in configuration file: channel.namespaces.[0].foo"));
    assert!(found[1].ends_with("did you mean client?"), "{found:?}");
}

#[test]
fn keys_of_old_versions_and_of_versions_to_come_are_answered() {
    let loaded = from_file(
        "a.yaml",
        "api_key: hunter2\nsockjs: true\nproxies: []\nadmin: {web_path: x}\n\
         channel: {namespaces: [{name: chat, history_lifetime: 1s, subscribe_cel: x}]}\n",
    )
    .expect("loaded");
    let mut found = warnings(&loaded);
    found.sort();
    for (found, (start, end)) in found.iter().zip([
        (
            "key in configuration file is known to Centrifugo, not supported yet: admin.web_path",
            "a.yaml)",
        ),
        (
            "key in configuration file is known to Centrifugo, not supported yet: proxies",
            "a.yaml)",
        ),
        (
            "old key in configuration file: api_key",
            "; since version 6 it is http_api.key",
        ),
        (
            "old key in configuration file: channel.namespaces.[0].history_lifetime",
            "; since version 6 it is channel.namespaces[chat].history_ttl",
        ),
        (
            "old key in configuration file: channel.namespaces.[0].subscribe_cel",
            "; it belongs to the commercial edition",
        ),
        ("old key in configuration file: sockjs", "; it was removed"),
    ]) {
        assert!(
            found.starts_with(start) && found.ends_with(end),
            "{found}\n{start}"
        );
    }
    assert_eq!(found.len(), 6, "{found:?}");
    let mut keys: Vec<&str> = loaded
        .warnings
        .iter()
        .filter_map(Warning::unknown_key)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "admin.web_path",
            "api_key",
            "channel.namespaces.[0].history_lifetime",
            "channel.namespaces.[0].subscribe_cel",
            "proxies",
            "sockjs",
        ]
    );
}

#[test]
fn a_scalar_of_an_old_version_names_its_new_place() {
    for (file, advice) in [
        ("admin: true", "since version 6 it is admin.enabled"),
        ("sse: true", "since version 6 it is sse.enabled"),
        ("broker: nats", "set broker.enabled to true"),
    ] {
        let message = refused(from_file("a.yaml", file));
        assert!(message.contains(advice), "{message}");
    }
    // This one has no section of ours in its place.
    let loaded = from_file("a.yaml", "webtransport: true").expect("loaded");
    assert!(warnings(&loaded)[0].contains("not supported yet: webtransport"));
}

#[test]
fn lists_of_objects_without_names_are_json_in_a_variable() {
    let variable = "CENTRIFUGO_UNI_SSE_CONNECT_CODE_TO_HTTP_RESPONSE_TRANSFORMS";
    let loaded = from_env(&[(
        variable,
        r#"[{"code": 109, "to": {"status_code": "401", "body": "again"}}, {"code": 3500}]"#,
    )])
    .expect("loaded");
    let transforms = &loaded
        .config
        .uni_sse
        .connect_code_to_http_response
        .transforms;
    assert_eq!(transforms.len(), 2);
    assert_eq!(transforms[0].code, 109);
    assert_eq!(transforms[0].to.status_code, 401);
    assert_eq!(transforms[0].to.body, "again");
    assert_eq!(transforms[1].to.status_code, 0);
    let message = refused(from_env(&[(variable, "109")]));
    assert!(message.contains("write a list of objects"), "{message}");
    let message = refused(from_env(&[(variable, "109 401")]));
    assert!(message.contains("JSON array of objects"), "{message}");
}

#[test]
fn settings_of_subscription_tokens_stand_beside_their_switch() {
    let loaded = from_file(
        "a.yaml",
        "client: {subscription_token: {enabled: true, hmac_secret_key: hunter2, issuer: me,\n\
         hmac_previous_secret_key_valid_until: '7', insecure_skip_jwks_endpoint_safety_check: 1}}",
    )
    .expect("loaded");
    let subscription = &loaded.config.client.subscription_token;
    assert!(subscription.enabled);
    assert_eq!(subscription.token.hmac_secret_key.expose(), "hunter2");
    assert_eq!(subscription.token.issuer, "me");
    assert_eq!(subscription.token.hmac_previous_secret_key_valid_until, 7);
    assert!(subscription.token.insecure_skip_jwks_endpoint_safety_check);
    assert!(loaded.config.client.token.hmac_secret_key.is_empty());
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn what_the_sources_set_is_known_without_defaults() {
    let directory = Directory::new();
    let sources = |content: &str| Sources {
        config: Some(directory.write("a.yaml", content)),
        env: pairs(&[("TIDEWIRE_HTTP_API_KEY", "hunter2")]),
        ..Sources::default()
    };
    let set = values(&sources(
        "http_server: {port: '9000', address: null}\nfoo: 1\n",
    ));
    assert_eq!(
        set.expect("values"),
        json!({ "http_server": { "port": 9000 }, "http_api": { "key": "hunter2" } })
    );
    let message = values(&sources("http_server: {port: x}")).expect_err("refused");
    assert!(
        message.to_string().contains("http_server.port"),
        "{message}"
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let directory = Directory::new();
    let message = refused(load(&Sources {
        config: Some(directory.write(
            "a.json",
            r#"{"http_server": {"port": 70000}, "log": {"file": []}, "engine": "redis"}"#,
        )),
        env: pairs(&[("TIDEWIRE_CLIENT_INSECURE", "maybe")]),
        flags: pairs(&[("engine.type", "redis"), ("client.insecur", "true")]),
        ..Sources::default()
    }));
    for part in [
        "a.json: http_server.port: 70000 does not fit: write a whole number from 0 to 65535",
        "a.json: log.file: [] does not fit: write text",
        "a.json: engine: a text does not fit",
        "TIDEWIRE_CLIENT_INSECURE: client.insecure: \"maybe\" does not fit: write true or false",
        "--engine.type: engine.type: \"redis\" does not fit: write one of \"memory\"",
        "--client.insecur: client.insecur: there is no such option",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
}

#[test]
fn variables_are_read_under_both_prefixes() {
    let loaded = from_env(&[
        ("TIDEWIRE_CLIENT_ALLOWED_ORIGINS", "https://a https://b"),
        ("CENTRIFUGO_CLIENT_PING_INTERVAL", "40s"),
        ("CENTRIFUGO_LOG_LEVEL", "WARN"),
        ("TIDEWIRE_NODE_NAME", "same"),
        ("CENTRIFUGO_NODE_NAME", "same"),
        ("CENTRIFUGO_TIDEWIRE_DEMO_ENABLED", "1"),
        ("TIDEWIRE_HTTP_SERVER_INTERNAL_PORT", "9000"),
        ("OTHER_CLIENT_INSECURE", "true"),
    ])
    .expect("loaded");
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.client.allowed_origins, ["https://a", "https://b"]);
    assert_eq!(config.client.ping_interval, Duration::from_secs(40));
    assert_eq!(config.log.level, LogLevel::Warn);
    assert_eq!(config.node.name, "same");
    assert_eq!(config.http_server.internal_port, "9000");
    assert!(config.tidewire.demo.enabled);
    assert!(!config.client.insecure);
}

#[test]
fn two_prefixes_with_different_values_are_refused_without_showing_them() {
    let message = refused(from_env(&[
        ("TIDEWIRE_HTTP_API_KEY", "hunter2"),
        ("CENTRIFUGO_HTTP_API_KEY", "hunter3"),
    ]));
    assert_eq!(
        message,
        "environment: http_api.key: TIDEWIRE_HTTP_API_KEY and CENTRIFUGO_HTTP_API_KEY differ: \
         set only one of them"
    );
    let one_empty = from_env(&[
        ("TIDEWIRE_HTTP_API_KEY", ""),
        ("CENTRIFUGO_HTTP_API_KEY", "hunter3"),
    ]);
    assert_eq!(
        one_empty.expect("loaded").config.http_api.key.expose(),
        "hunter3"
    );
    let item = from_env(&[
        ("TIDEWIRE_CHANNEL_NAMESPACES", "chat"),
        ("TIDEWIRE_CHANNEL_NAMESPACES_CHAT_PRESENCE", "true"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_PRESENCE", "false"),
    ]);
    let message = refused(item);
    assert!(
        message.contains("channel.namespaces[chat].presence"),
        "{message}"
    );
}

#[test]
fn unknown_variables_warn_except_those_of_users_and_service_links() {
    let loaded = from_env(&[
        ("CENTRIFUGO_CLIENT_INSECUR", "true"),
        ("TIDEWIRE_ENGINE_REDIS_ADDRESS", "redis:6379"),
        ("CENTRIFUGO_TOKEN_HMAC_SECRET_KEY", "hunter2"),
        ("CENTRIFUGO_VAR_X", "1"),
        ("TIDEWIRE_API_PORT_9000_TCP", "tcp://10.0.0.1:9000"),
        ("TIDEWIRE_SERVICE_HOST", "10.0.0.1"),
        ("TIDEWIRE_EMPTY", ""),
    ])
    .expect("loaded");
    assert_eq!(
        warnings(&loaded),
        [
            "unknown var in environment: CENTRIFUGO_CLIENT_INSECUR; did you mean \
             TIDEWIRE_CLIENT_INSECURE?",
            "var in environment is known to Centrifugo, not supported yet: \
             TIDEWIRE_ENGINE_REDIS_ADDRESS",
            "old var in environment: CENTRIFUGO_TOKEN_HMAC_SECRET_KEY; since version 6 it is \
             TIDEWIRE_CLIENT_TOKEN_HMAC_SECRET_KEY",
        ]
    );
}

#[test]
fn a_duration_in_a_variable_needs_its_unit() {
    let message = refused(from_env(&[("TIDEWIRE_CLIENT_PING_INTERVAL", "25")]));
    assert!(message.contains("the unit is missing"), "{message}");
    let in_file = from_file("a.json", r#"{"client": {"ping_interval": 25}}"#).expect("loaded");
    assert_eq!(
        in_file.config.client.ping_interval,
        Duration::from_nanos(25)
    );
}

#[test]
fn namespaces_in_variables_replace_the_list_and_set_single_options() {
    let directory = Directory::new();
    let loaded = load(&Sources {
        config: Some(directory.write(
            "a.json",
            r#"{"channel": {"namespaces": [{"name": "old"}]}}"#,
        )),
        env: pairs(&[
            ("CENTRIFUGO_CHANNEL_NAMESPACES", "chat my-ns.x"),
            ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_PRESENCE", "true"),
            ("TIDEWIRE_CHANNEL_NAMESPACES_MY_NS_X_HISTORY_SIZE", "10"),
            ("TIDEWIRE_CHANNEL_NAMESPACES_OLD_PRESENCE", "true"),
        ]),
        ..Sources::default()
    })
    .expect("loaded");
    let namespaces = &loaded.config.channel.namespaces;
    assert_eq!(namespaces.len(), 2);
    assert_eq!(namespaces[0].name, "chat");
    assert!(namespaces[0].options.presence);
    assert_eq!(namespaces[1].name, "my-ns.x");
    assert_eq!(namespaces[1].options.history_size, 10);
    let found = warnings(&loaded);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("NAMESPACES_OLD_PRESENCE"), "{found:?}");
}

#[test]
fn a_variable_sets_an_option_of_a_namespace_in_the_file() {
    let directory = Directory::new();
    let sources = |value: &str| Sources {
        config: Some(directory.write(
            "a.yaml",
            "channel: {namespaces: [{name: chat, publication_data_format: json}]}",
        )),
        env: pairs(&[(
            "TIDEWIRE_CHANNEL_NAMESPACES_CHAT_PUBLICATION_DATA_FORMAT",
            value,
        )]),
        ..Sources::default()
    };
    let loaded = load(&sources("binary")).expect("loaded");
    let options = &loaded.config.channel.namespaces[0].options;
    assert_eq!(options.publication_data_format, DataFormat::Binary);
    let message = refused(load(&sources("xml")));
    let path = "channel.namespaces[chat].publication_data_format: \"xml\"";
    assert!(message.contains(path), "{message}");
}

#[test]
fn namespaces_in_a_variable_may_be_json() {
    let loaded = from_env(&[(
        "TIDEWIRE_CHANNEL_NAMESPACES",
        r#"[{"Name": "chat", "history_ttl": "60s", "presence": "true"}]"#,
    )])
    .expect("loaded");
    let namespace = &loaded.config.channel.namespaces[0];
    assert_eq!(namespace.name, "chat");
    assert_eq!(namespace.options.history_ttl, Duration::from_secs(60));
    assert!(namespace.options.presence);
    let message = refused(from_env(&[("TIDEWIRE_CHANNEL_NAMESPACES", "[chat")]));
    assert!(message.contains("JSON array"), "{message}");
}

#[test]
fn the_variable_of_an_option_with_a_flag_is_not_consulted() {
    let loaded = load(&Sources {
        env: pairs(&[
            ("TIDEWIRE_HTTP_SERVER_PORT", "not a port"),
            ("CENTRIFUGO_HTTP_SERVER_PORT", "another"),
        ]),
        flags: pairs(&[("http_server.port", "0")]),
        ..Sources::default()
    })
    .expect("loaded");
    assert_eq!(loaded.config.http_server.port, 0);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn secrets_are_files_named_by_option() {
    let directory = Directory::new();
    let config = directory.write(
        "a.json",
        r#"{"channel": {"namespaces": [{"name": "chat.x"}]}, "http_api": {"key": "file"},
            "tidewire": {"node_status": {"token": "file"}}}"#,
    );
    let secrets = Directory::with(&[
        ("client.token.hmac_secret_key", "with space \n"),
        ("http_api.key", "one\r\n"),
        ("admin.password", "two\n\n"),
        ("tidewire.node_status.token", ""),
        ("channel.namespaces.chat.x.history_size", "7"),
        ("consumers.kafka.password", "x"),
        ("..ignored", "x"),
    ]);
    let loaded = load(&Sources {
        config: Some(config.clone()),
        secrets: Some(secrets.path().to_owned()),
        ..Sources::default()
    })
    .expect("loaded");
    let values = &loaded.config;
    assert_eq!(values.client.token.hmac_secret_key.expose(), "with space ");
    assert_eq!(values.http_api.key.expose(), "one");
    assert_eq!(values.admin.password.expose(), "two\n");
    assert!(values.tidewire.node_status.token.is_empty());
    assert_eq!(values.channel.namespaces[0].options.history_size, 7);
    let found = warnings(&loaded);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("consumers.kafka.password"), "{found:?}");
    let without = load(&Sources {
        config: Some(config),
        ..Sources::default()
    })
    .expect("loaded");
    assert_eq!(loaded.boot_hash, without.boot_hash);
    assert_eq!(loaded.live_hash, without.live_hash);
}

#[test]
fn nothing_printed_shows_a_secret() {
    let directory = Directory::new();
    let loaded = load(&Sources {
        config: Some(directory.write(
            "a.json",
            r#"{"http_api": {"key": "hunter2"}, "broker": {"nats": {"url": "nats://u:hunter2@n"}}}"#,
        )),
        env: pairs(&[("TIDEWIRE_ADMIN_SECRET", "hunter2")]),
        ..Sources::default()
    })
    .expect("loaded");
    assert_eq!(loaded.config.http_api.key.expose(), "hunter2");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let written = serde_json::to_string(&loaded.config).expect("JSON");
    assert!(!written.contains("key\":\"hunter2"), "{written}");
    assert!(!written.contains("\"secret\""), "{written}");
}

#[test]
fn options_without_effect_are_listed_from_every_source() {
    let directory = Directory::new();
    let loaded = load(&Sources {
        config: Some(directory.write(
            "a.json",
            r#"{"client": {"channel_position_check_delay": "50s"}}"#,
        )),
        env: pairs(&[("TIDEWIRE_ADMIN_ENABLED", "true")]),
        ..Sources::default()
    })
    .expect("loaded");
    assert_eq!(
        loaded.without_effect,
        ["admin.enabled", "client.channel_position_check_delay"]
    );
}

#[test]
fn a_kind_of_subscription_that_is_not_supported_yet_is_told_and_the_rest_works() {
    let file = |kind: &str| {
        json!({"channel": {
            "without_namespace": {"subscription_type": kind},
            "namespaces": [{"name": "chat", "subscription_type": kind}],
        }})
    };
    for kind in ["map", "map_clients", "map_users", "shared_poll"] {
        let loaded = from_value("a.json", &file(kind)).expect("loaded");
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            ["without_namespace", "namespaces[chat]"].map(|place| format!(
                "channel.{place}.subscription_type is known to Centrifugo, not supported yet: its \
                 channels are refused"
            ))
        );
        assert_eq!(loaded.config.check(), Ok(()));
    }
    for kind in ["", "stream"] {
        assert_eq!(
            from_value("a.json", &file(kind)).expect("loaded").warnings,
            []
        );
    }
    let message = refused(from_value("a.json", &file("maps")));
    assert!(message.contains("does not fit"), "{message}");
}

#[test]
fn a_value_in_memory_is_read_like_a_file() {
    let loaded = from_value(
        "spec.config",
        &json!({ "client": { "channel_limit": "7" } }),
    );
    assert_eq!(loaded.expect("loaded").config.client.channel_limit, 7);
    let loaded = from_value("spec.config", &json!(null)).expect("defaults");
    assert_eq!(loaded.config, Config::default());
    let message = refused(from_value("spec.config", &json!(["a"])));
    assert!(message.contains("spec.config"), "{message}");
    let message = refused(from_value("spec.config", &json!({ "log": 1 })));
    assert!(
        message.starts_with("spec.config: log: a number"),
        "{message}"
    );
}

#[test]
fn a_file_of_variables_adds_to_the_environment() {
    let directory = Directory::new();
    let dotenv = directory.write(".env", "TIDEWIRE_TEST_ONLY=x\nOTHER=y\n");
    let read = environment::read(Some(&dotenv)).expect("read");
    assert!(read.contains(&("TIDEWIRE_TEST_ONLY".to_owned(), "x".to_owned())));
    assert!(read.iter().all(|(name, _)| name != "OTHER"));
    let missing = directory.path().join("missing");
    assert!(environment::read(Some(&missing)).is_ok());
    let broken = directory.write("broken", "TIDEWIRE_A=1\nhunter2\n");
    let message = environment::read(Some(&broken))
        .expect_err("broken")
        .to_string();
    assert!(
        message.contains("line 2") && !message.contains("hunter2"),
        "{message}"
    );
}
