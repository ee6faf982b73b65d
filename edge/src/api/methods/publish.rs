//! `publish`: one publication into one channel (server-api.md section 5.1).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tidewire_protocol::Publication;

use super::{Api, ApiError, Fields};
use crate::api::fields::BadBody;
use crate::broker::Position;
use crate::config::accepts_data;

/// Where the publication stands; empty without history.
#[derive(Debug, Serialize)]
pub(super) struct PublishResult {
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    epoch: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl From<Position> for PublishResult {
    fn from(position: Position) -> Self {
        Self {
            offset: position.offset,
            epoch: position.epoch,
        }
    }
}

pub(super) async fn call(api: &Api, mut fields: Fields) -> Result<PublishResult, ApiError> {
    let channel: String = fields.take("channel")?;
    let content = Content::take(&mut fields)?;
    publish(api, &channel, content.publication()?).await
}

/// What is published, into one channel or many.
pub(super) struct Content {
    data: bytes::Bytes,
    b64data: String,
    tags: BTreeMap<String, String>,
}

impl Content {
    pub(super) fn take(fields: &mut Fields) -> Result<Self, BadBody> {
        Ok(Self {
            data: fields.payload("data"),
            b64data: fields.take("b64data")?,
            tags: fields.take("tags")?,
        })
    }

    pub(super) fn publication(self) -> Result<Publication, ApiError> {
        let data = if self.b64data.is_empty() {
            self.data
        } else {
            STANDARD
                .decode(self.b64data)
                .map_err(|_not_base64| ApiError::BadRequest)?
                .into()
        };
        Ok(Publication {
            data,
            tags: self.tags,
            ..Publication::default()
        })
    }
}

pub(super) async fn publish(
    api: &Api,
    channel: &str,
    publication: Publication,
) -> Result<PublishResult, ApiError> {
    if channel.is_empty() {
        return Err(ApiError::BadRequest);
    }
    {
        let live = api.services.settings.live();
        let namespace = live.namespace(channel).ok_or(ApiError::UnknownChannel)?;
        if !accepts_data(&namespace.options, &publication.data) {
            return Err(ApiError::BadRequest);
        }
    }
    Ok(api.services.publish(channel, publication).await?.into())
}
