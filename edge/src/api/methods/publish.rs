//! `publish`: one publication into one channel (server-api.md section 5.1).

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidewire_protocol::Publication;
use tokio::time::timeout;

use super::{Api, ApiError};
use crate::api::lenient::Payload;
use crate::broker::{Outcome, PublishOptions, StreamOptions};
use crate::config::accepts_data;

/// How long a publication may wait for a slow shard or broker; then it was not accepted.
const DEADLINE: Duration = Duration::from_secs(8);

/// A request of `publish` or `broadcast`: where, and everything that they have in common.
macro_rules! publishing {
    ($(#[$about:meta])* $name:ident: $(#[$where:meta])* $field:ident: $type:ty) => {
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(default)]
        $(#[$about])*
        pub(super) struct $name {
            $(#[$where])*
            $field: $type,
            /// The payload: JSON of any kind. The namespace's `publication_data_format` may ask for more.
            data: Payload,
            /// The payload in Base64, for what is not JSON; it wins over `data`.
            b64data: String,
            /// Do not keep this publication in the channel's history.
            skip_history: bool,
            /// Delivered and kept with the publication; subscribers may filter by them.
            tags: BTreeMap<String, String>,
            /// A repeat within five minutes with the same key in the same channel publishes nothing and gets the
            /// first result.
            idempotency_key: String,
            /// Send subscribers that can read them patches instead of whole payloads.
            delta: bool,
            /// If it is not 0, publish only what is newer than the channel's stored version; older publications are
            /// dropped without an error. The channel needs history.
            version: u64,
            /// Versions are compared within the same epoch only.
            version_epoch: String,
        }

        impl $name {
            /// Where, and what.
            pub(super) fn split(self) -> Result<($type, Content), ApiError> {
                let content = Content {
                    publication: Publication {
                        data: self.data.or_base64(&self.b64data)?,
                        tags: self.tags,
                        ..Publication::default()
                    },
                    skip_history: self.skip_history,
                    options: PublishOptions {
                        idempotency_key: self.idempotency_key,
                        delta: self.delta,
                        version: self.version,
                        version_epoch: self.version_epoch,
                        ..PublishOptions::default()
                    },
                };
                Ok((self.$field, content))
            }
        }
    };
}

publishing! {
    /// One publication and its channel.
    #[schemars(extend("required" = ["channel"]))]
    PublishRequest:
    /// The channel.
    channel: String
}

publishing! {
    /// One publication and its channels.
    #[schemars(extend("required" = ["channels"]))]
    BroadcastRequest:
    /// The channels; one that stands twice gets two publications.
    channels: Vec<String>
}

/// Where the publication stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PublishResult {
    /// Its number in the channel's stream; left out where no history is kept.
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    /// The stream that offsets belong to; left out where no history is kept.
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

pub(super) async fn call(api: &Api, request: PublishRequest) -> Result<PublishResult, ApiError> {
    let (channel, content) = request.split()?;
    let live = api.services.settings.live();
    let kind = live
        .namespace(&channel)
        .map(|it| it.options.subscription_type);
    if kind.is_some_and(|kind| !kind.is_stream()) {
        return Err(ApiError::BadRequest);
    }
    content.publish(api, &channel).await
}

/// What is published and how, into one channel or many.
pub(super) struct Content {
    publication: Publication,
    skip_history: bool,
    options: PublishOptions,
}

impl Content {
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
