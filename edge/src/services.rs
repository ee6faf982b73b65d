//! What a command may wait for: token verification, the broker.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidewire_protocol::Publication;

use crate::auth::NeedsKeys;
use crate::broker::{Broker, ShardId, WhenFull};
use crate::config::Settings;
use crate::session::{Answer, Request};

/// Everything of the node that shards, API handlers and sessions share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The configured broker.
    pub broker: Arc<Broker>,
}

impl Services {
    /// Answers at once what needs no waiting, or gives the request back.
    ///
    /// # Errors
    /// The request, for [`Services::answer`].
    #[expect(clippy::boxed_local, reason = "it is given back as it came")]
    pub fn answer_now(
        &self,
        request: Box<Request>,
        shard: ShardId,
    ) -> Result<Answer, Box<Request>> {
        match *request {
            Request::Verify { token } => self
                .verify_now(&token)
                .map_err(|NeedsKeys| Box::new(Request::Verify { token })),
            Request::Attach { channel } => match self.broker.attach_now(&channel, shard) {
                Some(position) => Ok(Answer::Attached(Ok(position))),
                None => Err(Box::new(Request::Attach { channel })),
            },
            Request::Publish {
                channel,
                publication,
            } => match self.broker.publish_now(&channel, publication) {
                Ok(result) => Ok(Answer::Published(result)),
                Err(publication) => Err(Box::new(Request::Publish {
                    channel,
                    publication,
                })),
            },
        }
    }

    /// Answers a request, waiting if it must.
    pub async fn answer(&self, request: Box<Request>, shard: ShardId) -> Answer {
        match *request {
            Request::Verify { token } => self.verify(&token).await,
            Request::Attach { channel } => {
                Answer::Attached(self.broker.attach(&channel, shard).await)
            }
            Request::Publish {
                channel,
                publication,
            } => Answer::Published(
                self.broker
                    .publish(&channel, *publication, WhenFull::Refuse)
                    .await,
            ),
        }
    }

    /// Publishes for a backend.
    ///
    /// # Errors
    /// See [`crate::broker::BrokerError`].
    pub async fn publish(
        &self,
        channel: &str,
        publication: Publication,
    ) -> Result<crate::broker::Position, crate::broker::BrokerError> {
        self.broker
            .publish(channel, publication, WhenFull::Wait)
            .await
    }

    fn verify_now(&self, token: &str) -> Result<Answer, NeedsKeys> {
        let live = self.settings.live();
        let claims = live.verifier.verify_connect_now(token, unix_time_exact())?;
        Ok(Answer::Verified(claims.map(Box::new)))
    }

    async fn verify(&self, token: &str) -> Answer {
        let live = self.settings.live();
        let claims = live.verifier.verify_connect(token, unix_time_exact()).await;
        Answer::Verified(claims.map(Box::new))
    }
}

/// Seconds since the Unix epoch, with their fraction.
fn unix_time_exact() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
