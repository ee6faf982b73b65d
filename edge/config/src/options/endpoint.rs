//! Listeners and the endpoints behind them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::closed_set::closed_set;
use crate::{Duration, Secret};

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
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: 8000,
            internal_address: String::new(),
            internal_port: String::new(),
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

/// The WebSocket transport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Websocket {
    /// Do not serve WebSocket connections.
    pub disabled: bool,
    /// Path of the WebSocket endpoint.
    pub handler_prefix: String,
    /// Longest time that writing to a connection may take before it is closed.
    pub write_timeout: Duration,
    /// Largest message from a client in bytes; a larger one closes the connection.
    #[schemars(range(min = 1))]
    pub message_size_limit: u32,
}

impl Default for Websocket {
    fn default() -> Self {
        Self {
            disabled: false,
            handler_prefix: "/connection/websocket".to_owned(),
            write_timeout: Duration::from_secs(1),
            message_size_limit: 65_536,
        }
    }
}

/// Metrics in the Prometheus text format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Prometheus {
    /// Serve metrics on the internal listener.
    pub enabled: bool,
    /// Path of the metrics endpoint.
    pub handler_prefix: String,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/metrics".to_owned(),
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
