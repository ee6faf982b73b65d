//! Options that only Tidewire has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Secret};

/// Options that only Tidewire has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tidewire {
    /// How connections leave a node that ends.
    pub drain: Drain,
    /// The status endpoint that the operator reads.
    pub node_status: NodeStatus,
    /// The demonstration page.
    pub demo: Demo,
}

/// How connections leave a node that ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Drain {
    /// Wait from failing readiness to closing connections.
    ///
    /// In this time load balancers learn that the node no longer takes connections. The node
    /// itself waits, so no hook of the pod is needed.
    pub endpoint_propagation: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            endpoint_propagation: Duration::from_secs(5),
        }
    }
}

/// The status endpoint that the operator reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NodeStatus {
    /// Bearer token of `GET /node`; empty answers 404.
    #[serde(skip_serializing)]
    pub token: Secret<String>,
}

/// The demonstration page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Demo {
    /// Serve the demonstration page on the listener for clients.
    pub enabled: bool,
}
