//! What a command may wait for: token verification, the broker, the other nodes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tidewire_protocol::{DisconnectCode, DisconnectReason};

use crate::auth::NeedsKeys;
use crate::broker::{Broker, ShardId};
use crate::config::Settings;
use crate::control::{Control, ControlError, NodeCommand, Target};
use crate::session::{Answer, Request};

/// Everything of the node that shards, API handlers and sessions share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The configured broker.
    pub broker: Arc<Broker>,
    /// The way to all nodes, this one included.
    pub control: Arc<Control>,
    /// Connections of each user, where they are limited.
    pub users: Arc<UserCounts>,
}

/// Connections of each user on this node, counted only if `client.user_connection_limit` is set.
#[derive(Debug, Default)]
pub struct UserCounts(Mutex<HashMap<Box<str>, u32>>);

impl UserCounts {
    /// Counts a connection; false if the user has `limit` already. 0 is no limit, and anonymous users have none.
    #[must_use]
    pub fn enter(&self, user: &str, limit: u32) -> bool {
        if limit == 0 || user.is_empty() {
            return true;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user.into()).or_default();
        let fits = *count < limit;
        *count += u32::from(fits);
        fits
    }

    /// Takes back what [`UserCounts::enter`] counted.
    pub fn leave(&self, user: &str, limit: u32) {
        if limit == 0 || user.is_empty() {
            return;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(user);
            }
        }
    }
}

impl Services {
    /// Answers at once what needs no waiting, or gives the request back.
    ///
    /// # Errors
    /// The request, for [`Services::answer`].
    pub fn answer_now(
        &self,
        request: Box<Request>,
        shard: ShardId,
    ) -> Result<Answer, Box<Request>> {
        let answer = match &*request {
            Request::Verify { token } => self.verify_now(token).ok(),
            Request::VerifySubscription { token } => self.verify_subscription_now(token).ok(),
            Request::Attach { channel, options } => {
                let attached = self.broker.attach_now(channel, shard, options);
                attached.map(Answer::Attached)
            }
            Request::Publish {
                channel,
                publication,
                options,
            } => {
                let published = self.broker.publish_now(channel, publication, options);
                published.map(Answer::Published)
            }
            Request::History { .. } | Request::Presence { .. } | Request::DisconnectUser { .. } => {
                None
            }
        };
        answer.ok_or(request)
    }

    /// Answers a request, waiting if it must.
    pub async fn answer(&self, request: Box<Request>, shard: ShardId) -> Answer {
        match *request {
            Request::Verify { token } => self.verify(&token).await,
            Request::VerifySubscription { token } => self.verify_subscription(&token).await,
            Request::Attach { channel, options } => {
                Answer::Attached(self.broker.attach(&channel, shard, &options).await)
            }
            Request::Publish {
                channel,
                publication,
                options,
            } => Answer::Published(self.broker.publish(&channel, *publication, &options).await),
            Request::History {
                channel,
                filter,
                options,
            } => Answer::History(self.broker.history(&channel, &filter, options).await),
            Request::Presence { channel } => {
                Answer::Presence(asked(self.control.presence(&channel).await))
            }
            Request::DisconnectUser { user } => {
                let DisconnectReason { code, reason } = DisconnectCode::ConnectionLimit.into();
                let command = NodeCommand::Disconnect {
                    target: Target {
                        user: user.into(),
                        ..Target::default()
                    },
                    whitelist: Vec::new(),
                    code,
                    reason: reason.into_owned(),
                };
                Answer::DisconnectedUser(asked(self.control.act(command).await).is_some())
            }
        }
    }

    fn verify_now(&self, token: &str) -> Result<Answer, NeedsKeys> {
        let live = self.settings.live();
        let claims = live.verifier.verify_connect_now(token, now())?;
        Ok(Answer::Verified(claims.map(Box::new)))
    }

    fn verify_subscription_now(&self, token: &str) -> Result<Answer, NeedsKeys> {
        let live = self.settings.live();
        let claims = live
            .subscription_verifier
            .verify_subscribe_now(token, now())?;
        Ok(Answer::VerifiedSubscription(claims.map(Box::new)))
    }

    async fn verify_subscription(&self, token: &str) -> Answer {
        let live = self.settings.live();
        let claims = live
            .subscription_verifier
            .verify_subscribe(token, now())
            .await;
        Answer::VerifiedSubscription(claims.map(Box::new))
    }

    async fn verify(&self, token: &str) -> Answer {
        let live = self.settings.live();
        let claims = live.verifier.verify_connect(token, now()).await;
        Answer::Verified(claims.map(Box::new))
    }
}

/// What the nodes said; that they could not be asked is logged.
fn asked<T>(result: Result<T, ControlError>) -> Option<T> {
    let told = |error: &ControlError| {
        tracing::warn!(error = crate::chain(error), "the nodes could not be asked");
    };
    result.inspect_err(told).ok()
}

/// Seconds since the Unix epoch, with their fraction.
fn now() -> f64 {
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
