//! The schema of `spec.config`: the edge's own schema, made structural and small enough for a CRD.
//!
//! The edge's crate leaves out defaults and keeps unknown fields; here the sections that the operator writes itself go,
//! and descriptions are cut (client-side apply copies the whole object into an annotation).

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Paths below `spec.config` that the operator writes itself, or that contradict what it builds: not in the schema,
/// refused by the validator. A `*` stands for any text within one segment.
pub const OPERATOR_OWNED: &[&str] = &[
    "http_server",
    "broker",
    "engine",
    "health",
    "prometheus",
    "http_api.key",
    "http_api.disabled",
    "http_api.external",
    "http_api.handler_prefix",
    "websocket.disabled",
    "websocket.handler_prefix",
    "log.file",
    "pid_file",
    "tidewire.demo",
    "client.token.*secret*",
    "client.subscription_token.*secret*",
    "admin.password",
    "admin.secret",
    "tidewire.node_status",
    "node.name",
];

/// Namespaces a cluster may declare inline.
pub const NAMESPACES_MAX: u64 = 200;

/// Longest description that goes into the CRD, in characters.
const DESCRIPTION_CHARS_MAX: usize = 120;

/// Behind the description of an option that is applied without a restart.
const LIVE_MARK: &str = " (live)";

const NAMESPACES: &str = "channel.namespaces";

/// Whether this path, or the whole section around it, is not the user's.
#[must_use]
pub fn is_operator_owned(path: &str) -> bool {
    OPERATOR_OWNED
        .iter()
        .any(|pattern| matches_prefix(pattern, path))
}

fn matches_prefix(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('.');
    pattern.split('.').all(|wanted| {
        segments
            .next()
            .is_some_and(|segment| matches_segment(wanted, segment))
    })
}

fn matches_segment(pattern: &str, segment: &str) -> bool {
    match pattern
        .strip_prefix('*')
        .and_then(|rest| rest.strip_suffix('*'))
    {
        Some(middle) => segment.contains(middle),
        None => pattern == segment,
    }
}

/// The structural schema of `spec.config`, for `#[schemars(schema_with)]`.
pub fn schema(generator: &mut SchemaGenerator) -> Schema {
    let mut value = tidewire_config::crd_schema(generator).to_value();
    fit(&mut value, "");
    if let Some(root) = value.as_object_mut() {
        let text =
            "Configuration of the edge nodes, in the keys of the edge's own configuration file.";
        root.insert("description".to_owned(), json!(text));
    }
    Schema::try_from(value).unwrap_or_default()
}

/// Leaves out what the operator writes itself, makes namespaces a list by name, and shortens descriptions.
fn fit(node: &mut Value, path: &str) {
    let Some(fields) = node.as_object_mut() else {
        return;
    };
    if fields
        .get("additionalProperties")
        .is_some_and(Value::is_object)
    {
        // A map has no unknown keys to keep.
        fields.remove("x-kubernetes-preserve-unknown-fields");
    }
    if let Some(Value::String(description)) = fields.get_mut("description") {
        *description = shortened(description);
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.retain(|name, _| !is_operator_owned(&join(path, name)));
        for (name, property) in properties {
            fit(property, &join(path, name));
        }
    }
    if let Some(items) = fields.get_mut("items") {
        fit(items, &format!("{path}[]"));
    }
    if path == NAMESPACES {
        list_by_name(fields);
    }
}

fn list_by_name(fields: &mut Map<String, Value>) {
    fields.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    fields.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
    fields.insert("maxItems".to_owned(), json!(NAMESPACES_MAX));
    if let Some(Value::Object(item)) = fields.get_mut("items") {
        item.insert("required".to_owned(), json!(["name"]));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// At most 120 characters; a mark of live options stays.
fn shortened(text: &str) -> String {
    if text.chars().count() <= DESCRIPTION_CHARS_MAX {
        return text.to_owned();
    }
    let (sentence, mark) = match text.strip_suffix(LIVE_MARK) {
        Some(sentence) => (sentence, LIVE_MARK),
        None => (text, ""),
    };
    let cut: String = sentence
        .chars()
        .take(DESCRIPTION_CHARS_MAX - LIVE_MARK.len() - 1)
        .collect();
    let cut = cut
        .rsplit_once(' ')
        .map_or(cut.as_str(), |(whole_words, _)| whole_words);
    format!("{cut}…{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operator_owned_paths_are_recognised_with_everything_below_them() {
        for owned in [
            "http_server.port",
            "broker",
            "client.token.hmac_secret_key",
            "client.token.hmac_previous_secret_key_valid_until",
            "tidewire.node_status.token",
            "http_api.external",
            "pid_file",
        ] {
            assert!(is_operator_owned(owned), "{owned}");
        }
        for free in [
            "client.token.audience",
            "client.allowed_origins",
            "http_api.insecure",
            "websocket.compression",
            "log.level",
            "admin.enabled",
            "node",
        ] {
            assert!(!is_operator_owned(free), "{free}");
        }
    }

    #[test]
    fn every_secret_of_the_edge_is_refused_in_the_spec() {
        let secrets = tidewire_config::secret_paths();
        assert!(!secrets.is_empty());
        for path in secrets {
            assert!(
                is_operator_owned(&path),
                "{path} would end up in a ConfigMap"
            );
        }
    }

    #[test]
    fn schema_is_structural() {
        let value = schema(&mut SchemaGenerator::default()).to_value();
        let text = value.to_string();
        for keyword in ["$ref", "anyOf", "oneOf", "allOf", "$defs", "x-tidewire"] {
            assert!(!text.contains(keyword), "{keyword}");
        }
        let namespaces = value
            .pointer("/properties/channel/properties/namespaces")
            .unwrap();
        assert_eq!(namespaces["items"]["required"], json!(["name"]));
    }

    #[test]
    fn long_descriptions_end_at_a_word_and_keep_their_mark() {
        let short = shortened(&format!("{}{LIVE_MARK}", "word ".repeat(60)));
        assert!(short.chars().count() <= DESCRIPTION_CHARS_MAX, "{short}");
        assert!(short.ends_with("word… (live)"), "{short}");
        assert_eq!(shortened("Short."), "Short.");
    }
}
