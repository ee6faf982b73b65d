//! The demonstration page (`tidewire.demo.enabled`): static files, and tokens for whoever asks. For development.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use crate::auth::{TokenSettings, connection_token};
use crate::demo;
use crate::services::{Services, unix_time};

/// How long a token of the page is good, in seconds.
const TOKEN_TTL: i64 = 3600;

/// The page's routes.
pub fn demo(services: Services) -> Router {
    Router::new()
        .route("/", get(|| async { file("/") }))
        .route(demo::TOKEN_PATH, get(token))
        .route(
            "/demo/{file}",
            get(|Path(name): Path<String>| async move { file(&format!("/demo/{name}")) }),
        )
        .with_state(services)
}

fn file(path: &str) -> Response {
    let Some(asset) = demo::asset(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (CONTENT_TYPE, asset.content_type),
        (CONTENT_SECURITY_POLICY, demo::CONTENT_SECURITY_POLICY),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, asset.bytes).into_response()
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    user: String,
}

async fn token(State(services): State<Services>, Query(asked): Query<Asked>) -> Response {
    let Some(user) = demo::user(&asked.user) else {
        let text = format!(
            "user: write a name of 1 to {} characters\n",
            demo::NAME_CHARS_MAX
        );
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let live = services.settings.live();
    let settings = TokenSettings::from(&live.config.client.token);
    let now = i64::try_from(unix_time()).unwrap_or(i64::MAX);
    match connection_token(&settings, user, TOKEN_TTL, now) {
        Ok(token) => ([(CACHE_CONTROL, "no-store")], Json(demo::Token { token })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the demonstration page needs tokens");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}
