//! `channels`: every channel of the cluster with a subscriber (server-api.md section 5.9).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Api, ApiError};

/// Which channels.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ChannelsRequest {
    /// Only channels whose whole name matches: `*` any text, `?` one character, `[abc]`, `[!a-z]`, `{a,b}`, and `\`
    /// before one of these for itself. Empty lists all.
    pattern: String,
}

/// The channels of all nodes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChannelsResult {
    /// By name.
    channels: BTreeMap<String, ChannelInfo>,
}

/// A channel.
#[derive(Debug, Serialize, JsonSchema)]
struct ChannelInfo {
    /// Subscribed clients.
    num_clients: u32,
}

pub(super) async fn call(api: &Api, request: ChannelsRequest) -> Result<ChannelsResult, ApiError> {
    let channels = api.control.channels(&request.pattern).await?;
    let info = |(name, num_clients)| (name, ChannelInfo { num_clients });
    Ok(ChannelsResult {
        channels: channels
            .into_iter()
            .filter(|(_, clients)| *clients > 0)
            .map(info)
            .collect(),
    })
}
