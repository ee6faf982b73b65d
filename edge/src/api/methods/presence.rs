//! `presence` and `presence_stats`: who is in a channel, on all nodes (server-api.md section 5.7).

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tidewire_protocol::ClientInfo;

use super::{Api, ApiError};
use crate::api::raw::compact;

/// Whose presence.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["channel"]))]
pub(super) struct PresenceRequest {
    /// The channel; its namespace needs `presence`.
    channel: String,
}

/// Whose presence.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["channel"]))]
pub(super) struct PresenceStatsRequest {
    /// The channel; its namespace needs `presence`.
    channel: String,
}

/// The clients in a channel, on all nodes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PresenceResult {
    /// By client id.
    presence: BTreeMap<String, Info>,
}

/// How many clients are in a channel, on all nodes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PresenceStatsResult {
    /// Clients.
    num_clients: usize,
    /// Different users among them.
    num_users: usize,
}

/// A client.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ClientInfo")]
pub(super) struct Info {
    /// Its user; empty if it is anonymous.
    user: String,
    /// Its id.
    client: String,
    /// What its connection says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Value")]
    conn_info: Option<Box<RawValue>>,
    /// What its subscription says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Value")]
    chan_info: Option<Box<RawValue>>,
}

impl Info {
    pub(super) fn new(info: &ClientInfo) -> Result<Self, ApiError> {
        let raw = |payload: &[u8]| (!payload.is_empty()).then(|| compact(payload)).transpose();
        Ok(Self {
            user: info.user.clone(),
            client: info.client.clone(),
            conn_info: raw(&info.conn_info)?,
            chan_info: raw(&info.chan_info)?,
        })
    }
}

pub(super) async fn call(api: &Api, request: PresenceRequest) -> Result<PresenceResult, ApiError> {
    let clients = clients(api, &request.channel).await?;
    let infos = clients
        .into_iter()
        .map(|(id, info)| Ok((id, Info::new(&info)?)));
    Ok(PresenceResult {
        presence: infos.collect::<Result<_, ApiError>>()?,
    })
}

pub(super) async fn stats(
    api: &Api,
    request: PresenceStatsRequest,
) -> Result<PresenceStatsResult, ApiError> {
    let clients = clients(api, &request.channel).await?;
    let users: BTreeSet<&str> = clients.values().map(|info| info.user.as_str()).collect();
    Ok(PresenceStatsResult {
        num_clients: clients.len(),
        num_users: users.len(),
    })
}

async fn clients(api: &Api, channel: &str) -> Result<BTreeMap<String, ClientInfo>, ApiError> {
    if channel.is_empty() {
        return Err(ApiError::BadRequest);
    }
    {
        let live = api.services.settings.live();
        let namespace = live.namespace(channel).ok_or(ApiError::UnknownChannel)?;
        if !namespace.options.presence {
            return Err(ApiError::NotAvailable);
        }
    }
    Ok(api.control.presence(channel).await?)
}
