//! The HTTP API for backends: framing and errors here, one file per method in `methods/`.
//!
//! Contract: server-api.md sections 2, 3, 8 and 9. A method gets its request and answers a value or an [`ApiError`];
//! it knows nothing of HTTP.

mod error;
mod key;
mod legacy;
mod lenient;
mod methods;
mod openapi;
mod raw;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde::Serialize;
use serde_json::value::RawValue;
use tidewire_config::{ErrorMode, HttpApi, route_of};
use tokio::time::timeout;

use crate::control::Control;
use crate::refusals::Refusals;
use crate::services::Services;

pub use error::ApiError;
use lenient::BadBody;
pub use openapi::router as description;

/// The largest request body, in bytes.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// How long the body of a call may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the methods need.
#[derive(Clone, Debug)]
pub struct Api {
    services: Services,
    control: Arc<Control>,
    options: Arc<HttpApi>,
    refusals: Arc<Refusals>,
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
            refusals: Arc::default(),
        }
    }

    /// Every method, under `http_api.handler_prefix`, and the legacy endpoint at the prefix itself.
    pub fn router(self) -> Router {
        let prefix = &self.options.handler_prefix;
        let method = format!("{}/{{method}}", prefix.trim_end_matches('/'));
        Router::new()
            .route(route_of(prefix), any(legacy_call))
            .route(&method, any(method_call))
            .with_state(self)
    }

    /// What every call passes: verb, key, body, in this order.
    async fn admit(&self, request: Request) -> Result<Bytes, Response> {
        if request.method() != Method::POST {
            return Err(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        if !self.allows(request.headers(), request.uri()) {
            return Err(StatusCode::UNAUTHORIZED.into_response());
        }
        match timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_MAX)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the body of an API call could not be read");
                Err(failure())
            }
            Err(_elapsed) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
        }
    }
}

/// One call of a method by its path.
async fn method_call(
    State(api): State<Api>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let Some(method) = methods::named(&name) else {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    };
    let transport = api.options.error_mode == ErrorMode::Transport
        || request
            .headers()
            .get("x-centrifugo-error-mode")
            .is_some_and(|mode| mode == "transport");
    let body = match api.admit(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let result = match (method.prepare)(&api, &body) {
        Ok(call) => call.await,
        Err(BadBody) => return bad_request(),
    };
    match result {
        // A batch: its errors stand inside.
        Ok(result) if method.number.is_none() => json(StatusCode::OK, &result),
        Ok(result) => json(StatusCode::OK, &Envelope::Result(result)),
        Err(ApiError::Unwritable) => failure(),
        Err(error) if transport => json(error.status(), &error.body()),
        Err(error) => json(StatusCode::OK, &Envelope::Error(error.body())),
    }
}

/// The commands of one request to the legacy endpoint.
async fn legacy_call(State(api): State<Api>, request: Request) -> Response {
    let body = match api.admit(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    match legacy::run(&api, &body).await {
        Ok(replies) => raw_json(StatusCode::OK, replies),
        Err(BadBody) => bad_request(),
    }
}

/// The answer of a method.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Envelope {
    Result(Box<RawValue>),
    Error(error::ErrorBody),
}

fn bad_request() -> Response {
    (StatusCode::BAD_REQUEST, "Bad Request\n").into_response()
}

fn failure() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n").into_response()
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => raw_json(status, body),
        Err(error) => {
            tracing::error!(%error, "an API answer could not be written");
            failure()
        }
    }
}

fn raw_json(status: StatusCode, body: Vec<u8>) -> Response {
    let body = Body::from(raw::escaped(body));
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
