//! The tree of options behind the schema.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{AllowedValue, Change, ValueType};
use crate::Config;

/// A section or an option.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) description: String,
    pub(crate) change: Change,
    /// Whether anything acts on it.
    pub(crate) effect: bool,
    pub(crate) secret: bool,
    /// The value that replaces an unknown one.
    pub(crate) fallback: Option<String>,
    /// Its type in the documentation, where another type has the same form.
    pub(crate) named_type: Option<ValueType>,
    /// The allowed values with their meaning.
    pub(crate) values: Vec<AllowedValue>,
    pub(crate) default: Value,
    pub(crate) kind: Kind,
}

/// What a value must look like.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// An object with these keys.
    Section(BTreeMap<String, Node>),
    /// A list of objects with these keys; if `name` is one of them, it identifies an object.
    Items(BTreeMap<String, Node>),
    Bool,
    Integer {
        min: i64,
        max: i64,
        wide: bool,
    },
    Text,
    /// One of these texts.
    Choice(Vec<String>),
    Duration,
    /// A list of texts: any, or if there are some here, of these.
    TextList(Vec<String>),
    /// Text by free keys.
    Map,
}

/// What a section passes on to everything below it.
#[derive(Clone, Copy)]
struct Inherited {
    change: Change,
    effect: bool,
}

/// The tree of [`Config`].
pub(crate) fn tree() -> &'static Node {
    static TREE: LazyLock<Node> = LazyLock::new(|| {
        // Serialising these types cannot fail; a default that is missing here is taken from the
        // schema, and a test compares all of them with the reference.
        let defaults = serde_json::to_value(Config::default()).unwrap_or(Value::Null);
        Node::new(super::schema().as_value(), &defaults)
    });
    &TREE
}

impl Node {
    /// Reads a schema without references.
    pub(crate) fn new(schema: &Value, defaults: &Value) -> Self {
        let inherited = Inherited {
            change: Change::Boot,
            effect: true,
        };
        Self::read(schema, defaults, inherited)
    }

    fn read(schema: &Value, default: &Value, mut inherited: Inherited) -> Self {
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        match text("x-tidewire-change") {
            Some("live") => inherited.change = Change::Live,
            Some("boot") => inherited.change = Change::Boot,
            Some(_) | None => {}
        }
        if text("x-tidewire-effect") == Some("none") {
            inherited.effect = false;
        }
        let kind = Kind::read(schema, default, inherited);
        let default = if default.is_null() {
            schema.get("default").cloned()
        } else {
            Some(default.clone())
        };
        Self {
            description: unwrap_lines(text("description").unwrap_or_default()),
            change: inherited.change,
            effect: inherited.effect,
            secret: schema.get("x-tidewire-secret") == Some(&Value::Bool(true)),
            fallback: text("x-tidewire-fallback").map(str::to_owned),
            named_type: match text("x-tidewire-type") {
                Some("uint32") => Some(ValueType::Uint32),
                Some("pem") => Some(ValueType::Pem),
                Some(_) | None => None,
            },
            // The values of a list's items stand in the schema of the items.
            values: allowed_values(
                schema
                    .get("x-tidewire-values")
                    .or_else(|| schema.get("items")?.get("x-tidewire-values")),
            ),
            default: default.unwrap_or_else(|| kind.zero()),
            kind,
        }
    }
}

impl Kind {
    /// The keys of a section.
    pub(crate) fn section(&self) -> Option<&BTreeMap<String, Node>> {
        if let Self::Section(children) = self {
            Some(children)
        } else {
            None
        }
    }

    /// Whether it is a list whose objects have names.
    pub(crate) fn has_named_items(&self) -> bool {
        matches!(self, Self::Items(fields) if fields.contains_key("name"))
    }

    fn read(schema: &Value, default: &Value, inherited: Inherited) -> Self {
        let children = |schema: &Value, default: &Value| {
            let properties = schema.get("properties").and_then(Value::as_object);
            let read = |(key, child): (&String, &Value)| {
                let default = default.get(key).unwrap_or(&Value::Null);
                (key.clone(), Node::read(child, default, inherited))
            };
            properties
                .unwrap_or(&Map::new())
                .iter()
                .map(read)
                .collect::<BTreeMap<_, _>>()
        };
        let integer = |key: &str| schema.get(key).and_then(Value::as_i64);
        match schema.get("type").and_then(Value::as_str) {
            Some("boolean") => Self::Bool,
            Some("integer") => {
                let (min, max) = match schema.get("format").and_then(Value::as_str) {
                    Some("uint16") => (0, i64::from(u16::MAX)),
                    Some("uint32") => (0, i64::from(u32::MAX)),
                    Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
                    _ => (i64::MIN, i64::MAX),
                };
                Self::Integer {
                    wide: max == i64::MAX,
                    min: integer("minimum").unwrap_or(min),
                    max: integer("maximum").unwrap_or(max),
                }
            }
            Some("array") => match schema.get("items") {
                Some(items) if items.get("properties").is_some() => {
                    Self::Items(children(items, &Value::Null))
                }
                items => Self::TextList(texts(items.and_then(|items| items.get("enum")))),
            },
            Some("object") if schema.get("additionalProperties").is_some() => Self::Map,
            Some("object") => Self::Section(children(schema, default)),
            _ if schema.get("format") == Some(&json!("duration")) => Self::Duration,
            _ => match texts(schema.get("enum")) {
                values if values.is_empty() => Self::Text,
                values => Self::Choice(values),
            },
        }
    }

    /// The value of an option that nobody set and that has no default of its own.
    pub(crate) fn zero(&self) -> Value {
        match self {
            Self::Section(_) | Self::Map => json!({}),
            Self::Items(_) | Self::TextList(_) => json!([]),
            Self::Bool => json!(false),
            Self::Integer { .. } => json!(0),
            Self::Text | Self::Choice(_) => json!(""),
            Self::Duration => json!("0s"),
        }
    }

    /// What a value should be, for messages.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Section(children) => {
                let keys: Vec<&str> = children.keys().map(String::as_str).take(3).collect();
                format!("a section with keys such as {}", keys.join(", "))
            }
            Self::Items(_) if self.has_named_items() => {
                "a list of objects, each with a name".to_owned()
            }
            Self::Items(fields) => {
                let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
                format!("a list of objects with the keys {}", keys.join(", "))
            }
            Self::Bool => "true or false".to_owned(),
            Self::Integer { min, max, .. } => match (*min, *max) {
                (i64::MIN, i64::MAX) => "a whole number".to_owned(),
                (min, i64::MAX) => format!("a whole number, at least {min}"),
                (min, max) => format!("a whole number from {min} to {max}"),
            },
            Self::Text => "text".to_owned(),
            Self::Choice(values) => format!("one of {}", quoted(values)),
            Self::Duration => "a duration such as 300ms, 25s or 1h30m".to_owned(),
            Self::TextList(values) if values.is_empty() => "a list of texts".to_owned(),
            Self::TextList(values) => format!("a list of {}", quoted(values)),
            Self::Map => "an object that maps text to text".to_owned(),
        }
    }
}

fn quoted(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    quoted.join(", ")
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn allowed_values(value: Option<&Value>) -> Vec<AllowedValue> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    let text = |item: &Value, key| {
        let text = item.get(key).and_then(Value::as_str).unwrap_or_default();
        unwrap_lines(text)
    };
    list.map(|item| AllowedValue {
        value: text(item, "value"),
        meaning: text(item, "meaning"),
    })
    .collect()
}

/// Joins the lines of each paragraph of a doc comment.
pub(super) fn unwrap_lines(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
        lines.join(" ")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
