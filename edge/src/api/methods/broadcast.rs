//! `broadcast`: one publication into many channels (server-api.md section 5.2).

use serde::Serialize;

use super::publish::{Content, PublishResult};
use super::{Api, ApiError, Fields};
use crate::api::error::ErrorBody;

/// One answer per channel, in the order of the request.
#[derive(Debug, Serialize)]
pub(super) struct BroadcastResult {
    responses: Vec<Answer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Result(PublishResult),
    Error(ErrorBody),
}

pub(super) async fn call(api: &Api, mut fields: Fields) -> Result<BroadcastResult, ApiError> {
    let channels: Vec<String> = fields.take("channels")?;
    if channels.is_empty() {
        return Err(ApiError::BadRequest);
    }
    let content = Content::take(&mut fields)?;
    let mut responses = Vec::with_capacity(channels.len());
    for channel in &channels {
        responses.push(match content.publish(api, channel).await {
            Ok(result) => Answer::Result(result),
            Err(error) => Answer::Error(error.body()),
        });
    }
    Ok(BroadcastResult { responses })
}
