//! `broadcast`: one publication into many channels (server-api.md section 5.2).

use schemars::JsonSchema;
use serde::Serialize;

use super::publish::{BroadcastRequest, PublishResult};
use super::{Api, ApiError};
use crate::api::error::ErrorBody;

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
    let mut responses = Vec::with_capacity(channels.len());
    for channel in &channels {
        responses.push(match content.publish(api, channel).await {
            Ok(result) => PublishResponse::Result(result),
            Err(error) => PublishResponse::Error(error.body()),
        });
    }
    Ok(BroadcastResult { responses })
}
