//! `history` and `history_remove` (server-api.md section 5.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidewire_protocol::Publication;

use super::presence::Info;
use super::{Api, ApiError, Fields};
use crate::api::raw::compact;
use crate::broker::{HistoryFilter, Position, StreamOptions};

/// Part of a stream and where it stands.
#[derive(Debug, Serialize)]
pub(super) struct HistoryResult {
    publications: Vec<Item>,
    epoch: String,
    offset: u64,
}

/// One publication.
#[derive(Debug, Serialize)]
struct Item {
    data: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Info>,
    offset: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

/// A position as callers write it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Since {
    offset: u64,
    epoch: String,
}

/// Nothing.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

pub(super) async fn call(api: &Api, mut fields: Fields) -> Result<HistoryResult, ApiError> {
    let channel: String = fields.take("channel")?;
    let limit: i32 = fields.take("limit")?;
    let since: Option<Since> = fields.take("since")?;
    let filter = HistoryFilter {
        since: since.map(|since| Position {
            offset: since.offset,
            epoch: since.epoch.into(),
        }),
        limit: usize::try_from(limit).ok(),
        reverse: fields.take("reverse")?,
    };
    let options = options(api, &channel)?;
    let page = api
        .services
        .broker
        .history(&channel, &filter, options)
        .await?;
    let items = page.publications.iter().map(|it| item(&it.publication));
    Ok(HistoryResult {
        publications: items.collect::<Result<_, _>>()?,
        epoch: page.top.epoch.to_string(),
        offset: page.top.offset,
    })
}

pub(super) async fn remove(api: &Api, mut fields: Fields) -> Result<Empty, ApiError> {
    let channel: String = fields.take("channel")?;
    options(api, &channel)?;
    api.services.broker.remove_history(&channel).await?;
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
