//! What the command line prints.

use std::collections::HashSet;

use serde_json::{Value, json};
use tidewire_config::document::{
    Printed, defaultconfig, defaultconfig_from, defaultenv, defaultenv_from, genconfig, markdown,
    markdown_of, random_key,
};
use tidewire_config::load::{Loaded, Sources, load, values};
use tidewire_config::{Config, boot_hash, environment, options};

use crate::directory::Directory;

const EXTENSIONS: [&str; 4] = ["json", "yaml", "yml", "toml"];

fn loaded(extension: &str, content: &str) -> Loaded {
    let directory = Directory::new();
    let sources = Sources {
        config: Some(directory.write(&format!("config.{extension}"), content)),
        ..Sources::default()
    };
    load(&sources).expect("a readable document")
}

#[test]
fn a_generated_configuration_is_valid_and_has_keys_of_full_length() {
    for extension in EXTENSIONS {
        let loaded = loaded(extension, &genconfig(extension).expect("a document"));
        assert_eq!(loaded.warnings, [], "{extension}");
        let config = loaded.config;
        assert_eq!(config.check(), Ok(()), "{extension}");
        // 64 bytes in unpadded Base64 are 86 letters, 16 bytes 22.
        assert_eq!(config.client.token.hmac_secret_key.expose().len(), 86);
        assert_eq!(config.http_api.key.expose().len(), 86);
        assert_eq!(config.admin.secret.expose().len(), 86);
        assert_eq!(config.admin.password.expose().len(), 22);
        assert_eq!(loaded.file_layer["client"]["allowed_origins"], json!([]));
        assert_eq!(loaded.file_layer["admin"]["enabled"], json!(false));
    }
}

#[test]
fn generated_keys_are_never_the_same() {
    let keys: HashSet<String> = (0..50)
        .map(|_| random_key::<16>().expect("random numbers"))
        .collect();
    assert_eq!(keys.len(), 50);
}

#[test]
fn the_default_configuration_states_every_option_and_changes_nothing() {
    for extension in EXTENSIONS {
        let document = defaultconfig(extension).expect("a document");
        let loaded = loaded(extension, &document);
        assert_eq!(loaded.warnings, [], "{extension}");
        assert_eq!(loaded.config, Config::default(), "{extension}");
    }
    let document = defaultconfig("json").expect("a document");
    let written: Value = serde_json::from_str(&document).expect("JSON");
    for option in options() {
        if !option.path.contains("[]") {
            let pointer = format!("/{}", option.path.replace('.', "/"));
            assert!(written.pointer(&pointer).is_some(), "{}", option.path);
        }
    }
}

#[test]
fn the_default_configuration_keeps_the_reference_notation() {
    let document = defaultconfig("json").expect("a document");
    assert!(document.starts_with("{\n  \"admin\": {\n    \"enabled\": false"));
    assert!(!document.ends_with('\n'));
    assert!(document.contains("\"allowed_origins\": null"));
    assert!(document.contains("\"history_meta_ttl\": \"720h0m0s\""));
    let document = defaultconfig("toml").expect("a document");
    assert!(document.contains("allowed_origins = []"));
}

#[test]
fn other_extensions_are_refused() {
    for extension in ["", "ini", "jsonc"] {
        let error = genconfig(extension).expect_err("refused").to_string();
        assert!(error.contains("json, toml, yaml, yml"), "{error}");
        assert!(defaultconfig(extension).is_err());
    }
}

#[test]
fn the_default_environment_is_sorted_and_changes_nothing() {
    let document = defaultenv();
    let lines: Vec<&str> = document.lines().collect();
    assert!(lines.is_sorted());
    for line in [
        "TIDEWIRE_CLIENT_PING_INTERVAL=25s",
        "TIDEWIRE_CLIENT_ALLOWED_ORIGINS=\"\"",
        "TIDEWIRE_CHANNEL_NAMESPACES=\"\"",
        "TIDEWIRE_CHANNEL_PRIVATE_PREFIX=\"$\"",
        "TIDEWIRE_HTTP_SERVER_PORT=8000",
        "TIDEWIRE_CLIENT_INSECURE=false",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
    let env = lines.iter().map(|line| {
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.trim_matches('"').to_owned())
    });
    let sources = Sources {
        env: env.collect(),
        ..Sources::default()
    };
    let loaded = load(&sources).expect("defaults");
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.boot_hash, boot_hash(&json!({})));
}

/// A base with everything that is hard to write down.
const BASE: &str = r#"
client:
  allowed_origins: ["https://a", "https://b"]
  ping_interval: 30s
  token: { hmac_secret_key: 'a "quoted" $key\' }
  connect_code_to_unidirectional_disconnect:
    transforms: [{ code: 109, to: { code: 4001, reason: "again \"please\"" } }]
channel:
  namespaces:
    - { name: chat, presence: true, history_size: 10, history_ttl: 60s }
    - { name: my-ns.x, allowed_delta_types: [fossil] }
http_server:
  tls: { cert_pem: "-----BEGIN\nA\n-----END" }
  port: 0
unknown: 1
"#;

fn base() -> Value {
    let directory = Directory::new();
    let sources = Sources {
        config: Some(directory.write("base.yaml", BASE)),
        ..Sources::default()
    };
    values(&sources).expect("a valid base")
}

fn base_config() -> Config {
    loaded("yaml", BASE).config
}

#[test]
fn a_default_configuration_over_a_base_states_every_option_of_it() {
    let values = base();
    for extension in EXTENSIONS {
        let document = defaultconfig_from(extension, &values).expect("a document");
        let loaded = loaded(extension, &document);
        assert_eq!(loaded.warnings, [], "{extension}");
        assert_eq!(loaded.config, base_config(), "{extension}");
    }
    let document = defaultconfig_from("json", &values).expect("a document");
    let written: Value = serde_json::from_str(&document).expect("JSON");
    let chat = &written["channel"]["namespaces"][0];
    assert_eq!(chat["history_ttl"], "1m0s");
    assert_eq!(chat["force_recovery_mode"], "");
    assert_eq!(chat["allowed_delta_types"], Value::Null);
    assert_eq!(written["http_server"]["port"], 8000);
    assert!(written.get("unknown").is_none());
}

#[test]
fn a_default_environment_over_a_base_is_the_base() {
    let values = base();
    for printed in [Printed::All, Printed::SetInBase] {
        let document = defaultenv_from(&values, printed);
        assert!(document.lines().is_sorted());
        let directory = Directory::new();
        let dotenv = directory.write(".env", &document);
        let sources = Sources {
            env: environment::read(Some(&dotenv)).expect("variables"),
            ..Sources::default()
        };
        let loaded = load(&sources).expect("valid variables");
        assert_eq!(loaded.warnings, [], "{printed:?}");
        assert_eq!(loaded.config, base_config(), "{printed:?}");
    }
}

#[test]
fn only_what_the_base_sets_is_printed_on_request() {
    let values = base();
    let document = defaultenv_from(&values, Printed::SetInBase);
    let transforms =
        r#"[{\"code\":109,\"to\":{\"code\":4001,\"reason\":\"again \\\"please\\\"\"}}]"#;
    assert_eq!(
        document.lines().collect::<Vec<_>>(),
        [
            "TIDEWIRE_CHANNEL_NAMESPACES=\"chat my-ns.x\"",
            "TIDEWIRE_CHANNEL_NAMESPACES_CHAT_HISTORY_SIZE=10",
            "TIDEWIRE_CHANNEL_NAMESPACES_CHAT_HISTORY_TTL=1m0s",
            "TIDEWIRE_CHANNEL_NAMESPACES_CHAT_PRESENCE=true",
            "TIDEWIRE_CHANNEL_NAMESPACES_MY_NS_X_ALLOWED_DELTA_TYPES=\"fossil\"",
            "TIDEWIRE_CLIENT_ALLOWED_ORIGINS=\"https://a https://b\"",
            &format!(
                "TIDEWIRE_CLIENT_CONNECT_CODE_TO_UNIDIRECTIONAL_DISCONNECT_TRANSFORMS=\
                 \"{transforms}\""
            ),
            "TIDEWIRE_CLIENT_PING_INTERVAL=30s",
            r#"TIDEWIRE_CLIENT_TOKEN_HMAC_SECRET_KEY="a \"quoted\" $key\\""#,
            r#"TIDEWIRE_HTTP_SERVER_TLS_CERT_PEM="-----BEGIN\nA\n-----END""#,
        ]
    );
    let all = defaultenv_from(&values, Printed::All);
    assert!(all.contains("\nTIDEWIRE_CHANNEL_NAMESPACES_CHAT_JOIN_LEAVE=false\n"));
    assert!(all.contains("\nTIDEWIRE_CLIENT_PONG_TIMEOUT=8s\n"));
    assert!(!all.contains("_CHAT_NAME="));
    assert_eq!(defaultenv_from(&Value::Null, Printed::SetInBase), "");
}

#[test]
fn the_manual_documents_every_option() {
    let manual = markdown();
    for option in options() {
        assert!(
            manual.contains(&format!("## `{}`\n", option.path)),
            "{}",
            option.path
        );
        assert!(manual.contains(&option.description), "{}", option.path);
    }
    insta::assert_snapshot!("manual_of_the_broker", markdown_of(Some("broker"), 1));
}
