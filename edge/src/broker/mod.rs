//! How publications travel between shards and between nodes.
//!
//! The contract every backend keeps (`design`: ARCHITECTURE.md, "Broker"):
//! - from the reply of [`Broker::attach`] on, everything published to the channel reaches that shard's
//!   [`Inbox`] in order, until [`Broker::detach`];
//! - a publication that was refused was not delivered to anybody;
//! - every publication carries its predecessor's offset in `prev`; nobody outside a broker computes `+ 1`.
//!
//! A broker never calls a shard: it pushes into the [`Inbox`] trait, which the shard's queue implements and
//! the node connects.

mod channels;
mod memory;
mod nats;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidewire_protocol::Publication;

pub use channels::{Channels, NoRoom};
pub use memory::Memory;
pub use nats::{NatsCore, NatsError, NatsLink, NatsOptions, NatsStats};

/// The number of a shard within its node, from 0; at most [`SHARDS_MAX`] shards exist.
pub type ShardId = usize;

/// Shards are kept as bits of one word.
pub const SHARDS_MAX: usize = 64;

/// A publication on its way to the subscribers, shared by all shards.
#[derive(Debug)]
pub struct Published {
    /// Offset of the publication before this one in the channel's stream; 0 without history.
    pub prev: u64,
    /// What the subscribers get.
    pub publication: Publication,
}

/// One event of one channel.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The channel's full name.
    pub channel: Arc<str>,
    /// The publication.
    pub published: Arc<Published>,
}

impl Delivery {
    /// What this event counts for in a bounded inbox, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.published.publication.data.len() + self.channel.len() + 64
    }
}

/// A shard's bounded queue of deliveries.
pub trait Inbox: Send + Sync {
    /// Whether a delivery of `cost` bytes fits now. An empty inbox has room for everything.
    fn has_room(&self, cost: usize) -> bool;
    /// Queues one event. Called only after [`Inbox::has_room`], under the channel's lock; a queue may
    /// overshoot its limit by the events that other channels pushed in between.
    fn push(&self, delivery: Delivery);
    /// Waits until the inbox is emptied; returns at once if it is empty, since the caller looked a moment ago.
    fn room(&self) -> futures::future::BoxFuture<'_, ()>;
}

/// Where a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Offset of the newest publication; 0 without history.
    pub offset: u64,
    /// The stream's epoch; empty without history.
    pub epoch: String,
}

/// What to do when an interested shard has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Wait for room (API publishes).
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
    /// See [`BrokerError`]; nothing was delivered then.
    pub async fn publish(
        &self,
        channel: &str,
        publication: Publication,
        when_full: WhenFull,
    ) -> Result<Position, BrokerError> {
        match self {
            Self::Memory(broker) => broker.publish(channel, publication, when_full).await,
            Self::Nats(broker) => broker.publish(channel, publication).await,
        }
    }

    /// [`Broker::publish`] where the answer is known at once: gives the publication back when it would wait.
    ///
    /// # Errors
    /// The publication, unchanged.
    pub fn publish_now(
        &self,
        channel: &str,
        publication: Box<Publication>,
    ) -> Result<Result<Position, BrokerError>, Box<Publication>> {
        match self {
            Self::Memory(broker) => Ok(broker.publish_now(
                channel,
                &Arc::new(Published {
                    prev: 0,
                    publication: *publication,
                }),
            )),
            Self::Nats(_) => Err(publication),
        }
    }

    /// Makes the channel's events reach the shard's inbox and returns the stream's position. Idempotent.
    ///
    /// # Errors
    /// See [`BrokerError`]; the shard is not attached then.
    pub async fn attach(&self, channel: &str, shard: ShardId) -> Result<Position, BrokerError> {
        match self {
            Self::Memory(broker) => Ok(broker.attach(channel, shard)),
            Self::Nats(broker) => broker.attach(channel, shard).await,
        }
    }

    /// [`Broker::attach`] where the answer is known at once.
    #[must_use]
    pub fn attach_now(&self, channel: &str, shard: ShardId) -> Option<Position> {
        match self {
            Self::Memory(broker) => Some(broker.attach(channel, shard)),
            Self::Nats(_) => None,
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
