//! The memory engine: one process, synchronous, ordered by the channel table's partition lock.

use std::sync::Arc;

use tidewire_protocol::Publication;

use super::channels::NoRoom;
use super::{BrokerError, Channels, Position, Published, ShardId, WhenFull};

/// The broker of a single node.
#[derive(Debug)]
pub struct Memory {
    channels: Arc<Channels>,
}

impl Memory {
    /// A broker over the node's channels.
    #[must_use]
    pub fn new(channels: Arc<Channels>) -> Self {
        Self { channels }
    }

    pub(super) async fn publish(
        &self,
        channel: &str,
        publication: Publication,
        when_full: WhenFull,
    ) -> Result<Position, BrokerError> {
        let published = Arc::new(Published {
            prev: 0,
            publication,
        });
        loop {
            match self.channels.deliver(channel, &published) {
                Ok(()) => return Ok(Position::default()),
                Err(NoRoom(_)) if when_full == WhenFull::Refuse => return Err(BrokerError::Full),
                Err(NoRoom(shard)) => self.channels.room(shard).await,
            }
        }
    }

    pub(super) fn publish_now(
        &self,
        channel: &str,
        published: &Arc<Published>,
    ) -> Result<Position, BrokerError> {
        self.channels
            .deliver(channel, published)
            .map(|()| Position::default())
            .map_err(|NoRoom(_)| BrokerError::Full)
    }

    pub(super) fn attach(&self, channel: &str, shard: ShardId) -> Position {
        self.channels.attach(channel, shard);
        Position::default()
    }

    pub(super) fn detach(&self, channel: &str, shard: ShardId) {
        self.channels.detach(channel, shard);
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }
}
