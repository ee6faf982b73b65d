//! Letter case of keys: it does not matter, so every key is lower-cased first.

use serde_json::{Map, Value};

use crate::schema::{Kind, Node, join};

/// Lower-cases keys and leaves out what is not set: `null`. The free keys of maps keep their case.
///
/// Of keys that differ only in case one wins; [`collisions`] finds them.
pub(crate) fn lower(value: &Value, node: &Node) -> Value {
    lower_any(value, Some(node))
}

fn lower_any(value: &Value, node: Option<&Node>) -> Value {
    let children = node.and_then(|node| match &node.kind {
        Kind::Section(children) | Kind::Items(children) => Some(children),
        Kind::Bool
        | Kind::Integer { .. }
        | Kind::Text
        | Kind::Choice(_)
        | Kind::Duration
        | Kind::TextList(_)
        | Kind::Map => None,
    });
    let is_map = node.is_some_and(|node| matches!(node.kind, Kind::Map));
    match value {
        Value::Object(fields) => {
            let mut lowered = Map::new();
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            for key in keys {
                let Some(value) = fields.get(key).filter(|value| !value.is_null()) else {
                    continue;
                };
                let key = if is_map {
                    key.clone()
                } else {
                    key.to_lowercase()
                };
                let child = children.and_then(|children| children.get(&key));
                lowered.insert(key, lower_any(value, child));
            }
            Value::Object(lowered)
        }
        Value::Array(items) => {
            // An item of a list of objects has the keys of the list's node.
            let lowered = items.iter().map(|item| lower_any(item, node));
            Value::Array(lowered.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Paths of options whose key stands more than once in different letter case.
pub(crate) fn collisions(value: &Value, node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, Some(node), "", &mut found);
    found
}

fn collect(value: &Value, node: Option<&Node>, path: &str, found: &mut Vec<String>) {
    match (value, node.map(|node| &node.kind)) {
        (Value::Object(_), Some(Kind::Map)) => {}
        (Value::Object(fields), kind) => {
            let mut seen: Vec<String> = Vec::new();
            for (key, value) in fields {
                let key = key.to_lowercase();
                let at = join(path, &key);
                let child = match kind {
                    Some(Kind::Section(children) | Kind::Items(children)) => children.get(&key),
                    _ => None,
                };
                collect(value, child, &at, found);
                if seen.contains(&key) {
                    found.push(at);
                }
                seen.push(key);
            }
        }
        (Value::Array(items), _) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, node, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// The known key that an unknown one probably means.
pub(crate) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = 1 + unknown.chars().count() / 4;
    known
        .into_iter()
        .map(|key| (distance(unknown, key), key))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, key)| key)
}

/// How many letters must be inserted, removed or replaced to turn one text into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut diagonal = index;
        let mut next = vec![left];
        for (other, above) in to.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(letter != *other);
            left = replaced.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{collisions, distance, lower, nearest};
    use crate::schema::tree;

    #[test]
    fn keys_are_lower_cased_everywhere_and_null_is_not_set() {
        let file = json!({
            "Client": { "PING_interval": "1S", "pong_timeout": null },
            "CHANNEL": { "Namespaces": [{ "Name": "Chat", "Presence": true, "Unknown": { "A": 1 } }] },
        });
        let lowered = json!({
            "client": { "ping_interval": "1S" },
            "channel": { "namespaces": [{ "name": "Chat", "presence": true, "unknown": { "a": 1 } }] },
        });
        assert_eq!(lower(&file, tree()), lowered);
    }

    #[test]
    fn a_key_in_two_cases_is_a_collision() {
        let file = json!({
            "client": { "insecure": true, "Insecure": false },
            "channel": { "namespaces": [{ "name": "a", "NAME": "b" }] },
        });
        let mut found = collisions(&file, tree());
        found.sort();
        assert_eq!(found, ["channel.namespaces[0].name", "client.insecure"]);
    }

    #[test]
    fn distance_counts_edits() {
        for (from, to, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("history_sise", "history_size", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }

    #[test]
    fn only_a_close_key_is_suggested() {
        let known = ["history_size", "history_ttl", "presence"];
        assert_eq!(nearest("history_sise", known), Some("history_size"));
        assert_eq!(nearest("presense", known), Some("presence"));
        assert_eq!(nearest("subscribe_cel", known), None);
    }
}
