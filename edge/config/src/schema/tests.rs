use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::tree::{Kind, Node};
use super::{
    Change, crd_schema, first_sentence, options, schema, secret_paths, tree, without_effect,
};

#[test]
fn change_and_effect_are_inherited_from_the_section() {
    let find = |path: &str| {
        let found = options().into_iter().find(|option| option.path == path);
        found.expect("an option")
    };
    for path in [
        "channel.max_length",
        "channel.namespaces",
        "channel.namespaces[].presence",
        "client.insecure",
        "client.token.hmac_secret_key",
        "client.subscription_token.issuer",
        "client.subscribe_to_user_personal_channel.single_connection",
        "rpc.namespaces",
        "rpc.ping.method",
    ] {
        assert_eq!(find(path).change, Change::Live, "{path}");
    }
    for path in [
        "client.ping_interval",
        "client.subscription_token.enabled",
        "client.user_id_http_header",
        "http_api.insecure",
        "uni_sse.connect_code_to_http_response.transforms[].to.body",
    ] {
        assert_eq!(find(path).change, Change::Boot, "{path}");
    }
    assert!(!find("admin.secret").effect);
    assert!(find("channel.namespaces[].history_ttl").effect);
    assert!(find("channel.namespaces[].channel_regex").effect);
}

#[test]
fn secrets_are_known_by_path() {
    assert_eq!(
        secret_paths(),
        [
            "admin.password",
            "admin.secret",
            "client.subscription_token.hmac_previous_secret_key",
            "client.subscription_token.hmac_secret_key",
            "client.token.hmac_previous_secret_key",
            "client.token.hmac_secret_key",
            "http_api.key",
            "http_server.internal_tls.key_pem",
            "http_server.tls.key_pem",
            "tidewire.node_status.token",
        ]
    );
}

#[test]
fn variables_follow_the_path_and_names_of_items_have_none() {
    let env = |path: &str| {
        let found = options().into_iter().find(|option| option.path == path);
        found.map(|option| option.env).unwrap_or_default()
    };
    assert_eq!(env("pid_file"), "TIDEWIRE_PID_FILE");
    assert_eq!(env("client.token.issuer"), "TIDEWIRE_CLIENT_TOKEN_ISSUER");
    assert_eq!(
        env("channel.namespaces[].presence"),
        "TIDEWIRE_CHANNEL_NAMESPACES_<NAME>_PRESENCE"
    );
    assert_eq!(env("channel.namespaces"), "TIDEWIRE_CHANNEL_NAMESPACES");
    assert_eq!(env("channel.namespaces[].name"), "");
    let transforms = "client.connect_code_to_unidirectional_disconnect.transforms";
    assert!(env(transforms).ends_with("_DISCONNECT_TRANSFORMS"));
    assert_eq!(env(&format!("{transforms}[].to.code")), "");
}

#[test]
fn options_without_effect_are_found_where_they_differ_from_the_default() {
    let layer = json!({
        "Admin": { "password": "p", "enabled": true },
        "swagger": { "enabled": false },
        "uni_websocket": { "join_push_messages": true },
        "client": { "connection_rate_limit": 0, "channel_position_check_delay": "50s" },
        "channel": {
            "without_namespace": { "presence": true },
            "namespaces": [{ "name": "chat", "unknown": 1 }, 7],
        },
        "Websocket": { "READ_BUFFER_SIZE": 1 },
        "unknown": 1,
        "log": "not a section",
    });
    let mut found = without_effect(&layer);
    found.sort();
    assert_eq!(
        found,
        [
            "admin.enabled",
            "admin.password",
            "client.channel_position_check_delay",
            "websocket.read_buffer_size",
        ]
    );
}

/// Calls `visit` with the path and schema of every property.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let path = format!("{path}/{key}");
        visit(&path, property);
        walk(property, &path, visit);
        if let Some(items) = property.get("items") {
            walk(items, &path, visit);
        }
    }
}

#[test]
fn every_property_is_described_in_a_first_sentence_that_fits() {
    let mut count = 0;
    walk(schema().as_value(), "", &mut |path, property| {
        count += 1;
        let description = property["description"].as_str().unwrap_or_default();
        let first = first_sentence(description);
        let length = first.chars().count();
        assert!((10..=120).contains(&length), "{path}: {length}: {first}");
        assert!(first.ends_with('.'), "{path}: {first}");
    });
    assert!(count > 90, "{count}");
}

#[test]
fn the_schema_has_no_references_and_no_alternatives() {
    let text = schema().as_value().to_string();
    for word in ["$ref", "$defs", "anyOf", "oneOf", "allOf"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn the_tree_reads_nothing_as_a_map_or_an_empty_section_by_mistake() {
    fn check(node: &Node, path: &str) {
        match &node.kind {
            Kind::Section(children) | Kind::Items(children) => {
                assert!(!children.is_empty(), "{path}");
                for (key, child) in children {
                    check(child, &format!("{path}.{key}"));
                }
            }
            Kind::Map => panic!("{path} is a map"),
            Kind::Choice(values) => {
                assert_eq!(values.len(), node.values.len(), "{path}");
                for value in &node.values {
                    assert!(!value.meaning.is_empty(), "{path}: {value:?}");
                }
            }
            Kind::Bool | Kind::Integer { .. } | Kind::Text | Kind::Duration => {}
            Kind::TextList(values) => assert_eq!(values.len(), node.values.len(), "{path}"),
        }
    }
    check(tree(), "");
}

#[test]
fn the_resource_definition_has_no_defaults_and_no_extensions_of_ours() {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let crd = crd_schema(&mut generator).to_value();
    let text = crd.to_string();
    for word in [
        "\"default\"",
        "x-tidewire",
        "writeOnly",
        "uint",
        "$schema",
        "\"title\"",
    ] {
        assert!(!text.contains(word), "{word}");
    }
    assert_eq!(crd["x-kubernetes-preserve-unknown-fields"], true);
    let namespaces = &crd["properties"]["channel"]["properties"]["namespaces"];
    assert_eq!(namespaces["x-kubernetes-list-type"], "map");
    assert_eq!(namespaces["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(namespaces["items"]["required"], json!(["name"]));
    assert_eq!(
        namespaces["items"]["x-kubernetes-preserve-unknown-fields"],
        true
    );
    let mut sections = 0;
    walk(&crd, "", &mut |path, property| {
        if property["type"] == "object" {
            sections += 1;
            assert_eq!(
                property["x-kubernetes-preserve-unknown-fields"], true,
                "{path}"
            );
        }
        let description = property["description"].as_str().unwrap_or_default();
        assert!(
            !description.is_empty() && !description.contains('\n'),
            "{path}"
        );
    });
    assert!(sections > 15, "{sections}");
}

#[test]
fn the_resource_definition_stays_small() {
    // Client-side apply copies the whole definition into an annotation of at most 256 KiB.
    const LARGEST: usize = 240 * 1024;
    let mut generator = SchemaSettings::openapi3().into_generator();
    let size = crd_schema(&mut generator).to_value().to_string().len();
    println!("the schema of the configuration in a resource definition: {size} bytes");
    assert!(size < LARGEST, "{size}");
    assert!(size > 10_000, "{size}");
}

#[test]
fn the_resource_definition_says_what_is_live() {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let crd = crd_schema(&mut generator).to_value();
    let description = |pointer: &str| {
        let property = crd.pointer(&format!("/properties/{pointer}"));
        property.expect("a property")["description"].to_string()
    };
    assert!(description("client/properties/insecure").ends_with(". (live)\""));
    assert!(description("channel/properties/namespaces").ends_with("(live)\""));
    assert!(description("client/properties/token/properties/issuer").contains("(live)"));
    assert!(!description("client/properties/ping_interval").contains("(live)"));
    assert!(!description("client/properties/token").contains("(live)"));
    let subscription = "client/properties/subscription_token/properties";
    assert!(description(&format!("{subscription}/issuer")).contains("(live)"));
    assert!(!description(&format!("{subscription}/enabled")).contains("(live)"));
    let only_first = description("client/properties/allowed_origins");
    assert!(!only_first.contains("A pattern is matched"), "{only_first}");
}

#[test]
fn a_first_sentence_ends_at_a_full_stop_or_a_paragraph() {
    assert_eq!(first_sentence("One. Two."), "One.");
    assert_eq!(
        first_sentence("Version 1.5 of it\n\nTwo."),
        "Version 1.5 of it"
    );
    assert_eq!(first_sentence(""), "");
}
