//! The schema of enums: a plain list of values.

use schemars::Schema;
use serde_json::{Value, json};

/// Turns one schema per variant into `{"type": "string", "enum": […]}`.
///
/// The documentation of a variant would otherwise produce a `oneOf` of constants, which resource
/// definitions do not allow; it is appended to the description instead.
pub(super) fn closed_set(schema: &mut Schema) {
    let Some(Value::Array(variants)) = schema.remove("oneOf") else {
        return;
    };
    let mut values = Vec::new();
    let mut meanings = Vec::new();
    for variant in &variants {
        if let Some(Value::Array(several)) = variant.get("enum") {
            values.extend(several.iter().cloned());
        }
        if let Some(value) = variant.get("const") {
            values.push(value.clone());
            meanings.push(json!({
                "value": value,
                "meaning": variant.get("description"),
            }));
        }
    }
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), Value::Array(values));
    schema.insert("x-tidewire-values".to_owned(), meanings.into());
}
