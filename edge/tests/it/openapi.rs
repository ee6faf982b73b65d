//! The OpenAPI document, held against the API that it describes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::support::client::Client;
use crate::support::server::{API_KEY, Response, Server};

const KEY: [(&str, &str); 1] = [("X-API-Key", API_KEY)];

/// Every method that the API must have.
const METHODS: [&str; 14] = [
    "batch",
    "broadcast",
    "channels",
    "disconnect",
    "history",
    "history_remove",
    "info",
    "presence",
    "presence_stats",
    "publish",
    "refresh",
    "rpc",
    "subscribe",
    "unsubscribe",
];

fn described() -> Server {
    Server::start(&json!({
        "swagger": {"enabled": true},
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {"namespaces": [{
            "name": "news", "presence": true, "history_size": 10, "history_ttl": "60s",
            "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
            "allow_publish_for_subscriber": true, "allow_publish_for_anonymous": true,
        }]},
    }))
}

async fn document(server: &Server) -> Value {
    let response = server.get("/swagger/swagger.json").await;
    assert_eq!(
        (response.status, &*response.content_type),
        (200, "application/json")
    );
    serde_json::from_str(&response.body).unwrap()
}

fn object<'a>(value: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    let found = value.pointer(pointer).and_then(Value::as_object);
    found.unwrap_or_else(|| panic!("no object at {pointer} in {value}"))
}

/// The document and the operation of a method.
struct Described<'a> {
    document: &'a Value,
    operation: &'a Value,
}

impl<'a> Described<'a> {
    fn example(&self) -> &'a Value {
        &self.operation["requestBody"]["content"]["application/json"]["example"]
    }

    fn request(&self) -> &'a Value {
        &self.operation["requestBody"]["content"]["application/json"]["schema"]
    }

    fn answer(&self) -> &'a Value {
        &self.operation["responses"]["200"]["content"]["application/json"]["schema"]
    }

    /// What does not fit the schema in a value: the subset of JSON Schema that the document uses.
    fn misfit(&self, schema: &Value, value: &Value) -> Option<String> {
        if let Some(at) = schema["$ref"].as_str() {
            let target = self
                .document
                .pointer(at.strip_prefix('#').unwrap())
                .unwrap();
            return self.misfit(target, value);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(either) = schema[key].as_array() {
                let fits = either.iter().filter(|it| self.misfit(it, value).is_none());
                let count = fits.count();
                let is_right = if key == "oneOf" {
                    count == 1
                } else {
                    count > 0
                };
                return (!is_right).then(|| format!("{value} fits {count} of {key} in {schema}"));
            }
        }
        let names = match &schema["type"] {
            Value::String(name) => vec![name.as_str()],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        let is = |name: &&str| match *name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "null" => value.is_null(),
            other => panic!("{other} is not understood"),
        };
        if !names.iter().any(is) {
            return Some(format!("{value} is none of {names:?}"));
        }
        if let Some(items) = value.as_array() {
            return items
                .iter()
                .find_map(|it| self.misfit(&schema["items"], it));
        }
        let members = value.as_object()?;
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                return Some(format!("{value} has no {name}"));
            }
        }
        let most = schema["maxProperties"].as_u64().unwrap_or(u64::MAX);
        if members.len() as u64 > most {
            return Some(format!("{value} has more than {most} members"));
        }
        let others = &schema["additionalProperties"];
        members.iter().find_map(|(name, member)| {
            match (&schema["properties"][name], others) {
                // Stricter than the document: a member that it does not name is forgotten in it.
                (Value::Null, Value::Null) => Some(format!("{name} is not described")),
                (Value::Null, others) => self.misfit(others, member),
                (named, _) => self.misfit(named, member),
            }
        })
    }
}

fn operations(document: &Value) -> Vec<(String, Described<'_>)> {
    object(document, "/paths")
        .iter()
        .map(|(path, item)| {
            let operation = &item["post"];
            (
                path.clone(),
                Described {
                    document,
                    operation,
                },
            )
        })
        .collect()
}

#[tokio::test]
async fn the_document_has_every_method_that_is_routed_and_no_other() {
    let server = described();
    let document = document(&server).await;
    let described: BTreeSet<&str> = object(&document, "/paths")
        .keys()
        .map(|path| path.strip_prefix('/').unwrap())
        .collect();
    assert_eq!(described, METHODS.into());
    let prefix = document["servers"][0]["url"].as_str().unwrap();
    for name in described {
        let path = format!("{prefix}/{name}");
        assert_eq!(
            server.get(&path).await,
            Response::empty(405),
            "{path} is routed"
        );
    }
}

#[tokio::test]
async fn every_example_is_accepted_and_every_answer_is_as_described() {
    let server = described();
    let document = document(&server).await;
    // So that lists are not empty.
    let mut client = Client::open(&server).await;
    client.call(json!({"connect": {}})).await;
    client.subscribe_as(json!({"channel": "news:1"})).await;
    client
        .command(json!({"publish": {"channel": "news:1", "data": {"by": "a client"}}}))
        .await;
    client.publication("news:1").await;
    let tagged = json!({"channel": "news:1", "data": null, "tags": {"a": "b"}});
    server.result("publish", tagged).await;
    for (path, described) in operations(&document) {
        let example = described.example();
        assert_eq!(
            described.misfit(described.request(), example),
            None,
            "{path}"
        );
        let answer = server.api(&path[1..], example).await;
        assert_eq!(
            described.misfit(described.answer(), &answer),
            None,
            "{path}"
        );
        match &*path {
            "/rpc" => assert_eq!(answer["error"]["code"], 104),
            "/batch" => {
                let replies = answer["replies"].as_array().unwrap();
                assert!(!replies.is_empty());
                assert!(
                    replies.iter().all(|reply| reply.get("error").is_none()),
                    "{answer}"
                );
            }
            _ => assert!(answer["result"].is_object(), "{path}: {answer}"),
        }
        if path == "/history" {
            let publications = answer["result"]["publications"].as_array().unwrap();
            assert!(
                publications.iter().any(|it| it["info"].is_object()),
                "{answer}"
            );
            assert!(
                publications.iter().any(|it| it["tags"].is_object()),
                "{answer}"
            );
        }
    }
    let error = server.api("publish", &json!({})).await;
    let publish = Described {
        document: &document,
        operation: &document["paths"]["/publish"]["post"],
    };
    assert_eq!(publish.misfit(publish.answer(), &error), None);
}

/// A value of another type than the schema's: the API refuses it, so the described type is the real one.
fn wrong(described: &Described<'_>, schema: &Value) -> Option<Value> {
    if let Some(at) = schema["$ref"].as_str() {
        let target = described
            .document
            .pointer(at.strip_prefix('#').unwrap())
            .unwrap();
        return wrong(described, target);
    }
    if let Some(either) = schema["anyOf"].as_array() {
        return wrong(described, &either[0]);
    }
    let names = schema["type"].to_string();
    match names.as_str() {
        "null" => None,
        "\"array\"" => Some(json!({})),
        "\"object\"" => Some(json!([])),
        "\"string\"" => Some(json!(1)),
        "\"boolean\"" | "\"integer\"" => Some(json!("text")),
        other => panic!("{other} is not understood"),
    }
}

#[tokio::test]
async fn a_field_of_another_type_than_described_is_refused() {
    let server = described();
    let document = document(&server).await;
    let mut count = 0;
    for (path, described) in operations(&document) {
        let at = described.request()["$ref"].as_str().unwrap();
        let request = document.pointer(&at[1..]).unwrap();
        for (field, schema) in request["properties"].as_object().into_iter().flatten() {
            let Some(wrong) = wrong(&described, schema) else {
                continue;
            };
            count += 1;
            let mut body = described.example().clone();
            body[field] = wrong;
            let prefixed = format!("/api{path}");
            let response = server
                .request("POST", &prefixed, &KEY, body.to_string())
                .await;
            assert_eq!(
                response,
                Response::text(400, "Bad Request\n"),
                "{path} {body}"
            );
            body[field] = Value::Null;
            let response = server
                .request("POST", &prefixed, &KEY, body.to_string())
                .await;
            assert_eq!(response.status, 200, "{path} {body}");
        }
    }
    assert!(count > 40, "{count}");
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(at) if name == "$ref" => found.push(at.to_owned()),
                    _ => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let server = described();
    let document = document(&server).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], tidewire_edge::VERSION);
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for at in found {
        assert!(
            document.pointer(at.strip_prefix('#').unwrap()).is_some(),
            "{at}"
        );
    }
    for (path, described) in operations(&document) {
        let text = |key: &str| described.operation[key].as_str().unwrap();
        assert_eq!(text("operationId"), &path[1..]);
        assert!(text("summary").ends_with('.'), "{path}");
    }
    for (name, schema) in object(&document, "/components/schemas") {
        assert!(
            schema["description"].is_string(),
            "{name} has no description"
        );
        let fields = schema["properties"].as_object().into_iter().flatten();
        for (field, schema) in fields {
            let is_method = METHODS.contains(&&**field) || schema["$ref"].is_string();
            assert!(
                is_method || schema["description"].is_string(),
                "{name}.{field}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_without_scripts_shows_what_the_document_says() {
    let server = described();
    let document = document(&server).await;
    let page = server.get("/swagger/").await;
    assert_eq!(
        (page.status, &*page.content_type),
        (200, "text/html; charset=utf-8")
    );
    for outside in ["<script", "src=", "http://cdn", "https://", "@import"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    for (path, described) in operations(&document) {
        let head = format!("<h2 id=\"{}\">POST /api{path}</h2>", &path[1..]);
        assert!(page.body.contains(&head), "{head}");
        let example = described.example().to_string().replace('"', "&quot;");
        assert!(page.body.contains(&example), "{example}");
    }
    for (name, schema) in object(&document, "/components/schemas") {
        let at = page
            .body
            .find(&format!("<h3 id=\"type-{name}\">"))
            .unwrap_or_else(|| panic!("{name}"));
        let section = page.body[at..].split("<h3 ").nth(1).unwrap();
        for field in schema["properties"].as_object().into_iter().flatten() {
            assert!(
                section.contains(&format!("<td><code>{}</code></td>", field.0)),
                "{name} {field:?}"
            );
        }
    }
    // Every link leads somewhere.
    for link in page.body.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(page.body.contains(&format!("id=\"{target}\"")), "{target}");
    }
    let redirected = server.get("/swagger").await;
    assert_eq!(redirected, page, "the client follows the redirection");
    let posted = server.request("POST", "/swagger/", &[], "").await;
    assert_eq!(posted, Response::empty(405));
}

#[tokio::test]
async fn it_is_served_where_it_is_configured_on_the_internal_listener() {
    let off = Server::start(&json!({}));
    assert_eq!(off.get("/swagger/swagger.json").await.status, 404);
    let moved = Server::start(&json!({
        "http_server": {"internal_port": "1"},
        "http_api": {"handler_prefix": "/v2/api/"},
        "swagger": {"enabled": true, "handler_prefix": "/"},
    }));
    let response = moved.get("/swagger.json").await;
    let document: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(document["servers"][0]["url"], "/v2/api");
    let page = moved.get("/").await;
    assert!(page.body.contains("POST /v2/api/publish"), "{page:?}");
    let outside = Server::elsewhere(moved.address, moved.address);
    assert_eq!(outside.get("/swagger.json").await.status, 404);
}

/// The manual of the API.
const MANUAL: &str = include_str!("../../../docs/http-api.md");

#[tokio::test]
async fn the_manual_has_every_method_and_field_of_the_document() {
    let server = described();
    let document = document(&server).await;
    for (path, _) in operations(&document) {
        let head = format!("\n### {}\n", &path[1..]);
        assert_eq!(MANUAL.matches(&head).count(), 1, "{path}");
    }
    for (name, schema) in object(&document, "/components/schemas") {
        for (field, _) in schema["properties"].as_object().into_iter().flatten() {
            let code = [format!("`{field}`"), format!("\"{field}\"")];
            let is_there =
                code.iter().any(|code| MANUAL.contains(code)) || METHODS.contains(&&**field);
            assert!(is_there, "{name}.{field}");
        }
    }
}

#[tokio::test]
async fn every_example_of_the_manual_works() {
    let server = described();
    let mut count = 0;
    for line in MANUAL.lines().filter(|line| line.starts_with("curl ")) {
        let parts: Vec<&str> = line.split('\'').collect();
        let [_, body, url] = parts[..] else {
            panic!("{line}");
        };
        let path = url.trim().strip_prefix("http://localhost:8000").unwrap();
        let response = server.request("POST", path, &KEY, body).await;
        assert_eq!(response.status, 200, "{line}");
        let is_error = response.body.contains("\"error\"");
        assert_eq!(is_error, path == "/api/rpc", "{line}: {}", response.body);
        count += 1;
    }
    assert!(count > METHODS.len(), "{count}");
}
