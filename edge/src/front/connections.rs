//! What every `/connection/*` endpoint passes first: the limits of the node, and CORS (client-protocol, section 1).
//! The emulation endpoint passes CORS only.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_TYPE, ORIGIN,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tidewire_config::route_of;

use super::rate::Rate;
use crate::refusals::Refusals;
use crate::services::Services;
use crate::shard::Handle;
use crate::transport::origin::AllowedOrigins;

/// How much of an origin is logged.
const ORIGIN_CHARS: usize = 200;

/// What the endpoints share.
#[derive(Clone, Debug)]
pub struct Connections {
    services: Services,
    origins: Arc<AllowedOrigins>,
    shards: Arc<[Arc<Handle>]>,
    rate: Option<Arc<Rate>>,
    refusals: Arc<Refusals>,
}

impl Connections {
    /// The endpoints of a node; `origins` are `client.allowed_origins`.
    #[must_use]
    pub fn new(
        services: Services,
        origins: Arc<AllowedOrigins>,
        shards: Arc<[Arc<Handle>]>,
    ) -> Self {
        let per_second = services.settings.boot.client.connection_rate_limit;
        let rate = (per_second > 0).then(|| Arc::new(Rate::new(per_second)));
        Self {
            services,
            origins,
            shards,
            rate,
            refusals: Arc::default(),
        }
    }

    /// Puts the endpoints behind the limits and CORS, and adds `init` to them. `emulation` is behind CORS.
    pub fn router(self, endpoints: Router, emulation: Router) -> Router {
        let init = &self.services.settings.boot.init;
        let endpoints = if init.enabled {
            let answer = || async { ([(CONTENT_TYPE, "application/json; charset=utf-8")], "{}") };
            endpoints.route(route_of(&init.handler_prefix), get(answer))
        } else {
            endpoints
        };
        let limited = match endpoints.has_routes() {
            true => endpoints.route_layer(from_fn_with_state(self.clone(), limit)),
            false => endpoints,
        };
        let all = limited.merge(emulation);
        match all.has_routes() {
            true => all.route_layer(from_fn_with_state(self, cors)),
            false => all,
        }
    }

    /// The node has all the clients that it may have, or they come too fast.
    fn is_full(&self) -> bool {
        let limit = u64::from(self.services.settings.boot.client.connection_limit);
        let clients = || -> u64 {
            self.shards
                .iter()
                .map(|shard| shard.counters.clients.value())
                .sum()
        };
        limit > 0 && clients() >= limit || self.rate.as_ref().is_some_and(|rate| !rate.take())
    }
}

async fn limit(State(connections): State<Connections>, request: Request, next: Next) -> Response {
    if connections.is_full() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    next.run(request).await
}

async fn cors(State(connections): State<Connections>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let asked = request
        .headers()
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let mut response = next.run(request).await;
    let allows = connections
        .origins
        .allows(origin.as_ref().map(HeaderValue::as_bytes));
    if !allows && let Some(requests) = connections.refusals.note() {
        let origin = origin
            .as_ref()
            .map(|it| String::from_utf8_lossy(it.as_bytes()));
        let origin: String = origin
            .unwrap_or_default()
            .chars()
            .take(ORIGIN_CHARS)
            .collect();
        tracing::info!(
            origin,
            requests,
            "an origin is not in client.allowed_origins: no WebSocket, and no CORS headers for other requests"
        );
    }
    if allows {
        let headers = response.headers_mut();
        let origin = origin.unwrap_or(HeaderValue::from_static(""));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        if let Some(asked) = asked {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
    }
    response
}
