//! `RealtimeCluster.status`: what the operator saw, never what it wants.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw when it last looked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RealtimeClusterStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Edge pods that exist and are not ending.
    #[serde(default)]
    pub replicas: i32,
    /// Edge pods that serve clients.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Edge pods of the current revision.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Label selector of the edge pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Ready nodes of those wanted, for example `2/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Version that the edge nodes report, the lowest first while they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Client connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<ConnectionsStatus>,
    /// Configuration wanted and applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigStatus>,
    /// The message broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerStatus>,
    /// The revision that was taken back because its nodes did not get ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// Addresses inside Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointsStatus>,
    /// State by aspect: Ready, Available, Progressing, Degraded, ConfigValid, ConfigApplied, BrokerReady, KeysReady,
    /// ResourceConflict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Client connections, each number with two significant digits, renewed at most every 30 seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionsStatus {
    /// Connections of all nodes.
    pub total: i64,
    /// Connections of the fullest node.
    pub max_per_node: i64,
    /// Connections of the emptiest node.
    pub min_per_node: i64,
    /// When the numbers were read, in seconds since 1970.
    pub observed_at: i64,
}

/// Configuration wanted and applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// Hash of the part that needs a roll.
    pub boot_hash: String,
    /// Hash of the part that is applied live.
    pub live_hash: String,
    /// Nodes that report both hashes.
    pub applied_nodes: i32,
    /// What is still on its way: None, Live or Boot.
    pub pending: Pending,
}

/// What part of the configuration is still on its way to the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pending {
    /// All nodes report the wanted hashes.
    #[default]
    None,
    /// Nodes are reading new live options.
    Live,
    /// Nodes are being replaced for new boot options.
    Boot,
}

/// The message broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// One line for people, for example `nats 3/3`.
    pub summary: String,
    /// Copies that each stream gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_replicas: Option<i32>,
}

/// A revision that was taken back because its nodes did not get ready. It is not tried again until the spec changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// Hash of the revision that failed.
    pub revision: String,
    /// Hash of the boot options of that revision.
    pub boot_hash: String,
    /// Image of that revision.
    pub image: String,
    /// Hash of the spec, `replicas` and `operation` left out, that asked for it.
    pub spec_hash: String,
}

/// Addresses inside Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointsStatus {
    /// Where clients connect with WebSocket.
    pub websocket: String,
    /// Base address of the service API.
    pub api: String,
}
