//! The OpenAPI document of the server API, made from the table of methods and their types, and a page that shows it
//! (`swagger.enabled`).

mod page;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{Method as Verb, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use schemars::generate::SchemaSettings;
use schemars::{SchemaGenerator, transform};
use serde_json::{Map, Value, json};
use tidewire_config::{Config, route_of};

use super::error::ErrorBody;
use super::methods::{METHODS, Method};

/// Where the document refers to its types.
const TYPES: &str = "/components/schemas";

/// The page shows text and its own style, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// Document and page, made once.
#[derive(Debug)]
struct Texts {
    document: String,
    page: String,
}

/// The page at `swagger.handler_prefix` and the document in `swagger.json` below it.
pub fn router(config: &Config) -> Router {
    let prefix = config
        .swagger
        .handler_prefix
        .trim_end_matches('/')
        .to_owned();
    let document = document(&config.http_api.handler_prefix);
    let texts = Arc::new(Texts {
        page: page::render(&document),
        document: document.to_string(),
    });
    let mut router = Router::new()
        .route(&format!("{prefix}/"), any(page))
        .route(&format!("{prefix}/swagger.json"), any(json_text));
    if !prefix.is_empty() {
        let with_slash = format!("{prefix}/");
        router = router.route(
            &prefix,
            any(|| async { (StatusCode::MOVED_PERMANENTLY, [(LOCATION, with_slash)]) }),
        );
    }
    router.with_state(texts)
}

async fn page(State(texts): State<Arc<Texts>>, verb: Verb) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    get(&verb, || (headers, texts.page.clone()).into_response())
}

async fn json_text(State(texts): State<Arc<Texts>>, verb: Verb) -> Response {
    let headers = [(CONTENT_TYPE, "application/json")];
    get(&verb, || (headers, texts.document.clone()).into_response())
}

fn get(verb: &Verb, answer: impl FnOnce() -> Response) -> Response {
    if matches!(*verb, Verb::GET | Verb::HEAD) {
        answer()
    } else {
        StatusCode::METHOD_NOT_ALLOWED.into_response()
    }
}

/// The document of an API under this prefix.
fn document(prefix: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = TYPES.into();
        settings.meta_schema = None;
        settings.transforms = vec![Box::new(transform::RecursiveTransform(tidied))];
    });
    let mut requests = settings.clone().for_deserialize().into_generator();
    let mut results = settings.for_serialize().into_generator();
    let error = results.subschema_for::<ErrorBody>().to_value();
    let mut paths = Map::new();
    for method in &METHODS {
        let request = (method.request)(&mut requests).to_value();
        let result = (method.result)(&mut results).to_value();
        let answer = if method.number.is_some() {
            enveloped(&result, &error)
        } else {
            result
        };
        let path = format!("/{}", method.name);
        paths.insert(path, operation(method, &request, &answer, &error));
    }
    let prefix = route_of(prefix);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidewire server HTTP API",
            "version": crate::VERSION,
            "description": "Every field of a request may be left out or null, unless it is marked as \
                required; fields that a method does not know are ignored.",
        },
        "servers": [{"url": prefix}],
        "security": [{"ApiKeyAuth": []}],
        "paths": paths,
        "components": {
            "schemas": types([requests, results]),
            "securitySchemes": {
                "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    })
}

fn operation(method: &Method, request: &Value, answer: &Value, error: &Value) -> Value {
    // Examples are JSON; a test sends each of them.
    let example: Value = serde_json::from_str(method.example).unwrap_or_default();
    let of = |schema: &Value| json!({"application/json": {"schema": schema}});
    json!({"post": {
        "operationId": method.name,
        "summary": method.summary,
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": request, "example": example}},
        },
        "responses": {
            "200": {"description": "The answer.", "content": of(answer)},
            "400": {"description": "The body is not a JSON object of the right types."},
            "401": {"description": "The key is missing or wrong."},
            "default": {
                "description": "An error with http_api.error_mode transport, or the header \
                    X-Centrifugo-Error-Mode: transport.",
                "content": of(error),
            },
        },
    }})
}

/// The answer of a method: its result or an error.
fn enveloped(result: &Value, error: &Value) -> Value {
    let with = |name: &str, schema: &Value| {
        json!({
            "type": "object",
            "properties": {name: schema},
            "required": [name],
        })
    };
    json!({"oneOf": [with("result", result), with("error", error)]})
}

/// Every type by its name. No type is in requests and results at once.
fn types(generators: [SchemaGenerator; 2]) -> Map<String, Value> {
    generators
        .into_iter()
        .flat_map(|mut generator| generator.take_definitions(true))
        .collect()
}

/// Every field is its type's zero value if it is left out: that need not be said at each. The lines of comments are
/// those of one sentence.
fn tidied(schema: &mut schemars::Schema) {
    schema.remove("default");
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}
