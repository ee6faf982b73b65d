//! A file's content, turned into the types of the options.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::keys::nearest;
use crate::known::{self, Meaning};
use crate::load::{Problem, Warning};
use crate::scalar::convert;
use crate::schema::{Kind, Node, item_path, join, tree};

/// What was found while one source was read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Warning>,
}

impl Report {
    pub(crate) fn problem(&mut self, origin: &str, path: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            origin: origin.to_owned(),
            path: path.to_owned(),
            message: message.into(),
        });
    }
}

/// Whether a zero sets an option or leaves it at its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    /// As in files: a zero means the default. It becomes `null`, so that it still replaces what
    /// an earlier file set.
    IsUnset,
    /// As in variables and flags: a zero is a value.
    IsValue,
}

/// The walk through one source.
pub(crate) struct Coercion<'a> {
    /// The source's name, for messages.
    pub(crate) origin: &'a str,
    pub(crate) zero: Zero,
    pub(crate) report: &'a mut Report,
}

impl Coercion<'_> {
    /// Turns a whole file with lower-cased keys into the types of the options. Unknown keys are
    /// left out with a warning, unfit values with a problem.
    pub(crate) fn file(&mut self, value: &Value) -> Value {
        match tree().kind.section() {
            Some(children) => self.fields(value, children, "", ""),
            None => Value::Null,
        }
    }

    /// Turns one value, or reports it and returns nothing.
    pub(crate) fn value(&mut self, value: &Value, node: &Node, path: &str) -> Option<Value> {
        self.node(value, node, path, path)
    }

    /// `listed` is the path in the notation of unknown keys: `channel.namespaces.[0]`.
    fn node(&mut self, value: &Value, node: &Node, path: &str, listed: &str) -> Option<Value> {
        match (&node.kind, value) {
            (Kind::Section(children), Value::Object(_)) => {
                Some(self.fields(value, children, path, listed))
            }
            (Kind::Items(fields), Value::Array(items)) => {
                Some(self.items(items, fields, path, listed))
            }
            (Kind::Items(fields), Value::Object(_)) => {
                Some(self.items(std::slice::from_ref(value), fields, path, listed))
            }
            _ => self.leaf(value, node, path),
        }
    }

    fn fields(
        &mut self,
        value: &Value,
        children: &BTreeMap<String, Node>,
        path: &str,
        listed: &str,
    ) -> Value {
        let mut fields = Map::new();
        for (key, value) in value.as_object().into_iter().flatten() {
            match children.get(key) {
                Some(child) => {
                    let value = self.node(value, child, &join(path, key), &join(listed, key));
                    fields.extend(value.map(|value| (key.clone(), value)));
                }
                None => {
                    let (origin, listed) = (self.origin.to_owned(), join(listed, key));
                    let warning = unknown_key(origin, listed, path, key, children);
                    self.report.warnings.push(warning);
                }
            }
        }
        Value::Object(fields)
    }

    fn items(
        &mut self,
        items: &[Value],
        fields: &BTreeMap<String, Node>,
        path: &str,
        listed: &str,
    ) -> Value {
        let have_names = fields.contains_key("name");
        let mut typed = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let at = item_path(path, index, item);
            if !item.is_object() {
                let message = if have_names {
                    "write an object with a name and options"
                } else {
                    "write an object"
                };
                self.report.problem(self.origin, &at, message);
                continue;
            }
            if have_names && item.get("name").is_none() {
                let message = "the name is missing: add it";
                self.report
                    .problem(self.origin, &join(&at, "name"), message);
            }
            typed.push(self.fields(item, fields, &at, &format!("{listed}.[{index}]")));
        }
        Value::Array(typed)
    }

    fn leaf(&mut self, value: &Value, node: &Node, path: &str) -> Option<Value> {
        let unset = self.zero == Zero::IsUnset;
        if let Kind::Choice(values) = &node.kind {
            if unset && value == "" && !values.iter().any(String::is_empty) {
                return Some(Value::Null);
            }
            if let Some(fallback) = &node.fallback {
                return Some(self.with_fallback(value, values, fallback, path));
            }
        }
        match convert(value, node) {
            Ok(value) if unset && value == node.kind.zero() && value != node.default => {
                Some(Value::Null)
            }
            Ok(value) if value == 0 && !self.zero_is_allowed(node) => {
                let message = format!("0 does not fit: write {}", node.kind.expected());
                self.report.problem(self.origin, path, message);
                None
            }
            Ok(value) => Some(value),
            Err(remedy) => {
                let message = misfit(value, node, path, &remedy);
                self.report.problem(self.origin, path, message);
                None
            }
        }
    }

    /// A zero from a variable counts as it stands, so it has to keep to the bounds.
    fn zero_is_allowed(&self, node: &Node) -> bool {
        if let Kind::Integer { min, .. } = node.kind {
            self.zero == Zero::IsUnset || min <= 0
        } else {
            true
        }
    }

    /// A value of a set that forgives letter case and unknown values.
    fn with_fallback(
        &mut self,
        value: &Value,
        values: &[String],
        fallback: &str,
        path: &str,
    ) -> Value {
        let wanted = value.as_str().unwrap_or_default().to_lowercase();
        if values.contains(&wanted) {
            return Value::from(wanted);
        }
        self.report.warnings.push(Warning::UnknownValue {
            origin: self.origin.to_owned(),
            path: path.to_owned(),
            value: abridged(value),
            used: fallback.to_owned(),
        });
        Value::from(fallback)
    }
}

/// What to say of a value that does not fit.
fn misfit(value: &Value, node: &Node, path: &str, remedy: &str) -> String {
    let shown = shown(value, node);
    let is_scalar = matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_));
    match (&node.kind, known::old_key(path)) {
        (Kind::Section(_), Some(advice)) if is_scalar => {
            format!("{shown} does not fit: {remedy} (as an old key: {advice})")
        }
        _ => format!("{shown} does not fit: {remedy}"),
    }
}

/// What a message may show of a wrong value.
fn shown(value: &Value, node: &Node) -> String {
    let is_section = matches!(node.kind, Kind::Section(_) | Kind::Items(_) | Kind::Map);
    if node.secret || is_section {
        // A section may hold secrets, and so may what was put in its place.
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        return kind.to_owned();
    }
    abridged(value)
}

/// A value in JSON, cut where it gets long.
fn abridged(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start}…")
}

/// What to say of a key that no option has. `path` is that of the section that it stands in.
fn unknown_key(
    origin: String,
    listed: String,
    path: &str,
    key: &str,
    children: &BTreeMap<String, Node>,
) -> Warning {
    match known::of_key(path, key) {
        Some(Meaning::Later) => Warning::UnsupportedKey {
            origin,
            path: listed,
        },
        Some(Meaning::Old(advice)) => Warning::OldKey {
            origin,
            path: listed,
            advice,
        },
        None => Warning::UnknownKey {
            origin,
            path: listed,
            nearest: suggest(key, path, children),
        },
    }
}

/// The option that an unknown key probably means: a neighbour with a similar name, or the option
/// whose whole path it spells with underscores, as flat keys of old versions do.
fn suggest(key: &str, path: &str, children: &BTreeMap<String, Node>) -> Option<String> {
    if let Some(near) = nearest(key, children.keys().map(String::as_str)) {
        return Some(join(path, near));
    }
    let mut elsewhere = crate::schema::options()
        .into_iter()
        .map(|option| option.path)
        .filter(|option| {
            let flat = option.replace('.', "_");
            flat == key || flat.strip_prefix("client_") == Some(key)
        });
    elsewhere.next()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Coercion, Report, Zero};
    use crate::load::Warning;

    fn coerced(value: &Value, zero: Zero) -> (Value, Report) {
        let mut report = Report::default();
        let typed = Coercion {
            origin: "config.json",
            zero,
            report: &mut report,
        }
        .file(value);
        (typed, report)
    }

    fn messages(value: &Value) -> Vec<String> {
        let (_, report) = coerced(value, Zero::IsUnset);
        report.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_wrong_value_is_reported_with_file_path_value_and_remedy() {
        assert_eq!(
            messages(&json!({ "http_server": { "port": "eighty" } })),
            [
                "config.json: http_server.port: \"eighty\" does not fit: write a whole number \
                 from 0 to 65535"
            ]
        );
        assert_eq!(
            messages(
                &json!({ "channel": { "namespaces": [{ "name": "chat", "history_ttl": "5" }] } })
            ),
            [
                "config.json: channel.namespaces[chat].history_ttl: \"5\" does not fit: the unit \
                 is missing; write for example 25s or 300ms"
            ]
        );
    }

    #[test]
    fn a_scalar_in_place_of_a_section_is_refused() {
        assert_eq!(
            messages(&json!({ "engine": "redis" })),
            [
                "config.json: engine: a text does not fit: write a section with keys such as type \
                 (as an old key: since version 6 it is engine.type)"
            ]
        );
        assert_eq!(
            messages(&json!({ "channel": { "namespaces": "chat" } })).len(),
            1
        );
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_known_ones() {
        assert_eq!(
            messages(&json!({ "broker": { "type": "redis" } })),
            ["config.json: broker.type: \"redis\" does not fit: write one of \"memory\", \"nats\""]
        );
    }

    #[test]
    fn an_item_without_name_is_an_object_all_the_same() {
        let file = json!({ "client": { "connect_code_to_unidirectional_disconnect": {
            "transforms": [{ "code": "109", "to": { "code": 4001, "reasn": "x" } }, 7],
        } } });
        let (typed, report) = coerced(&file, Zero::IsUnset);
        assert_eq!(
            typed["client"]["connect_code_to_unidirectional_disconnect"]["transforms"],
            json!([{ "code": 109, "to": { "code": 4001 } }])
        );
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "config.json: client.connect_code_to_unidirectional_disconnect.transforms[1]: write \
              an object"
            ]
        );
        assert_eq!(
            report.warnings[0].to_string(),
            "unknown key in configuration file: \
             client.connect_code_to_unidirectional_disconnect.transforms.[0].to.reasn \
             (config.json); did you mean \
             client.connect_code_to_unidirectional_disconnect.transforms[0].to.reason?"
        );
    }

    #[test]
    fn a_secret_never_stands_in_a_message() {
        let file = json!({
            "http_api": { "key": ["hunter2"] },
            "client": { "token": "hunter2" },
            "admin": "hunter2",
        });
        let found = messages(&file);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }

    #[test]
    fn an_item_needs_a_name() {
        assert_eq!(
            messages(&json!({ "channel": { "namespaces": [{ "presence": true }, 7] } })),
            [
                "config.json: channel.namespaces[0].name: the name is missing: add it",
                "config.json: channel.namespaces[1]: write an object with a name and options",
            ]
        );
    }

    #[test]
    fn one_object_is_a_list_of_one() {
        let (typed, _) = coerced(
            &json!({ "channel": { "namespaces": { "name": "chat" } } }),
            Zero::IsUnset,
        );
        assert_eq!(typed["channel"]["namespaces"], json!([{ "name": "chat" }]));
    }

    #[test]
    fn a_zero_in_a_file_unsets_only_what_has_another_default() {
        let file = json!({
            "http_server": { "port": 0 },
            "client": { "channel_limit": "0", "ping_interval": "0s", "insecure": false },
            "channel": { "private_prefix": "", "max_length": 0 },
            "broker": { "type": "" },
        });
        let (typed, report) = coerced(&file, Zero::IsUnset);
        assert!(report.problems.is_empty(), "{report:?}");
        assert_eq!(
            typed,
            json!({
                "http_server": { "port": null },
                "client": { "channel_limit": null, "ping_interval": null, "insecure": false },
                "channel": { "private_prefix": null, "max_length": null },
                "broker": { "type": null },
            })
        );
    }

    #[test]
    fn a_zero_from_a_variable_is_a_value_and_keeps_to_the_bounds() {
        let (typed, report) = coerced(
            &json!({ "http_server": { "port": "0" }, "client": { "channel_limit": "0" } }),
            Zero::IsValue,
        );
        assert_eq!(typed, json!({ "http_server": { "port": 0 }, "client": {} }));
        let found: Vec<&str> = report.problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(found, ["client.channel_limit"]);
    }

    #[test]
    fn unknown_keys_are_left_out_with_a_suggestion() {
        let file = json!({
            "clinet": {},
            "client_token_hmac_secret_key": "hunter2",
            "client": { "pinginterval": "1s" },
            "channel": { "namespaces": [{ "name": "chat", "presense": true, "zzz": 1 }] },
        });
        let (typed, report) = coerced(&file, Zero::IsUnset);
        assert_eq!(
            typed,
            json!({ "client": {}, "channel": { "namespaces": [{ "name": "chat" }] } })
        );
        let mut found: Vec<(&str, Option<&str>)> = Vec::new();
        for warning in &report.warnings {
            let Warning::UnknownKey { path, nearest, .. } = warning else {
                panic!("{warning}");
            };
            found.push((path, nearest.as_deref()));
        }
        found.sort_unstable();
        assert_eq!(
            found,
            [
                (
                    "channel.namespaces.[0].presense",
                    Some("channel.namespaces[chat].presence")
                ),
                ("channel.namespaces.[0].zzz", None),
                ("client.pinginterval", Some("client.ping_interval")),
                (
                    "client_token_hmac_secret_key",
                    Some("client.token.hmac_secret_key")
                ),
                ("clinet", Some("client")),
            ]
        );
    }

    #[test]
    fn the_log_level_forgives_letter_case_and_unknown_values() {
        let (typed, report) = coerced(&json!({ "log": { "level": "DEBUG" } }), Zero::IsUnset);
        assert_eq!(typed, json!({ "log": { "level": "debug" } }));
        assert!(report.warnings.is_empty());
        let (typed, report) = coerced(&json!({ "log": { "level": "loud" } }), Zero::IsUnset);
        assert_eq!(typed, json!({ "log": { "level": "info" } }));
        assert_eq!(
            report.warnings[0].to_string(),
            "unknown value \"loud\" of log.level (config.json), info is used"
        );
    }
}
