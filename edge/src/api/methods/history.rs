//! `history` and `history_remove` (server-api.md section 5.8).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tidewire_protocol::Publication;

use super::presence::Info;
use super::{Api, ApiError};
use crate::api::raw::compact;
use crate::broker::{HistoryFilter, Position, StreamOptions};

/// Which publications.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["channel"]))]
pub(super) struct HistoryRequest {
    /// The channel; its namespace needs `history_size` and `history_ttl`.
    channel: String,
    /// At most so many; 0 reads only the position, a negative number everything.
    limit: i32,
    /// Only publications after this position, or before it with `reverse`.
    since: Option<StreamPosition>,
    /// The newest first.
    reverse: bool,
}

/// What is removed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["channel"]))]
pub(super) struct HistoryRemoveRequest {
    /// The channel; its position goes on where it is.
    channel: String,
}

/// A place in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct StreamPosition {
    /// The number of a publication.
    pub(super) offset: u64,
    /// The stream that it belongs to; empty is whichever there is.
    pub(super) epoch: String,
}

/// Part of a stream and where it stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HistoryResult {
    /// The publications, the oldest first.
    publications: Vec<Item>,
    /// The stream that offsets belong to.
    epoch: String,
    /// The newest publication's offset.
    offset: u64,
}

/// One publication.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Publication")]
struct Item {
    /// The payload.
    #[schemars(with = "Value")]
    data: Box<RawValue>,
    /// The client that published; left out if a backend did.
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Info>,
    /// Its number in the stream.
    offset: u64,
    /// Its tags; left out if it has none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

/// Nothing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EmptyResult")]
pub(super) struct Empty {}

pub(super) async fn call(api: &Api, request: HistoryRequest) -> Result<HistoryResult, ApiError> {
    let filter = HistoryFilter {
        since: request.since.map(|since| Position {
            offset: since.offset,
            epoch: since.epoch.into(),
        }),
        limit: usize::try_from(request.limit).ok(),
        reverse: request.reverse,
    };
    let options = options(api, &request.channel)?;
    let page = api
        .services
        .broker
        .history(&request.channel, &filter, options)
        .await?;
    let items = page.publications.iter().map(|it| item(&it.publication));
    Ok(HistoryResult {
        publications: items.collect::<Result<_, _>>()?,
        epoch: page.top.epoch.to_string(),
        offset: page.top.offset,
    })
}

pub(super) async fn remove(api: &Api, request: HistoryRemoveRequest) -> Result<Empty, ApiError> {
    options(api, &request.channel)?;
    api.services.broker.remove_history(&request.channel).await?;
    Ok(Empty {})
}

/// How the channel's stream is kept.
fn options(api: &Api, channel: &str) -> Result<StreamOptions, ApiError> {
    if channel.is_empty() {
        return Err(ApiError::BadRequest);
    }
    let live = api.services.settings.live();
    let namespace = live.namespace(channel).ok_or(ApiError::UnknownChannel)?;
    StreamOptions::of(&namespace.options).ok_or(ApiError::NotAvailable)
}

fn item(publication: &Publication) -> Result<Item, ApiError> {
    Ok(Item {
        data: compact(&publication.data)?,
        info: publication.info.as_ref().map(Info::new).transpose()?,
        offset: publication.offset,
        tags: publication.tags.clone(),
    })
}
