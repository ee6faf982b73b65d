//! `channels`: every channel of the cluster with a subscriber (server-api.md section 5.9).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Api, ApiError, Fields};

/// Channel name to its figures.
#[derive(Debug, Serialize)]
pub(super) struct ChannelsResult {
    channels: BTreeMap<String, ChannelInfo>,
}

#[derive(Debug, Serialize)]
struct ChannelInfo {
    num_clients: u32,
}

pub(super) async fn call(api: &Api, mut fields: Fields) -> Result<ChannelsResult, ApiError> {
    let pattern: String = fields.take("pattern")?;
    let channels = api.control.channels(&pattern).await?;
    let info = |(name, num_clients)| (name, ChannelInfo { num_clients });
    Ok(ChannelsResult {
        channels: channels
            .into_iter()
            .filter(|(_, clients)| *clients > 0)
            .map(info)
            .collect(),
    })
}
