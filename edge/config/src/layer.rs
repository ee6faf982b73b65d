//! Values laid over each other: later sources over earlier ones.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::coerce::{Coercion, Report, Zero};
use crate::keys;
use crate::scalar::from_text;
use crate::schema::{Kind, Node, join, tree};

/// Lays one value over another: objects key by key, anything else, lists too, as a whole.
pub fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

/// Sets the option at a dotted path.
pub(crate) fn set(target: &mut Value, path: &str, value: Value) {
    let mut nested = value;
    for key in path.rsplit('.') {
        nested = Value::Object(Map::from_iter([(key.to_owned(), nested)]));
    }
    merge(target, nested);
}

/// Leaves out every `null`: what stays at its default.
pub(crate) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The options outside of lists of objects, and these lists, with their paths.
pub(crate) fn leaves() -> Vec<(String, &'static Node)> {
    let mut found = Vec::new();
    if let Some(children) = tree().kind.section() {
        collect(children, "", &mut found);
    }
    found
}

/// The options of the items of a list of objects, with their paths inside the item.
pub(crate) fn item_leaves(fields: &BTreeMap<String, Node>) -> Vec<(String, &Node)> {
    let mut found = Vec::new();
    collect(fields, "", &mut found);
    found
}

fn collect<'a>(
    children: &'a BTreeMap<String, Node>,
    path: &str,
    found: &mut Vec<(String, &'a Node)>,
) {
    for (key, child) in children {
        let path = join(path, key);
        match child.kind.section() {
            Some(children) => collect(children, &path, found),
            None => found.push((path, child)),
        }
    }
}

/// An option given as a text, and where it comes from.
pub(crate) struct Text<'a> {
    /// The source's name, for messages: a variable, a flag, a file.
    pub(crate) origin: &'a str,
    pub(crate) text: &'a str,
    pub(crate) zero: Zero,
}

impl Text<'_> {
    /// The typed value, or nothing after a report.
    pub(crate) fn typed(&self, node: &Node, path: &str, report: &mut Report) -> Option<Value> {
        match from_text(self.text, node) {
            Ok(value) => Coercion {
                origin: self.origin,
                zero: self.zero,
                report,
            }
            .value(&keys::lower(&value, node), node, path),
            Err(message) => {
                report.problem(self.origin, path, message);
                None
            }
        }
    }
}

/// Sets options of the items of all lists of objects. `find` is asked for each option of each
/// item with the list's path, the item's name and the option's path inside the item.
pub(crate) fn set_items<'a>(
    target: &mut Value,
    report: &mut Report,
    mut find: impl FnMut(&str, &str, &str) -> Option<Text<'a>>,
) {
    for (list, node) in leaves() {
        let Kind::Items(fields) = &node.kind else {
            continue;
        };
        let options = item_leaves(fields);
        let pointer = format!("/{}", list.replace('.', "/"));
        let items = target.pointer_mut(&pointer).and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            let Some(name) = item.get("name").and_then(Value::as_str).map(str::to_owned) else {
                continue;
            };
            for (option, node) in &options {
                if option == "name" {
                    continue;
                }
                if let Some(text) = find(&list, &name, option) {
                    let path = format!("{list}[{name}].{option}");
                    if let Some(value) = text.typed(node, &path, report) {
                        set(item, option, value);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{merge, set, strip_nulls};

    #[test]
    fn objects_merge_by_key_and_lists_are_replaced_whole() {
        let mut value = json!({ "a": { "b": 1, "c": [1, 2] }, "d": "text" });
        merge(
            &mut value,
            json!({ "a": { "c": [3], "e": 4 }, "d": { "f": 5 } }),
        );
        assert_eq!(
            value,
            json!({ "a": { "b": 1, "c": [3], "e": 4 }, "d": { "f": 5 } })
        );
    }

    #[test]
    fn a_path_is_set_with_its_sections() {
        let mut value = json!({ "a": { "x": 1 } });
        set(&mut value, "a.b.c", json!(2));
        set(&mut value, "pid_file", json!("f"));
        assert_eq!(
            value,
            json!({ "a": { "x": 1, "b": { "c": 2 } }, "pid_file": "f" })
        );
    }

    #[test]
    fn nulls_are_left_out_everywhere() {
        let mut value = json!({ "a": null, "b": { "c": null }, "d": [{ "e": null, "f": 1 }] });
        strip_nulls(&mut value);
        assert_eq!(value, json!({ "b": {}, "d": [{ "f": 1 }] }));
    }
}
