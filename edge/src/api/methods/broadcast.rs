//! `broadcast`: one publication into many channels (server-api.md section 5.2).

use futures::StreamExt as _;
use futures::stream;
use schemars::JsonSchema;
use serde::Serialize;

use super::publish::{BroadcastRequest, PublishResult};
use super::{Api, ApiError};
use crate::api::error::ErrorBody;

/// Channels that are published to at the same time.
const AT_ONCE_MAX: usize = 1024;

/// What became of the publication in each channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BroadcastResult {
    /// One answer per channel, in the order of the request.
    responses: Vec<PublishResponse>,
}

/// What became of a publication in one channel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PublishResponse {
    /// It was published.
    Result(PublishResult),
    /// It was not.
    Error(ErrorBody),
}

pub(super) async fn call(
    api: &Api,
    request: BroadcastRequest,
) -> Result<BroadcastResult, ApiError> {
    let (channels, content) = request.split()?;
    if channels.is_empty() {
        return Err(ApiError::BadRequest);
    }
    let publish = async |channel: String| match content.publish(api, &channel).await {
        Ok(result) => PublishResponse::Result(result),
        Err(error) => PublishResponse::Error(error.body()),
    };
    let published = stream::iter(channels).map(publish).buffered(AT_ONCE_MAX);
    Ok(BroadcastResult {
        responses: published.collect().await,
    })
}
