//! Listeners and the endpoints behind them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::closed_set::closed_set;
use super::tls::Tls;
use crate::Secret;

/// The route of a `handler_prefix`: a slash behind it does not count, and nothing else is the root.
pub fn route_of(prefix: &str) -> &str {
    match prefix.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// Where the HTTP server listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpServer {
    /// Address to listen on for clients; empty listens on all interfaces.
    pub address: String,
    /// Port for clients, and for every other endpoint unless `internal_port` differs.
    ///
    /// A port of 0, which only the environment or a flag can give, lets the system choose.
    pub port: u16,
    /// Address of the internal listener; empty means that of `address`.
    pub internal_address: String,
    /// Port of the internal listener: API, health, metrics and node status; empty means `port`.
    ///
    /// It is text, as in the reference program. The same address and port make one listener.
    pub internal_port: String,
    /// TLS of all listeners, or with `tls_external` of the one for clients only.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub tls: Tls,
    /// Use `tls` on the listener for clients only.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub tls_external: bool,
    /// TLS of the internal listener, when it is a listener of its own.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub internal_tls: Tls,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: 8000,
            internal_address: String::new(),
            internal_port: String::new(),
            tls: Tls::default(),
            tls_external: false,
            internal_tls: Tls::default(),
        }
    }
}

/// The server API over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpApi {
    /// Do not serve the API.
    pub disabled: bool,
    /// Path under which the methods stand.
    pub handler_prefix: String,
    /// Key that callers of the API present; empty refuses every call.
    #[schemars(extend("x-tidewire-change" = "live"))]
    #[serde(skip_serializing)]
    pub key: Secret<String>,
    /// Serve the API on the listener for clients instead of the internal one.
    pub external: bool,
    /// Accept API calls without a key.
    ///
    /// For development, or where the network alone decides who reaches the internal listener.
    pub insecure: bool,
    /// How a failed call is reported: in the reply's body, or also by the HTTP status.
    pub error_mode: ErrorMode,
}

impl Default for HttpApi {
    fn default() -> Self {
        Self {
            disabled: false,
            handler_prefix: "/api".to_owned(),
            key: Secret::default(),
            external: false,
            insecure: false,
            error_mode: ErrorMode::default(),
        }
    }
}

/// How the API reports that a call failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum ErrorMode {
    /// Status 200 with an error object in the reply.
    #[default]
    #[serde(rename = "")]
    Reply,
    /// A status of 400 or above that fits the error.
    Transport,
}

/// Metrics in the Prometheus text format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Prometheus {
    /// Serve metrics on the internal listener.
    pub enabled: bool,
    /// Path of the metrics endpoint.
    pub handler_prefix: String,
    /// Count HTTP requests by endpoint and status.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub instrument_http_handlers: bool,
    /// Measure how many publications clients recover.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub recovered_publications_histogram: bool,
    /// Serve histograms in Prometheus' native form instead of fixed buckets.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub native_histograms: bool,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/metrics".to_owned(),
            instrument_http_handlers: false,
            recovered_publications_histogram: false,
            native_histograms: false,
        }
    }
}

/// The health endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Health {
    /// Serve health and readiness on the internal listener.
    pub enabled: bool,
    /// Path of the health endpoint; readiness stands below it, at `/ready`.
    pub handler_prefix: String,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/health".to_owned(),
        }
    }
}

/// The description of the server API for people and tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Swagger {
    /// Serve the OpenAPI document and a page for it on the internal listener.
    pub enabled: bool,
    /// Path of the page.
    pub handler_prefix: String,
}

impl Default for Swagger {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/swagger".to_owned(),
        }
    }
}

/// The administration interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Admin {
    /// Serve the administration interface.
    pub enabled: bool,
    /// Password for signing in; empty lets nobody sign in.
    #[serde(skip_serializing)]
    pub password: Secret<String>,
    /// Key that signs administration sessions; empty lets nobody sign in.
    #[serde(skip_serializing)]
    pub secret: Secret<String>,
}
