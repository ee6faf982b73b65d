//! The schema in the form that a Kubernetes resource definition can carry.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::tree::unwrap_lines;

/// The schema of [`Config`](crate::Config) for a resource definition, by
/// `#[schemars(schema_with = "tidewire_config::crd_schema")]`.
///
/// It has no defaults, because the API server would write them into stored objects and so freeze
/// them; of each description only the first sentence, with `(live)` behind it where a change needs
/// no restart; and every object keeps unknown keys, which the loader reports instead.
pub fn crd_schema(_: &mut SchemaGenerator) -> Schema {
    let mut value = super::schema().to_value();
    simplify(&mut value, false);
    Schema::try_from(value).unwrap_or_default()
}

/// The first sentence of a description.
pub fn first_sentence(description: &str) -> &str {
    let paragraph = description.split("\n\n").next().unwrap_or(description);
    match paragraph.find(". ") {
        Some(end) => paragraph.get(..=end).unwrap_or(paragraph),
        None => paragraph,
    }
}

fn simplify(schema: &mut Value, inherited_live: bool) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    let live = match fields.get("x-tidewire-change").and_then(Value::as_str) {
        Some(change) => change == "live",
        None => inherited_live,
    };
    fields.retain(|key, _| {
        !key.starts_with("x-tidewire-")
            && !matches!(key.as_str(), "default" | "writeOnly" | "$schema" | "title")
    });
    if let Some(Value::String(format)) = fields.get("format")
        && format.starts_with("uint")
    {
        fields.remove("format");
    }
    let is_object = fields.get("type") == Some(&"object".into());
    if is_object {
        fields.insert(
            "x-kubernetes-preserve-unknown-fields".to_owned(),
            true.into(),
        );
    }
    shorten_description(fields, live && !is_object);
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        for property in properties.values_mut() {
            simplify(property, live);
        }
    }
    if let Some(items) = fields.get_mut("items") {
        // The list itself says that it is live.
        simplify(items, false);
    }
}

fn shorten_description(fields: &mut Map<String, Value>, live: bool) {
    let Some(Value::String(description)) = fields.get_mut("description") else {
        return;
    };
    let whole = unwrap_lines(description);
    let mut short = first_sentence(&whole).to_owned();
    if live {
        short.push_str(" (live)");
    }
    *description = short;
}
