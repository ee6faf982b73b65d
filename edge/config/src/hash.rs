//! Which part of a configuration needs a restart, and the identity of each part.
//!
//! Edge and operator compare configurations by these hashes. Only what is set explicitly counts,
//! so a new version with other defaults restarts nobody.

use std::fmt::Write;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::keys;
use crate::schema::{Change, Kind, Node, tree};

/// Splits a file layer into what a restart applies and what a reload applies.
///
/// Keys come out in lower case; what is `null` or empty of options is left out; a list belongs
/// to one part as a whole. A key that is unknown belongs to the part of its section, at the top
/// to the first. Both parts merged are the layer again.
pub fn split(file_layer: &Value) -> (Value, Value) {
    let lowered = keys::lower(file_layer, tree());
    let (boot, live) = if lowered.is_null() {
        (None, None)
    } else {
        partition(&lowered, tree())
    };
    let or_empty = |part: Option<Value>| part.unwrap_or_else(|| Value::Object(Map::new()));
    (or_empty(boot), or_empty(live))
}

/// Identity of the part of a file layer that only a restart applies: SHA-256 in hexadecimal.
pub fn boot_hash(file_layer: &Value) -> String {
    sha256(&split(file_layer).0)
}

/// Identity of the part of a file layer that a reload applies: SHA-256 in hexadecimal.
pub fn live_hash(file_layer: &Value) -> String {
    sha256(&split(file_layer).1)
}

fn partition(value: &Value, node: &Node) -> (Option<Value>, Option<Value>) {
    let (Kind::Section(children), Value::Object(fields)) = (&node.kind, value) else {
        return by_change(value.clone(), node.change);
    };
    let (mut boot, mut live) = (Map::new(), Map::new());
    for (key, value) in fields {
        let (boot_value, live_value) = match children.get(key) {
            Some(child) => partition(value, child),
            None => by_change(value.clone(), node.change),
        };
        boot.extend(boot_value.map(|value| (key.clone(), value)));
        live.extend(live_value.map(|value| (key.clone(), value)));
    }
    let unless_empty = |part: Map<String, Value>| (!part.is_empty()).then_some(Value::Object(part));
    (unless_empty(boot), unless_empty(live))
}

fn by_change(value: Value, change: Change) -> (Option<Value>, Option<Value>) {
    match change {
        Change::Boot => (Some(value), None),
        Change::Live => (None, Some(value)),
    }
}

fn sha256(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing into a String cannot fail.
        let _infallible = write!(hash, "{byte:02x}");
    }
    hash
}

/// JSON without spaces and with sorted keys, whatever order the map keeps.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{boot_hash, canonical, live_hash, split};

    fn layer() -> Value {
        json!({
            "http_server": { "port": 8000 },
            "client": { "ping_interval": "25s", "insecure": true, "token": { "issuer": "me" } },
            "channel": { "namespaces": [{ "name": "chat" }], "max_length": 100 },
            "http_api": { "key": "k" },
        })
    }

    #[test]
    fn every_option_goes_to_the_part_of_its_class() {
        let (boot, live) = split(&layer());
        assert_eq!(
            boot,
            json!({
                "http_server": { "port": 8000 },
                "client": { "ping_interval": "25s" },
            })
        );
        assert_eq!(
            live,
            json!({
                "http_api": { "key": "k" },
                "client": { "insecure": true, "token": { "issuer": "me" } },
                "channel": { "namespaces": [{ "name": "chat" }], "max_length": 100 },
            })
        );
    }

    #[test]
    fn unknown_keys_go_with_their_section() {
        let (boot, live) = split(&json!({
            "new_section": { "A": 1 },
            "client": { "new_option": 1 },
            "channel": { "new_option": 1 },
        }));
        assert_eq!(
            boot,
            json!({ "new_section": { "a": 1 }, "client": { "new_option": 1 } })
        );
        assert_eq!(live, json!({ "channel": { "new_option": 1 } }));
    }

    #[test]
    fn the_parts_have_the_hashes_of_the_whole() {
        let (boot, live) = split(&layer());
        assert_eq!(boot_hash(&boot), boot_hash(&layer()));
        assert_eq!(live_hash(&live), live_hash(&layer()));
        assert_eq!(boot_hash(&live), boot_hash(&json!({})));
        assert_eq!(live_hash(&boot), live_hash(&json!({})));
    }

    #[test]
    fn order_and_case_of_keys_do_not_matter() {
        let one: Value = serde_json::from_str(
            r#"{"http_server":{"port":1,"address":"a"},"log":{"level":"info"}}"#,
        )
        .expect("JSON");
        let other: Value = serde_json::from_str(
            r#"{"LOG":{"Level":"info"},"Http_Server":{"Address":"a","PORT":1}}"#,
        )
        .expect("JSON");
        assert_eq!(boot_hash(&one), boot_hash(&other));
    }

    #[test]
    fn nothing_set_is_nothing_set() {
        let empty = boot_hash(&json!({}));
        assert_eq!(
            boot_hash(&json!({ "client": {}, "log": { "level": null } })),
            empty
        );
        assert_eq!(boot_hash(&Value::Null), empty);
    }

    #[test]
    fn an_explicit_value_changes_the_hash_even_when_it_is_the_default() {
        let empty = json!({});
        let port = json!({ "http_server": { "port": 8000 } });
        assert_ne!(boot_hash(&port), boot_hash(&empty));
        assert_eq!(live_hash(&port), live_hash(&empty));
        let namespace = json!({ "channel": { "namespaces": [] } });
        assert_ne!(live_hash(&namespace), live_hash(&empty));
        assert_eq!(boot_hash(&namespace), boot_hash(&empty));
    }

    #[test]
    fn the_hash_of_a_layer_is_pinned() {
        // It does not depend on defaults: were they mixed in, a new version would change it.
        let mut text = String::new();
        canonical(
            &json!({ "b": [1, "x\n", null], "a": { "d": true, "c": 1.5 } }),
            &mut text,
        );
        assert_eq!(text, r#"{"a":{"c":1.5,"d":true},"b":[1,"x\n",null]}"#);
        assert_eq!(
            boot_hash(&json!({})),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }
}
