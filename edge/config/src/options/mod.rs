//! The options, in the shape of the configuration file: one file for each group of sections.
//!
//! A field's doc comment is its documentation everywhere. Its first sentence (at most 120
//! characters) also stands in the resource definition of the operator. Schema extensions
//! carry what a type cannot say. Two hold for the field and everything below it:
//! `x-tidewire-change: live` (applied by a reload; without it a restart is needed, and `boot`
//! says so again inside a live section) and `x-tidewire-effect: none` (accepted, but nothing
//! acts on it yet: remove that line of the field when something does). Two hold for the field:
//! `x-tidewire-fallback` (the value that replaces an unknown one, with a warning) and
//! `x-tidewire-type` (the type's name in the documentation, where another has the same form).

mod broker;
mod channel;
mod client;
mod closed_set;
mod endpoint;
mod process;
mod rpc;
mod tidewire;
mod tls;
mod token;
mod transform;
mod transport;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use broker::{Broker, BrokerType, Engine, EngineType, Nats};
pub use channel::{
    Channel, ChannelNamespace, ChannelOptions, DataFormat, DeltaType, RecoveryMode,
    SubscriptionType,
};
pub use client::{Client, PersonalChannel};
pub use endpoint::{Admin, ErrorMode, Health, HttpApi, HttpServer, Prometheus, Swagger, route_of};
pub use process::{Log, LogLevel, Node, Shutdown};
pub use rpc::{Rpc, RpcNamespace, RpcPing};
pub use tidewire::{Demo, Drain, NodeStatus, Tidewire};
pub use tls::Tls;
pub use token::{SubscriptionToken, Token};
pub use transform::{
    DisconnectTarget, DisconnectTransform, HttpResponseTarget, HttpResponseTransform,
    HttpResponses, UnidirectionalDisconnects,
};
pub use transport::{
    Emulation, HttpStream, Init, Sse, UniHttpStream, UniSse, UniWebsocket, Websocket,
};

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
    /// Remote procedure calls of clients.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub rpc: Rpc,
    /// The server API over HTTP.
    pub http_api: HttpApi,
    /// The WebSocket transport.
    pub websocket: Websocket,
    /// Server-sent events downwards, requests upwards.
    pub sse: Sse,
    /// A streamed response downwards, requests upwards.
    pub http_stream: HttpStream,
    /// Where clients of SSE and HTTP streaming send their commands.
    pub emulation: Emulation,
    /// The WebSocket transport for clients that only listen.
    pub uni_websocket: UniWebsocket,
    /// Server-sent events for clients that only listen.
    pub uni_sse: UniSse,
    /// A streamed response for clients that only listen.
    pub uni_http_stream: UniHttpStream,
    /// The endpoint that clients ask before they connect.
    pub init: Init,
    /// Metrics in the Prometheus text format.
    pub prometheus: Prometheus,
    /// The health endpoint.
    pub health: Health,
    /// The description of the server API for people and tools.
    pub swagger: Swagger,
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
