//! The options, in the shape of the configuration file: one file for each group of sections.
//!
//! A field's doc comment is its documentation everywhere. Its first sentence (at most 120
//! characters) also stands in the resource definition of the operator. Three schema extensions
//! carry what a type cannot say, for the field and everything below it:
//! `x-tidewire-change: live` (applied by a reload; without it a restart is needed),
//! `x-tidewire-effect: none` (accepted, but nothing acts on it yet) and
//! `x-tidewire-fallback` (the value that replaces an unknown one, with a warning).

mod broker;
mod channel;
mod client;
mod closed_set;
mod endpoint;
mod process;
mod tidewire;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use broker::{Broker, BrokerType, Engine, EngineType, Nats};
pub use channel::{Channel, ChannelNamespace, ChannelOptions, DataFormat, RecoveryMode};
pub use client::{Client, Token};
pub use endpoint::{Admin, ErrorMode, Health, HttpApi, HttpServer, Prometheus, Websocket};
pub use process::{Log, LogLevel, Node, Shutdown};
pub use tidewire::{Demo, Drain, NodeStatus, Tidewire};

/// The configuration of an edge node. Every section and every option may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Where the HTTP server listens.
    pub http_server: HttpServer,
    /// What is logged, and where to.
    pub log: Log,
    /// What keeps the state of channels.
    pub engine: Engine,
    /// What carries publications between nodes.
    pub broker: Broker,
    /// Client connections: who may connect, and their limits.
    pub client: Client,
    /// Channel names, namespaces and what clients may do in them.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub channel: Channel,
    /// The server API over HTTP.
    pub http_api: HttpApi,
    /// The WebSocket transport.
    pub websocket: Websocket,
    /// Metrics in the Prometheus text format.
    pub prometheus: Prometheus,
    /// The health endpoint.
    pub health: Health,
    /// The administration interface.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub admin: Admin,
    /// This node among the others.
    pub node: Node,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// File that receives the process number and is removed at exit; empty writes none.
    pub pid_file: String,
    /// Options that only Tidewire has.
    pub tidewire: Tidewire,
}
