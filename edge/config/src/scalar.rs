//! One value, as a file or a text gives it, turned into the type of its option.
//!
//! Files, environment and flags are typed weakly: `"8000"` is a number where a number belongs,
//! `8000` a text where a text belongs, and one text is a list of texts.

use serde_json::{Map, Number, Value};

use crate::Duration;
use crate::schema::{Kind, Node};

/// Turns the value of an option that is neither a section nor a list of objects into its type.
///
/// # Errors
/// What the value should be; the message does not repeat the value.
pub(crate) fn convert(value: &Value, node: &Node) -> Result<Value, String> {
    let expected = || format!("write {}", node.kind.expected());
    match &node.kind {
        Kind::Bool => to_bool(value).map(Value::Bool).ok_or_else(expected),
        Kind::Integer { min, max, .. } => to_integer(value)
            .filter(|number| (min..=max).contains(&number) || is_unset(*number, node))
            .map(Value::from)
            .ok_or_else(expected),
        Kind::Text => to_text(value).map(Value::String).ok_or_else(expected),
        Kind::Choice(values) => to_text(value)
            .filter(|text| values.contains(text))
            .map(Value::String)
            .ok_or_else(expected),
        Kind::Duration => to_duration(value, node),
        Kind::TextList(values) => to_list(value)
            .filter(|items| values.is_empty() || all_among(items, values))
            .ok_or_else(expected),
        Kind::Map => to_map(value).ok_or_else(expected),
        Kind::Section(_) | Kind::Items(_) => Err(expected()),
    }
}

/// Reads a text as it stands in a variable, a flag or a secret's file: JSON or names where a list
/// of objects belongs, JSON where a map belongs. [`convert`] gives it its type afterwards.
///
/// # Errors
/// What the text should be; the message does not repeat the text.
pub(crate) fn from_text(text: &str, node: &Node) -> Result<Value, String> {
    let json = || serde_json::from_str::<Value>(text).ok();
    match &node.kind {
        Kind::Items(_) if node.kind.has_named_items() && text.trim_start().starts_with('[') => {
            json().ok_or_else(|| {
                "this is not JSON: write a JSON array of objects, or names with spaces between"
                    .to_owned()
            })
        }
        Kind::Items(_) if !node.kind.has_named_items() => {
            json().ok_or_else(|| "this is not JSON: write a JSON array of objects".to_owned())
        }
        Kind::Items(_) => {
            let items = text.split_whitespace().map(|name| {
                let name = ("name".to_owned(), Value::from(name));
                Value::Object(Map::from_iter([name]))
            });
            Ok(Value::Array(items.collect()))
        }
        Kind::Map => {
            json().ok_or_else(|| "this is not JSON: write a JSON object of texts".to_owned())
        }
        Kind::Section(_)
        | Kind::Bool
        | Kind::Integer { .. }
        | Kind::Text
        | Kind::Choice(_)
        | Kind::Duration
        | Kind::TextList(_) => Ok(Value::from(text)),
    }
}

/// In a file a zero stands for the default, whatever the bounds are.
fn is_unset(number: i64, node: &Node) -> bool {
    number == 0 && node.default != 0
}

fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => Some(number.as_f64()? != 0.0),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" | "" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn to_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number)),
        Value::String(text) => parse_integer(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number that is written with an exponent or a point, but has no fraction.
fn whole(number: &Number) -> Option<i64> {
    let value = number.as_f64()?;
    // Beyond this, floating point numbers skip whole numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() != 0.0 || value.abs() > EXACT {
        return None;
    }
    format!("{value:.0}").parse().ok()
}

fn parse_integer(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)))
        .unwrap_or((&lower, 10));
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -number } else { number }).ok()
}

fn to_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn to_duration(value: &Value, node: &Node) -> Result<Value, String> {
    let parsed = match value {
        Value::String(text) if text.is_empty() => Ok(Duration::ZERO),
        Value::String(text) => text.parse::<Duration>().map_err(|error| error.to_string()),
        Value::Number(_) => {
            serde_json::from_value::<Duration>(value.clone()).map_err(|error| error.to_string())
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(format!("write {}", node.kind.expected()))
        }
    };
    parsed.map(|duration| Value::from(duration.to_string()))
}

fn to_list(value: &Value) -> Option<Value> {
    let items: Option<Vec<Value>> = match value {
        Value::Array(items) => items
            .iter()
            .map(|item| to_text(item).map(Value::from))
            .collect(),
        Value::String(text) => match serde_json::from_str::<Vec<String>>(text) {
            Ok(items) => Some(items.into_iter().map(Value::from).collect()),
            Err(_) if text.trim_start().starts_with("[\"") => None,
            Err(_not_a_json_list) => Some(text.split_whitespace().map(Value::from).collect()),
        },
        Value::Number(number) => Some(vec![Value::from(number.to_string())]),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    };
    items.map(Value::Array)
}

fn all_among(items: &Value, allowed: &[String]) -> bool {
    let mut items = items.as_array().into_iter().flatten();
    items.all(|item| allowed.iter().any(|allowed| item == allowed))
}

fn to_map(value: &Value) -> Option<Value> {
    let pairs: Option<Map<String, Value>> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| Some((key.clone(), to_text(value)?.into())))
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let key = to_text(item.get("key")?)?;
                Some((key, to_text(item.get("value")?)?.into()))
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    pairs.map(Value::Object)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{convert, from_text};
    use crate::schema::Node;

    fn node(schema: &Value) -> Node {
        Node::new(schema, &Value::Null)
    }

    #[track_caller]
    fn converts(schema: &Value, table: &[(Value, Option<Value>)]) {
        let node = node(schema);
        for (given, wanted) in table {
            assert_eq!(convert(given, &node).ok(), *wanted, "{given}");
        }
    }

    #[test]
    fn truth_values_come_from_texts_and_numbers() {
        converts(
            &json!({ "type": "boolean" }),
            &[
                (json!(true), Some(json!(true))),
                (json!("true"), Some(json!(true))),
                (json!("T"), Some(json!(true))),
                (json!("False"), Some(json!(false))),
                (json!("0"), Some(json!(false))),
                (json!(""), Some(json!(false))),
                (json!(1), Some(json!(true))),
                (json!(0), Some(json!(false))),
                (json!("yes"), None),
                (json!("tRUE"), None),
                (json!([true]), None),
                (json!({}), None),
            ],
        );
    }

    #[test]
    fn numbers_come_from_texts_in_any_base_and_stay_in_their_bounds() {
        converts(
            &json!({ "type": "integer", "format": "uint16" }),
            &[
                (json!(8000), Some(json!(8000))),
                (json!("8000"), Some(json!(8000))),
                (json!("0x1F40"), Some(json!(8000))),
                (json!("0o17"), Some(json!(15))),
                (json!("0b101"), Some(json!(5))),
                (json!("+7"), Some(json!(7))),
                (json!("-0"), Some(json!(0))),
                (json!(""), Some(json!(0))),
                (json!(8e3), Some(json!(8000))),
                (json!(65535), Some(json!(65535))),
                (json!(65536), None),
                (json!(-1), None),
                (json!(0.5), None),
                (json!(1e30), None),
                (json!(u64::MAX), None),
                (json!("8000 "), None),
                (json!("0x"), None),
                (json!("--1"), None),
                (json!("0x-1"), None),
                (json!(true), None),
                (json!([1]), None),
            ],
        );
    }

    #[test]
    fn a_zero_is_accepted_below_the_bound_where_it_stands_for_the_default() {
        let schema = json!({ "type": "integer", "format": "uint32", "minimum": 1, "default": 128 });
        converts(&schema, &[(json!(0), Some(json!(0))), (json!(-1), None)]);
        let schema = json!({ "type": "integer", "format": "uint32", "minimum": 1 });
        converts(&schema, &[(json!(0), None)]);
    }

    #[test]
    fn texts_come_from_numbers() {
        converts(
            &json!({ "type": "string" }),
            &[
                (json!("a"), Some(json!("a"))),
                (json!(9000), Some(json!("9000"))),
                (json!(1.5), Some(json!("1.5"))),
                (json!(true), None),
                (json!(["a"]), None),
                (json!({}), None),
            ],
        );
    }

    #[test]
    fn a_closed_set_takes_its_values_only() {
        converts(
            &json!({ "type": "string", "enum": ["", "json"] }),
            &[
                (json!("json"), Some(json!("json"))),
                (json!(""), Some(json!(""))),
                (json!("JSON"), None),
                (json!(1), None),
            ],
        );
    }

    #[test]
    fn durations_are_normalised_and_bare_numbers_are_nanoseconds() {
        converts(
            &json!({ "type": "string", "format": "duration" }),
            &[
                (json!("60s"), Some(json!("1m0s"))),
                (json!(25), Some(json!("25ns"))),
                (json!(0), Some(json!("0s"))),
                (json!(""), Some(json!("0s"))),
                (json!("25"), None),
                (json!(-1), None),
                (json!("-1s"), None),
                (json!(1.5), None),
                (json!(true), None),
            ],
        );
    }

    #[test]
    fn one_text_is_a_list_and_commas_do_not_split_it() {
        converts(
            &json!({ "type": "array", "items": { "type": "string" } }),
            &[
                (json!(["a", 1]), Some(json!(["a", "1"]))),
                (json!("a"), Some(json!(["a"]))),
                (json!("a b"), Some(json!(["a", "b"]))),
                (json!("a,b"), Some(json!(["a,b"]))),
                (json!(""), Some(json!([]))),
                (json!(7), Some(json!(["7"]))),
                (json!([["a"]]), None),
                (json!([null]), None),
                (json!(true), None),
                (json!({}), None),
            ],
        );
    }

    #[test]
    fn a_list_may_take_only_some_texts() {
        converts(
            &json!({ "type": "array", "items": { "type": "string", "enum": ["fossil"] } }),
            &[
                (json!(["fossil"]), Some(json!(["fossil"]))),
                (json!("fossil"), Some(json!(["fossil"]))),
                (json!([]), Some(json!([]))),
                (json!(["fossil", "xdelta"]), None),
                (json!(["Fossil"]), None),
            ],
        );
    }

    #[test]
    fn maps_keep_the_case_of_their_keys() {
        let schema = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        converts(
            &schema,
            &[
                (json!({ "X-Key": 1 }), Some(json!({ "X-Key": "1" }))),
                (
                    json!([{ "key": "X-Key", "value": "v" }]),
                    Some(json!({ "X-Key": "v" })),
                ),
                (json!([{ "key": "X-Key" }]), None),
                (json!({ "a": [] }), None),
                (json!("a"), None),
            ],
        );
        let read = from_text(r#"{"X-Key":"v"}"#, &node(&schema));
        assert_eq!(read, Ok(json!({ "X-Key": "v" })));
        assert!(from_text("X-Key=v", &node(&schema)).is_err());
    }

    #[test]
    fn a_list_of_objects_in_a_text_is_json_or_names() {
        let node = node(&json!({
            "type": "array",
            "items": { "type": "object", "properties": { "name": { "type": "string" } } },
        }));
        let named = Ok(json!([{ "name": "a" }, { "name": "b-c" }]));
        assert_eq!(from_text(" a  b-c ", &node), named);
        let json = Ok(json!([{ "name": "a" }]));
        assert_eq!(from_text(r#"[{"name":"a"}]"#, &node), json);
        assert!(from_text("[{", &node).is_err());
    }

    #[test]
    fn a_list_of_objects_without_names_in_a_text_is_json() {
        let node = node(&json!({
            "type": "array",
            "items": { "type": "object", "properties": { "code": { "type": "integer" } } },
        }));
        let json = Ok(json!([{ "code": 1 }]));
        assert_eq!(from_text(r#" [{"code":1}]"#, &node), json);
        assert!(from_text("a b", &node).is_err());
    }
}
