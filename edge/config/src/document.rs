//! Documents for the command line: a first configuration, all defaults, and the manual.

mod table;

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::file::Format;
use crate::layer::{item_leaves, leaves};
use crate::schema::{
    AllowedValue, Change, Kind, Node, OptionInfo, ValueType, options, tree, variable,
};

pub use table::{PageError, filled};

/// Why a document cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The extension stands for no format.
    #[error("output config file must have one of supported extensions: json, toml, yaml, yml")]
    Extension,
    /// The system gives no random numbers, so no key was made.
    #[error("the system gives no random numbers")]
    Random(#[source] rand::rand_core::OsError),
    /// The values cannot be written in YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(String),
    /// The values cannot be written in TOML.
    #[error("cannot write TOML")]
    Toml(#[from] toml::ser::Error),
    /// The values cannot be written in JSON.
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
}

/// A first configuration with keys of its own, in the format of a file extension.
///
/// Keys for tokens, API and administration are random: 64 bytes each, the password 16. Write it
/// where only its owner can read it.
///
/// # Errors
/// The extension is none of json, toml, yaml and yml, or the system gives no random numbers.
pub fn genconfig(extension: &str) -> Result<String, DocumentError> {
    let config = json!({
        "client": {
            "token": { "hmac_secret_key": random_key::<64>()? },
            "allowed_origins": [],
        },
        "admin": {
            "enabled": false,
            "password": random_key::<16>()?,
            "secret": random_key::<64>()?,
        },
        "http_api": { "key": random_key::<64>()? },
    });
    render(&config, format_of(extension)?)
}

/// A configuration that states every default, in the format of a file extension.
///
/// A list of texts is `null`, except in TOML, which has no such value.
///
/// # Errors
/// The extension is none of json, toml, yaml and yml.
pub fn defaultconfig(extension: &str) -> Result<String, DocumentError> {
    defaultconfig_from(extension, &Value::Null)
}

/// A configuration that states every option: what `base` sets, and else the default.
///
/// `base` is what [`values`](crate::load::values) returns. Its secrets stand in the document, so
/// write it where only its owner can read it.
///
/// # Errors
/// The extension is none of json, toml, yaml and yml.
pub fn defaultconfig_from(extension: &str, base: &Value) -> Result<String, DocumentError> {
    let format = format_of(extension)?;
    render(&complete(tree(), base, format), format)
}

/// What is set, with the defaults of everything else.
fn complete(node: &Node, set: &Value, format: Format) -> Value {
    let section = |children: &BTreeMap<String, Node>, set: &Value| {
        let child = |(key, child): (&String, &Node)| {
            let set = set.get(key).unwrap_or(&Value::Null);
            (key.clone(), complete(child, set, format))
        };
        children.iter().map(child).collect::<Value>()
    };
    let value = if set.is_null() { &node.default } else { set };
    match &node.kind {
        Kind::Section(children) => section(children, set),
        Kind::Items(fields) => {
            let items = value.as_array().into_iter().flatten();
            items.map(|item| section(fields, item)).collect()
        }
        Kind::TextList(_) if *value == node.kind.zero() && format != Format::Toml => Value::Null,
        Kind::Bool
        | Kind::Integer { .. }
        | Kind::Text
        | Kind::Choice(_)
        | Kind::Duration
        | Kind::TextList(_)
        | Kind::Map => value.clone(),
    }
}

/// Which options [`defaultenv_from`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// Every option, at what the base sets or at its default.
    All,
    /// Only what the base sets, and not to zero, false or nothing.
    SetInBase,
}

/// Every default as a line `NAME=value` with the name of its variable, sorted by name.
pub fn defaultenv() -> String {
    defaultenv_from(&Value::Null, Printed::All)
}

/// Options as lines `NAME=value` with the names of their variables, sorted by name.
///
/// `base` is what [`values`](crate::load::values) returns. A list of named objects is the list of
/// their names, and each option of an item has a line of its own. Texts and lists stand between
/// double quotes, with the escapes of JSON. The secrets of the base are printed too.
pub fn defaultenv_from(base: &Value, printed: Printed) -> String {
    let mut lines = BTreeMap::new();
    let mut add = |path: &str, node: &Node, set: Option<&Value>| {
        let value = match (set, printed) {
            (Some(set), Printed::SetInBase) if *set == node.kind.zero() => return,
            (None, Printed::SetInBase) => return,
            (set, _) => set.unwrap_or(&node.default),
        };
        lines.insert(variable(path), variable_text(node, value));
    };
    for (path, node) in leaves() {
        let list = base.pointer(&pointer(&path));
        add(&path, node, list);
        let Kind::Items(fields) = &node.kind else {
            continue;
        };
        for item in list.and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = item.get("name").and_then(Value::as_str) else {
                continue;
            };
            for (option, node) in item_leaves(fields) {
                if option != "name" {
                    let path = format!("{path}.{name}.{option}");
                    add(&path, node, item.pointer(&pointer(&option)));
                }
            }
        }
    }
    let line = |(name, value): (&String, &String)| format!("TIDEWIRE_{name}={value}\n");
    lines.iter().map(line).collect()
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

/// A value as it stands behind the name of a variable.
fn variable_text(node: &Node, value: &Value) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    match (&node.kind, value) {
        (Kind::Duration, Value::String(text)) => text.clone(),
        (Kind::TextList(_), Value::Array(items)) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            quoted(&items.join(" "))
        }
        (Kind::Items(_), Value::Array(items)) if node.kind.has_named_items() => {
            let names = items.iter().filter_map(|item| item.get("name")?.as_str());
            quoted(&names.collect::<Vec<_>>().join(" "))
        }
        (Kind::Items(_) | Kind::Map, value) => quoted(&value.to_string()),
        (_, value) => value.to_string(),
    }
}

/// The manual of all options in Markdown.
pub fn markdown() -> String {
    markdown_of(None, 0)
}

/// The manual of one top-level section, or of all, with headings that many levels deeper.
pub fn markdown_of(section: Option<&str>, base_level: usize) -> String {
    let mut text = String::new();
    let mut current = "";
    let all = options();
    for option in &all {
        let top = option.path.split(['.', '[']).next().unwrap_or_default();
        if section.is_some_and(|wanted| wanted != top) {
            continue;
        }
        if top != current {
            current = top;
            heading(&mut text, base_level + 1, top);
        }
        write_option(&mut text, base_level + 2, option);
    }
    text
}

/// A random key of that many bytes, as text of letters, digits, `-` and `_`.
///
/// # Errors
/// The system gives no random numbers.
pub fn random_key<const BYTES: usize>() -> Result<String, DocumentError> {
    let mut bytes = [0_u8; BYTES];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(DocumentError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn format_of(extension: &str) -> Result<Format, DocumentError> {
    Format::of_extension(extension).ok_or(DocumentError::Extension)
}

fn render(value: &Value, format: Format) -> Result<String, DocumentError> {
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(value)?),
        Format::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => Ok(text),
            Err(error) => Err(DocumentError::Yaml(error.to_string())),
        },
        Format::Toml => Ok(toml::to_string(value)?),
    }
}

fn heading(text: &mut String, level: usize, title: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&"#".repeat(level));
    line(text, format_args!(" {title}"));
}

fn write_option(text: &mut String, level: usize, option: &OptionInfo) {
    heading(text, level, &format!("`{}`", option.path));
    line(text, format_args!("\n{}\n", option.description));
    for AllowedValue { value, meaning } in &option.values {
        line(text, format_args!("- `{value:?}`: {meaning}"));
    }
    if !option.values.is_empty() {
        text.push('\n');
    }
    let type_name = serde_json::to_value(option.r#type).unwrap_or_default();
    line(
        text,
        format_args!("- Type: `{}`", type_name.as_str().unwrap_or_default()),
    );
    let default = match (&option.default, option.r#type) {
        _ if option.secret => "none; this is a secret".to_owned(),
        (Value::String(duration), ValueType::Duration) => format!("`{duration}`"),
        (value, _) => format!("`{value}`"),
    };
    line(text, format_args!("- Default: {default}"));
    if !option.env.is_empty() {
        line(text, format_args!("- Variable: `{}`", option.env));
    }
    match option.change {
        Change::Live => line(text, format_args!("- A change applies at a reload.")),
        Change::Boot => line(text, format_args!("- A change needs a restart.")),
    }
    if !option.effect {
        line(text, format_args!("- Accepted, but without effect yet."));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _infallible = writeln!(text, "{content}");
}
