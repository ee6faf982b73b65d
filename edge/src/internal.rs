//! What operators and monitoring ask a node: health, readiness, metrics, status.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tidewire_config::route_of;

use crate::VERSION;
use crate::broker::BrokerState;
use crate::metrics::Metrics;
use crate::services::Services;
use crate::shard::Handle;

/// The endpoints' state.
#[derive(Clone, Debug)]
pub struct Internal {
    /// This node's id and name.
    pub id: Arc<Identity>,
    /// Configuration and broker.
    pub services: Services,
    /// The shards' figures.
    pub shards: Arc<[Arc<Handle>]>,
    /// The node is shutting down: not ready any more.
    pub draining: Arc<AtomicBool>,
    /// What `/metrics` prints.
    pub metrics: Metrics,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random at each start.
    pub id: String,
    /// `node.name`, or host name and port.
    pub name: String,
}

/// The answer of `GET /node`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Random at each start.
    pub id: String,
    /// `node.name`, or host name and port.
    pub name: String,
    /// The edge's version.
    pub version: String,
    /// Hash of the boot options that this process started with.
    pub boot_hash: String,
    /// Hash of the live options in force.
    pub live_hash: String,
    /// Open client connections.
    pub connections: u64,
    /// Shutting down.
    pub draining: bool,
    /// The broker's state.
    pub broker: BrokerState,
}

impl Internal {
    /// The routes.
    pub fn router(self) -> Router {
        let boot = &self.services.settings.boot;
        let mut router = Router::new();
        if boot.health.enabled {
            let health = &boot.health.handler_prefix;
            let ready_path = format!("{}/ready", health.trim_end_matches('/'));
            router = router
                .route(&ready_path, get(ready))
                .route(route_of(health), any(healthy));
        }
        if boot.prometheus.enabled {
            router = router.route(route_of(&boot.prometheus.handler_prefix), get(scrape));
        }
        router.route("/node", get(node)).with_state(self)
    }
}

async fn healthy() -> Response {
    ([(CONTENT_TYPE, "application/json")], "{}").into_response()
}

/// Ready from the start of the listeners to the beginning of the drain; a lost broker changes nothing, or
/// every client would be thrown out at once.
async fn ready(State(internal): State<Internal>) -> Response {
    if internal.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    ([(CONTENT_TYPE, "application/json")], "{}").into_response()
}

async fn scrape(State(internal): State<Internal>) -> Response {
    match internal.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn node(State(internal): State<Internal>, headers: HeaderMap) -> Response {
    let settings = &internal.services.settings;
    let live = settings.live();
    let token = live.config.tidewire.node_status.token.expose();
    if token.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_none_or(|given| verify_slices_are_equal(given, token.as_bytes()).is_err()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(NodeStatus {
        id: internal.id.id.clone(),
        name: internal.id.name.clone(),
        version: VERSION.to_owned(),
        boot_hash: settings.boot_hash.clone(),
        live_hash: live.hash.clone(),
        connections: internal
            .shards
            .iter()
            .map(|shard| shard.counters.connections.value())
            .sum(),
        draining: internal.draining.load(Ordering::Relaxed),
        broker: internal.services.broker.state(),
    })
    .into_response()
}
