//! `info`: the nodes of the cluster (server-api.md section 5.10).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Api, ApiError};
use crate::control::NodeInfo;

/// Nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct InfoRequest {}

/// The cluster.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InfoResult {
    /// Its nodes, in no order.
    nodes: Vec<NodeResult>,
}

/// A node.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeResult {
    /// Its id, new at each start.
    uid: String,
    /// Its configured name, or host name and port.
    name: String,
    /// Version of the product.
    version: String,
    /// Connections.
    num_clients: u32,
    /// Different users among them.
    num_users: u32,
    /// Subscriptions.
    num_subs: u32,
    /// Channels with a subscriber.
    num_channels: u32,
    /// Seconds since its start; left out in the first one.
    #[serde(skip_serializing_if = "is_zero")]
    uptime: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl From<NodeInfo> for NodeResult {
    fn from(node: NodeInfo) -> Self {
        let NodeInfo {
            uid,
            name,
            version,
            num_clients,
            num_users,
            num_subs,
            num_channels,
            uptime,
        } = node;
        Self {
            uid,
            name,
            version,
            num_clients,
            num_users,
            num_subs,
            num_channels,
            uptime,
        }
    }
}

pub(super) async fn call(api: &Api, _request: InfoRequest) -> Result<InfoResult, ApiError> {
    let nodes = api.control.info().await?;
    Ok(InfoResult {
        nodes: nodes.into_iter().map(NodeResult::from).collect(),
    })
}
