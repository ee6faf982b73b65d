//! The OpenAPI document as a page for people: no script, nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::{Map, Value};

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Tidewire server HTTP API</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b2733 }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #cbd5df; padding-bottom: .25rem }
h3 { margin-bottom: .25rem }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #eef2f6; border-radius: 3px }
code { padding: 0 .25em }
pre { padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
td:first-child { width: 12rem }
td:nth-child(2) { width: 14rem }
td { border-top: 1px solid #dde4ea; padding: .35rem .75rem .35rem 0; vertical-align: top }
nav a { margin-right: .75em }
a { color: #0b5cad }
</style></head><body>
";

/// The page.
pub(super) fn render(document: &Value) -> String {
    let mut page = String::from(HEAD);
    let mut write = |text: &str| page.push_str(text);
    let info = |key: &str| escaped(text(document, &format!("/info/{key}")));
    let prefix = text(document, "/servers/0/url").trim_end_matches('/');
    write(&format!("<h1>{}</h1>\n", info("title")));
    write(&format!(
        "<p>Version {}. {}</p>\n<p>The same as an OpenAPI document: <a href=\"swagger.json\">swagger.json</a>.</p>\n",
        info("version"),
        info("description")
    ));
    let paths = members(document, "/paths");
    write(
        "<p>An answer is <code>{\"result\": …}</code> or <code>{\"error\": …}</code>, an \
         <a href=\"#type-Error\">Error</a>.</p>\n<nav>",
    );
    for path in paths.keys() {
        let name = path.trim_start_matches('/');
        write(&format!("<a href=\"#{name}\">{name}</a>\n"));
    }
    write("</nav>\n");
    for (path, item) in paths {
        let (address, name) = (format!("{prefix}{path}"), path.trim_start_matches('/'));
        write(&method(document, &address, name, at(item, "/post")));
    }
    write("<h2 id=\"types\">Types</h2>\n");
    for (name, schema) in members(document, "/components/schemas") {
        let description = escaped(text(schema, "/description"));
        let fields = fields(schema);
        write(&format!(
            "<h3 id=\"type-{name}\">{name}</h3>\n<p>{description}</p>\n{fields}"
        ));
    }
    write("</body></html>\n");
    page
}

fn method(document: &Value, address: &str, name: &str, operation: &Value) -> String {
    let body = at(operation, "/requestBody/content/application~1json");
    let answer = at(operation, "/responses/200/content/application~1json/schema");
    // A batch has no envelope.
    let (title, result) = match answer.pointer("/oneOf/0/properties/result") {
        Some(result) => ("Result", result),
        None => ("Answer, without an envelope", answer),
    };
    let example = escaped(&at(body, "/example").to_string());
    format!(
        "<h2 id=\"{name}\">POST {address}</h2>\n<p>{}</p>\n\
         <pre>curl -H 'X-API-Key: …' -d '{example}' http://…{address}</pre>\n\
         <p>Request:</p>\n{}<p>{title}:</p>\n{}",
        escaped(text(operation, "/summary")),
        fields(resolved(document, at(body, "/schema"))),
        fields(resolved(document, result)),
    )
}

/// The type that a reference names.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = at(schema, "/$ref")
        .as_str()
        .and_then(|at| at.strip_prefix('#'));
    target.and_then(|at| document.pointer(at)).unwrap_or(schema)
}

/// The fields of an object, or of each of the alternatives.
fn fields(schema: &Value) -> String {
    if let Some(either) = at(schema, "/oneOf").as_array() {
        return either.iter().map(fields).collect();
    }
    let members = members(schema, "/properties");
    if members.is_empty() {
        return "<p>No fields.</p>\n".to_owned();
    }
    let is_required = |name: &str| {
        let required = at(schema, "/required").as_array();
        required.is_some_and(|required| required.iter().any(|it| it == name))
    };
    let mut table = String::from("<table>\n");
    for (name, field) in members {
        let required = if is_required(name) { ", required" } else { "" };
        // Writing to a string cannot fail.
        let _written = writeln!(
            table,
            "<tr><td><code>{}</code></td><td>{}{required}</td><td>{}</td></tr>",
            escaped(name),
            kind(field),
            escaped(text(field, "/description")),
        );
    }
    table.push_str("</table>\n");
    table
}

/// A type in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = at(schema, "/$ref")
        .as_str()
        .and_then(|at| at.rsplit('/').next())
    {
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    if let Some(either) = at(schema, "/anyOf").as_array() {
        // The other alternative is null.
        return either.first().map(kind).unwrap_or_default();
    }
    let name = match at(schema, "/type") {
        Value::String(name) => name.as_str(),
        Value::Array(names) => names.first().and_then(Value::as_str).unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any JSON",
    };
    match name {
        "array" => format!("list of {}", kind(at(schema, "/items"))),
        "object" => match at(schema, "/additionalProperties") {
            values if values.is_object() => format!("map to {}", kind(values)),
            _ => "object".to_owned(),
        },
        name => name.to_owned(),
    }
}

fn members<'a>(value: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    at(value, pointer).as_object().unwrap_or(&NONE)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or_default()
}

/// What stands there, or null.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    value.pointer(pointer).unwrap_or(&NULL)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
