//! Which shards of this node want which channel: node-wide, hash-partitioned.
//!
//! Lock order: a partition's lock, then an inbox's lock; never two partitions at once. A delivery is pushed
//! under the partition's lock, which gives every shard the same order of one channel.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Delivery, Inbox, Published, SHARDS_MAX, ShardId};

const PARTITIONS: usize = 256;

/// The node's channels.
pub struct Channels {
    hasher: RandomState,
    partitions: Box<[Mutex<Partition>]>,
    inboxes: Box<[Arc<dyn Inbox>]>,
}

type Partition = HashMap<Arc<str>, ShardSet>;

/// The shards that want a channel, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ShardSet(u64);

impl ShardSet {
    fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << (shard % SHARDS_MAX);
    }

    fn remove(&mut self, shard: ShardId) {
        self.0 &= !(1 << (shard % SHARDS_MAX));
    }

    fn contains(self, shard: ShardId) -> bool {
        self.0 & (1 << (shard % SHARDS_MAX)) != 0
    }
}

/// No interested shard got the publication: the named one has no room.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom(pub ShardId);

impl Channels {
    /// An empty table that delivers into `inboxes`, whose index is the shard's number.
    #[must_use]
    pub fn new(inboxes: Vec<Arc<dyn Inbox>>) -> Self {
        Self {
            hasher: RandomState::new(),
            partitions: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            inboxes: inboxes.into_boxed_slice(),
        }
    }

    /// Registers the shard; true if it is the channel's first on this node.
    pub fn attach(&self, channel: &str, shard: ShardId) -> bool {
        let mut partition = self.partition(channel);
        if let Some(shards) = partition.get_mut(channel) {
            shards.insert(shard);
            return false;
        }
        let mut shards = ShardSet::default();
        shards.insert(shard);
        partition.insert(Arc::from(channel), shards);
        true
    }

    /// Forgets the shard; true if nobody on this node wants the channel any more.
    pub fn detach(&self, channel: &str, shard: ShardId) -> bool {
        let mut partition = self.partition(channel);
        let Some(shards) = partition.get_mut(channel) else {
            return false;
        };
        shards.remove(shard);
        if *shards != ShardSet::default() {
            return false;
        }
        partition.remove(channel);
        true
    }

    /// Whether some shard wants the channel.
    #[must_use]
    pub fn wants(&self, channel: &str) -> bool {
        self.partition(channel).contains_key(channel)
    }

    /// Pushes the publication to every interested shard, or to none.
    ///
    /// # Errors
    /// [`NoRoom`] names a shard whose inbox is full.
    pub fn deliver(&self, channel: &str, published: &Arc<Published>) -> Result<(), NoRoom> {
        let partition = self.partition(channel);
        let Some((name, shards)) = partition.get_key_value(channel) else {
            return Ok(());
        };
        let delivery = Delivery {
            channel: Arc::clone(name),
            published: Arc::clone(published),
        };
        let interested = || {
            self.inboxes
                .iter()
                .enumerate()
                .filter(|(shard, _)| shards.contains(*shard))
        };
        let cost = delivery.cost();
        if let Some((shard, _)) = interested().find(|(_, inbox)| !inbox.has_room(cost)) {
            return Err(NoRoom(shard));
        }
        for (_, inbox) in interested() {
            inbox.push(delivery.clone());
        }
        Ok(())
    }

    /// Waits until the shard's inbox was emptied. Always lets the other tasks of this thread run, the shard's
    /// among them: a large publication may not fit although its inbox has some room.
    pub async fn room(&self, shard: ShardId) {
        tokio::task::yield_now().await;
        if let Some(inbox) = self.inboxes.get(shard) {
            inbox.room().await;
        }
    }

    /// The number of channels with a subscriber.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partitions
            .iter()
            .map(|partition| lock(partition).len())
            .sum()
    }

    /// Whether no channel has a subscriber.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions
            .iter()
            .all(|partition| lock(partition).is_empty())
    }

    /// The names of all channels with a subscriber.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        self.partitions
            .iter()
            .flat_map(|partition| lock(partition).keys().cloned().collect::<Vec<_>>())
            .collect()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the index is taken modulo the number of partitions"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low bits are used"
    )]
    fn partition(&self, channel: &str) -> MutexGuard<'_, Partition> {
        lock(&self.partitions[self.hasher.hash_one(channel) as usize % PARTITIONS])
    }
}

/// A panic elsewhere leaves a map of plain bits, which stays usable.
fn lock(partition: &Mutex<Partition>) -> MutexGuard<'_, Partition> {
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels")
            .field("shards", &self.inboxes.len())
            .finish_non_exhaustive()
    }
}
