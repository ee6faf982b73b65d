//! What travels from a broker to the shards.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tidewire_protocol::{ClientInfo, Publication};

/// A publication on its way to the subscribers, shared by all shards.
#[derive(Debug, Default)]
pub struct Published {
    /// Offset of the publication before this one in the channel's stream; 0 at its start and without history.
    pub prev: u64,
    /// Epoch of the stream; empty without history.
    pub epoch: Arc<str>,
    /// The previous publication's data, if subscribers with deltas may get a patch against it.
    pub base: Option<Bytes>,
    /// What the subscribers get; `offset` is 0 without history.
    pub publication: Publication,
}

/// Something that happened in a channel.
#[derive(Clone, Debug)]
pub enum Event {
    /// A publication.
    Publication(Arc<Published>),
    /// A client subscribed.
    Join(Arc<ClientInfo>),
    /// A client's subscription ended.
    Leave(Arc<ClientInfo>),
}

/// One event of one channel.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The channel's full name.
    pub channel: Arc<str>,
    /// What happened.
    pub event: Event,
}

impl Delivery {
    /// What this event counts for in a bounded inbox, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let payload = match &self.event {
            Event::Publication(published) => published.publication.data.len(),
            Event::Join(info) | Event::Leave(info) => info.conn_info.len() + info.chan_info.len(),
        };
        payload + self.channel.len() + 64
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
    fn room(&self) -> BoxFuture<'_, ()>;
}
