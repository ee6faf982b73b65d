//! `presence` and `presence_stats`: who is in a channel, on all nodes (server-api.md section 5.7).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;
use tidewire_protocol::ClientInfo;

use super::{Api, ApiError, Fields};
use crate::api::raw::compact;

/// Clients by id.
#[derive(Debug, Serialize)]
pub(super) struct PresenceResult {
    presence: BTreeMap<String, Info>,
}

/// How many.
#[derive(Debug, Serialize)]
pub(super) struct PresenceStatsResult {
    num_clients: usize,
    num_users: usize,
}

/// A client.
#[derive(Debug, Serialize)]
pub(super) struct Info {
    user: String,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_info: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

pub(super) async fn call(api: &Api, fields: Fields) -> Result<PresenceResult, ApiError> {
    let clients = clients(api, fields).await?;
    let infos = clients
        .into_iter()
        .map(|(id, info)| Ok((id, Info::new(&info)?)));
    Ok(PresenceResult {
        presence: infos.collect::<Result<_, ApiError>>()?,
    })
}

pub(super) async fn stats(api: &Api, fields: Fields) -> Result<PresenceStatsResult, ApiError> {
    let clients = clients(api, fields).await?;
    let users: BTreeSet<&str> = clients.values().map(|info| info.user.as_str()).collect();
    Ok(PresenceStatsResult {
        num_clients: clients.len(),
        num_users: users.len(),
    })
}

async fn clients(api: &Api, mut fields: Fields) -> Result<BTreeMap<String, ClientInfo>, ApiError> {
    let channel: String = fields.take("channel")?;
    if channel.is_empty() {
        return Err(ApiError::BadRequest);
    }
    {
        let live = api.services.settings.live();
        let namespace = live.namespace(&channel).ok_or(ApiError::UnknownChannel)?;
        if !namespace.options.presence {
            return Err(ApiError::NotAvailable);
        }
    }
    Ok(api.control.presence(&channel).await?)
}
