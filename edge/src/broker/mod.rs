//! How publications travel between shards and between nodes.
//!
//! The contract every backend keeps:
//! - from the reply of [`Broker::attach`] on, everything published to the channel reaches that shard's
//!   [`Inbox`] in order, until [`Broker::detach`];
//! - a publication that was refused was not delivered to anybody;
//! - every publication carries its predecessor's offset in `prev`; nobody outside a broker computes `+ 1`.
//!
//! A broker never calls a shard: it pushes into the [`Inbox`] trait, which the shard's queue implements and
//! the node connects.

mod channels;
mod event;
mod memory;
mod nats;
mod stream;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidewire_protocol::{ClientInfo, Publication};

pub use channels::{Channels, NoRoom};
pub use event::{Delivery, Event, Inbox, Published};
pub use memory::{Kept, Memory};
pub use nats::{NatsCore, NatsError, NatsLink, NatsOptions, NatsStats};
pub use stream::{
    AttachOptions, Attached, HistoryFilter, HistoryPage, Outcome, Position, PublishOptions,
    StreamOptions, Suppressed,
};

/// The number of a shard within its node, from 0; at most [`SHARDS_MAX`] shards exist.
pub type ShardId = usize;

/// Shards are kept as bits of one word.
pub const SHARDS_MAX: usize = 64;

/// What to do when an interested shard has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Wait for room (API publishes).
    #[default]
    Wait,
    /// Refuse with [`BrokerError::Full`] (client publishes).
    Refuse,
}

/// Why a broker refused.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A shard of this node is behind; the publication was not delivered. Try again.
    #[error("a shard's inbox is full")]
    Full,
    /// The backend cannot be reached now; try again.
    #[error("the broker is not connected")]
    Disconnected,
    /// The channel's name cannot be used with this broker.
    #[error("the channel's name cannot be used with this broker")]
    BadChannel,
    /// The publication is larger than the backend takes.
    #[error("the publication is larger than the broker takes")]
    TooLarge,
    /// This broker keeps no history.
    #[error("the broker keeps no history")]
    NoHistory,
    /// The position belongs to another epoch of the stream.
    #[error("the stream has another epoch")]
    UnknownEpoch,
    /// Nothing can come before offset 0.
    #[error("a reversed read cannot begin at offset 0")]
    BadFilter,
}

/// A broker's state as `GET /node` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerState {
    /// `memory` or `nats`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the backend is reachable now; always true for memory.
    pub connected: bool,
    /// What is wrong, if something is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// The configured broker.
#[derive(Debug)]
pub enum Broker {
    /// Within this process.
    Memory(Memory),
    /// Core NATS between nodes: at most once.
    Nats(NatsCore),
}

impl Broker {
    /// Publishes to a channel.
    ///
    /// # Errors
    /// See [`BrokerError`]; nothing was stored or delivered then.
    pub async fn publish(
        &self,
        channel: &str,
        publication: Publication,
        options: &PublishOptions,
    ) -> Result<Outcome, BrokerError> {
        match self {
            Self::Memory(broker) => broker.publish(channel, publication, options).await,
            Self::Nats(broker) => {
                let position = broker.publish(channel, publication).await?;
                Ok(Outcome {
                    position,
                    suppressed: None,
                })
            }
        }
    }

    /// [`Broker::publish`] where the answer is known at once.
    #[must_use]
    pub fn publish_now(
        &self,
        channel: &str,
        publication: &Publication,
        options: &PublishOptions,
    ) -> Option<Result<Outcome, BrokerError>> {
        match self {
            Self::Memory(broker) => Some(broker.publish_now(channel, publication, options)),
            Self::Nats(_) => None,
        }
    }

    /// Tells the subscribers that a client joined. Best effort, never waits.
    pub fn publish_join(&self, channel: &str, who: Arc<ClientInfo>) {
        self.publish_event(channel, &Event::Join(who));
    }

    /// Tells the subscribers that a client left. Best effort, never waits.
    pub fn publish_leave(&self, channel: &str, who: Arc<ClientInfo>) {
        self.publish_event(channel, &Event::Leave(who));
    }

    fn publish_event(&self, channel: &str, event: &Event) {
        match self {
            Self::Memory(broker) => broker.publish_event(channel, event),
            Self::Nats(broker) => broker.publish_event(channel, event),
        }
    }

    /// Makes the channel's events reach the shard's inbox and returns the stream's position. Idempotent.
    ///
    /// # Errors
    /// See [`BrokerError`]; the shard is not attached then.
    pub async fn attach(
        &self,
        channel: &str,
        shard: ShardId,
        options: &AttachOptions,
    ) -> Result<Attached, BrokerError> {
        match self {
            Self::Memory(broker) => broker.attach(channel, shard, options),
            Self::Nats(_) if options.positioned => Err(BrokerError::NoHistory),
            Self::Nats(broker) => {
                let position = broker.attach(channel, shard).await?;
                Ok(Attached {
                    position,
                    page: None,
                })
            }
        }
    }

    /// [`Broker::attach`] where the answer is known at once.
    #[must_use]
    pub fn attach_now(
        &self,
        channel: &str,
        shard: ShardId,
        options: &AttachOptions,
    ) -> Option<Result<Attached, BrokerError>> {
        match self {
            Self::Memory(broker) => Some(broker.attach(channel, shard, options)),
            Self::Nats(_) => None,
        }
    }

    /// Reads a channel's stream.
    ///
    /// # Errors
    /// [`BrokerError::UnknownEpoch`], [`BrokerError::BadFilter`], [`BrokerError::NoHistory`].
    pub async fn history(
        &self,
        channel: &str,
        filter: &HistoryFilter,
        options: StreamOptions,
    ) -> Result<HistoryPage, BrokerError> {
        match self {
            Self::Memory(broker) => broker.history(channel, filter, options),
            Self::Nats(_) => Err(BrokerError::NoHistory),
        }
    }

    /// Drops a channel's publications; offset and epoch go on.
    ///
    /// # Errors
    /// [`BrokerError::NoHistory`].
    pub async fn remove_history(&self, channel: &str) -> Result<(), BrokerError> {
        match self {
            Self::Memory(broker) => {
                broker.remove_history(channel);
                Ok(())
            }
            Self::Nats(_) => Err(BrokerError::NoHistory),
        }
    }

    /// Work of the broker that goes on as long as the node runs.
    pub async fn run(&self) {
        match self {
            Self::Memory(broker) => broker.sweep().await,
            Self::Nats(_) => std::future::pending().await,
        }
    }

    /// Ends [`Broker::attach`]. Never waits.
    pub fn detach(&self, channel: &str, shard: ShardId) {
        match self {
            Self::Memory(broker) => broker.detach(channel, shard),
            Self::Nats(broker) => broker.detach(channel, shard),
        }
    }

    /// The channels of this node that have a subscriber.
    #[must_use]
    pub fn channels(&self) -> usize {
        match self {
            Self::Memory(broker) => broker.channels(),
            Self::Nats(broker) => broker.channels(),
        }
    }

    /// The state for operators.
    #[must_use]
    pub fn state(&self) -> BrokerState {
        match self {
            Self::Memory(_) => BrokerState {
                kind: "memory".to_owned(),
                connected: true,
                error: None,
            },
            Self::Nats(broker) => broker.state(),
        }
    }
}

#[cfg(test)]
mod contract;
