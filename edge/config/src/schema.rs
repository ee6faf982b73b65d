//! The schema as the one table of options, and what is read from it.
//!
//! [`schema`] is walked once into a tree of nodes; loader, hashes and documents use that tree,
//! so an option added to a struct is known everywhere.

mod crd;
mod tree;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

pub use crd::{crd_schema, first_sentence};
pub(crate) use tree::{Kind, Node, tree};

use crate::{Config, keys};

/// When a changed option takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// When the process starts again.
    Boot,
    /// When the configuration is reloaded.
    Live,
}

/// The type of an option, in the words of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ValueType {
    /// Truth value.
    #[serde(rename = "bool")]
    Bool,
    /// Whole number.
    #[serde(rename = "int")]
    Int,
    /// Whole number from 0 to 4294967295.
    #[serde(rename = "uint32")]
    Uint32,
    /// Whole number that needs 64 bits.
    #[serde(rename = "int64")]
    Int64,
    /// Text, also where only some values are allowed.
    #[serde(rename = "string")]
    String,
    /// PEM, Base64 of PEM, or a file's path.
    #[serde(rename = "pem")]
    Pem,
    /// Duration such as `25s`.
    #[serde(rename = "duration")]
    Duration,
    /// List of texts.
    #[serde(rename = "[]string")]
    Strings,
    /// Map from text to text.
    #[serde(rename = "map")]
    Map,
    /// List of objects, most of them named.
    #[serde(rename = "[]object")]
    Objects,
}

/// One value of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowedValue {
    /// The value, as it is written.
    pub value: String,
    /// What it means.
    pub meaning: String,
}

/// One option, as documents and command lines show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OptionInfo {
    /// Dotted path; `[]` stands for an item of a list: `channel.namespaces[].presence`.
    pub path: String,
    /// Its type.
    pub r#type: ValueType,
    /// Its default in the notation of a JSON file; a secret's is the empty text.
    pub default: Value,
    /// When a change takes effect.
    pub change: Change,
    /// Whether anything acts on it yet.
    pub effect: bool,
    /// Its whole documentation.
    pub description: String,
    /// The allowed values with their meaning, if the set is closed.
    pub values: Vec<AllowedValue>,
    /// Its environment variable, with `<NAME>` for the name of a list's item; empty for what no
    /// variable can set: the name of an item itself, and all of an item without name.
    pub env: String,
    /// Whether its value must not be shown.
    pub secret: bool,
}

/// The schema of [`Config`] without references: every section stands where it is used.
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Config>()
}

/// Every option, sorted by section and name.
pub fn options() -> Vec<OptionInfo> {
    let mut found = Vec::new();
    collect(tree(), "", true, &mut found);
    found
}

/// Paths of the options that hold secrets.
pub fn secret_paths() -> Vec<String> {
    let secrets = options().into_iter().filter(|option| option.secret);
    secrets.map(|option| option.path).collect()
}

/// Paths of the options that are set to something else than their default and have no effect yet.
///
/// Items of lists are named: `channel.namespaces[chat].presence`. Keys may have any letter case;
/// unknown keys are passed over.
pub fn without_effect(layer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_without_effect(&keys::lower(layer, tree()), tree(), "", &mut found);
    found
}

/// Name of the environment variable of an option, without the prefix.
pub(crate) fn variable(path: &str) -> String {
    path.to_ascii_uppercase()
        .chars()
        .map(|c| if matches!(c, '.' | '-') { '_' } else { c })
        .collect()
}

/// The path of a child.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn collect(node: &Node, path: &str, has_variable: bool, found: &mut Vec<OptionInfo>) {
    let value_type = match &node.kind {
        Kind::Section(children) => {
            for (key, child) in children {
                collect(child, &join(path, key), has_variable, found);
            }
            return;
        }
        Kind::Items(_) => ValueType::Objects,
        Kind::Bool => ValueType::Bool,
        Kind::Integer { wide: true, .. } => ValueType::Int64,
        Kind::Integer { wide: false, .. } => ValueType::Int,
        Kind::Text | Kind::Choice(_) => ValueType::String,
        Kind::Duration => ValueType::Duration,
        Kind::TextList(_) => ValueType::Strings,
        Kind::Map => ValueType::Map,
    };
    found.push(OptionInfo {
        path: path.to_owned(),
        r#type: node.named_type.unwrap_or(value_type),
        default: node.default.clone(),
        change: node.change,
        effect: node.effect,
        description: node.description.clone(),
        values: node.values.clone(),
        env: if has_variable {
            let named = path.replace("[]", ".<name>");
            format!("TIDEWIRE_{}", variable(&named))
        } else {
            String::new()
        },
        secret: node.secret,
    });
    if let Kind::Items(fields) = &node.kind {
        for (key, field) in fields {
            collect(
                field,
                &join(&format!("{path}[]"), key),
                node.kind.has_named_items() && key != "name",
                found,
            );
        }
    }
}

fn collect_without_effect(value: &Value, node: &Node, path: &str, found: &mut Vec<String>) {
    match (&node.kind, value) {
        (Kind::Section(children), Value::Object(set)) => {
            // In a section that is switched off nothing else is missed.
            let is_off = children.iter().any(|(key, child)| {
                let value = set.get("enabled").unwrap_or(&child.default);
                key == "enabled" && *value == Value::Bool(false)
            });
            for (key, child) in children {
                if let Some(value) = set.get(key)
                    && !is_off
                {
                    collect_without_effect(value, child, &join(path, key), found);
                }
            }
        }
        (Kind::Items(fields), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                let at = item_path(path, index, item);
                for (key, field) in fields {
                    if let Some(value) = item.get(key) {
                        collect_without_effect(value, field, &join(&at, key), found);
                    }
                }
            }
        }
        _ if node.effect || *value == node.default => {}
        _ => found.push(path.to_owned()),
    }
}

/// The path of a list's item: by name, or by position as long as it has none.
pub(crate) fn item_path(list: &str, index: usize, item: &Value) -> String {
    match item.get("name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => format!("{list}[{name}]"),
        Some(_) | None => format!("{list}[{index}]"),
    }
}

#[cfg(test)]
mod tests;
