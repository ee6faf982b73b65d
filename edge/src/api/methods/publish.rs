//! `publish`: one publication into one channel (server-api.md section 5.1).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tidewire_protocol::Publication;
use tokio::time::timeout;

use super::{Api, ApiError, Fields};
use crate::broker::{Outcome, PublishOptions, StreamOptions};
use crate::config::accepts_data;

/// How long a publication may wait for a slow shard or broker; then it was not accepted.
const DEADLINE: Duration = Duration::from_secs(8);

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

impl From<Outcome> for PublishResult {
    /// A suppressed publication is a success too.
    fn from(outcome: Outcome) -> Self {
        Self {
            offset: outcome.position.offset,
            epoch: outcome.position.epoch.to_string(),
        }
    }
}

pub(super) async fn call(api: &Api, mut fields: Fields) -> Result<PublishResult, ApiError> {
    let channel: String = fields.take("channel")?;
    Content::take(&mut fields)?.publish(api, &channel).await
}

/// What is published and how, into one channel or many.
pub(super) struct Content {
    publication: Publication,
    skip_history: bool,
    options: PublishOptions,
}

impl Content {
    pub(super) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let b64data: String = fields.take("b64data")?;
        let plain = fields.payload("data");
        let data = if b64data.is_empty() {
            plain
        } else {
            STANDARD
                .decode(b64data)
                .map_err(|_not_base64| ApiError::BadRequest)?
                .into()
        };
        Ok(Self {
            publication: Publication {
                data,
                tags: fields.take::<BTreeMap<String, String>>("tags")?,
                ..Publication::default()
            },
            skip_history: fields.take("skip_history")?,
            options: PublishOptions {
                idempotency_key: fields.take("idempotency_key")?,
                delta: fields.take("delta")?,
                version: fields.take("version")?,
                version_epoch: fields.take("version_epoch")?,
                ..PublishOptions::default()
            },
        })
    }

    pub(super) async fn publish(
        &self,
        api: &Api,
        channel: &str,
    ) -> Result<PublishResult, ApiError> {
        if channel.is_empty() {
            return Err(ApiError::BadRequest);
        }
        let (stream, delta) = {
            let live = api.services.settings.live();
            let namespace = live.namespace(channel).ok_or(ApiError::UnknownChannel)?;
            if !accepts_data(&namespace.options, &self.publication.data) {
                return Err(ApiError::BadRequest);
            }
            let options = &namespace.options;
            (
                StreamOptions::of(options),
                self.options.delta || options.delta_publish,
            )
        };
        let options = PublishOptions {
            stream: stream.filter(|_| !self.skip_history),
            delta,
            ..self.options.clone()
        };
        let publication = self.publication.clone();
        let broker = &api.services.broker;
        let published = broker.publish(channel, publication, &options);
        match timeout(DEADLINE, published).await {
            Ok(outcome) => Ok(outcome?.into()),
            Err(_elapsed) => Err(ApiError::Internal),
        }
    }
}
