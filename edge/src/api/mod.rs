//! The HTTP API for backends: framing, keys and errors here, one file per method in `methods/`.
//!
//! Contract: server-api.md sections 2 and 3. A method gets its fields and answers a value or an
//! [`ApiError`]; it knows nothing of HTTP.

mod error;
mod fields;
mod methods;
mod raw;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde::Serialize;
use tidewire_config::{ErrorMode, HttpApi};

use crate::control::Control;
use crate::services::Services;

pub use error::ApiError;
use fields::{BadBody, Fields};

/// The largest request body, in bytes.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// What the methods need.
#[derive(Clone, Debug)]
pub struct Api {
    services: Services,
    control: Arc<Control>,
    options: Arc<HttpApi>,
}

impl Api {
    /// The API of a node.
    #[must_use]
    pub fn new(services: Services, control: Arc<Control>) -> Self {
        let options = Arc::new(services.settings.boot.http_api.clone());
        Self {
            services,
            control,
            options,
        }
    }

    /// Every method, under `http_api.handler_prefix`.
    pub fn router(self) -> Router {
        let prefix = self.options.handler_prefix.trim_end_matches('/').to_owned();
        Router::new()
            .route(&format!("{prefix}/{{method}}"), any(handle))
            .with_state(self)
    }

    /// server-api.md section 2.2.
    fn allows(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        if self.options.insecure {
            return true;
        }
        let live = self.services.settings.live();
        let key = live.config.http_api.key.expose().as_bytes();
        let is_key = |given: &[u8]| !key.is_empty() && verify_slices_are_equal(given, key).is_ok();
        let by_header = match headers.get("x-api-key").filter(|value| !value.is_empty()) {
            Some(given) => is_key(given.as_bytes()),
            None => headers
                .get(AUTHORIZATION)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| {
                    let mut words = value.split_whitespace();
                    let scheme = words
                        .next()
                        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("apikey"));
                    let given = words.next().is_some_and(|given| is_key(given.as_bytes()));
                    scheme && given && words.next().is_none()
                }),
        };
        by_header || query(uri, "api_key").is_some_and(|given| is_key(given.as_bytes()))
    }
}

/// The first value of a query parameter, undecoded: keys are URL-safe.
fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// One call: path, verb, key, body, method, in this order.
async fn handle(State(api): State<Api>, Path(method): Path<String>, request: Request) -> Response {
    if method != "batch" && !methods::exists(&method) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if !api.allows(request.headers(), request.uri()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let transport = api.options.error_mode == ErrorMode::Transport
        || request
            .headers()
            .get("x-centrifugo-error-mode")
            .is_some_and(|mode| mode == "transport");
    let body = match to_bytes(request.into_body(), BODY_MAX).await {
        Ok(body) => body,
        Err(error) => {
            tracing::debug!(%error, "the body of an API call could not be read");
            return (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n").into_response();
        }
    };
    let fields = match Fields::parse(&body) {
        Ok(fields) => fields,
        Err(BadBody) => return (StatusCode::BAD_REQUEST, "Bad Request\n").into_response(),
    };
    if method == "batch" {
        return match methods::batch(&api, fields).await {
            Ok(replies) => json(StatusCode::OK, &replies),
            Err(BadBody) => (StatusCode::BAD_REQUEST, "Bad Request\n").into_response(),
        };
    }
    match methods::call(&api, &method, fields).await {
        Ok(result) => json(StatusCode::OK, &Envelope::Result(result)),
        Err(ApiError::BadBody) => (StatusCode::BAD_REQUEST, "Bad Request\n").into_response(),
        Err(ApiError::Unwritable) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n").into_response()
        }
        Err(error) if transport => json(error.status(), &error.body()),
        Err(error) => json(StatusCode::OK, &Envelope::Error(error.body())),
    }
}

/// The body of every answer.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Envelope {
    Result(Box<serde_json::value::RawValue>),
    Error(error::ErrorBody),
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (
            status,
            [(CONTENT_TYPE, "application/json")],
            Body::from(escaped(body)),
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "an API answer could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n").into_response()
        }
    }
}

/// The same JSON with `<`, `>` and `&` written as escapes, as the reference program writes them: they stand in
/// strings only.
fn escaped(body: Vec<u8>) -> Vec<u8> {
    if !body.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')) {
        return body;
    }
    let mut out = Vec::with_capacity(body.len() + 32);
    for byte in body {
        match byte {
            b'<' | b'>' | b'&' => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.push(byte),
        }
    }
    out
}
