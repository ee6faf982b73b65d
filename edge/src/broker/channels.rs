//! Which shards of this node want which channel: node-wide, hash-partitioned.
//!
//! A broker may keep state of its own per partition (`S`), under the same lock.
//!
//! Lock order: a partition's lock, then an inbox's lock; never two partitions at once. A delivery is pushed
//! under the partition's lock, which gives every shard the same order of one channel.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{Delivery, Event, Inbox};
use super::{SHARDS_MAX, ShardId};

const PARTITIONS: usize = 256;

/// The node's channels.
pub struct Channels<S = ()> {
    hasher: RandomState,
    partitions: Box<[Mutex<Partition<S>>]>,
    inboxes: Box<[Arc<dyn Inbox>]>,
}

#[derive(Default)]
struct Partition<S> {
    interest: HashMap<Arc<str>, ShardSet>,
    state: S,
}

/// A locked partition.
pub(super) struct Locked<'a, S> {
    partition: MutexGuard<'a, Partition<S>>,
    inboxes: &'a [Arc<dyn Inbox>],
}

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

/// No interested shard got the event: the named one has no room.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom(pub ShardId);

impl<S: Default> Channels<S> {
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
        self.lock(channel).attach(channel, shard)
    }

    /// Forgets the shard; true if nobody on this node wants the channel any more.
    pub fn detach(&self, channel: &str, shard: ShardId) -> bool {
        let mut locked = self.lock(channel);
        let interest = &mut locked.partition.interest;
        let Some(shards) = interest.get_mut(channel) else {
            return false;
        };
        shards.remove(shard);
        if *shards != ShardSet::default() {
            return false;
        }
        interest.remove(channel);
        true
    }

    /// Whether some shard wants the channel.
    #[must_use]
    pub fn wants(&self, channel: &str) -> bool {
        self.lock(channel).partition.interest.contains_key(channel)
    }

    /// Pushes the event to every interested shard, or to none.
    ///
    /// # Errors
    /// [`NoRoom`] names a shard whose inbox is full.
    pub fn deliver(&self, channel: &str, event: &Event) -> Result<(), NoRoom> {
        self.lock(channel).deliver(channel, event)
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
        let count = |partition| lock(partition).interest.len();
        self.partitions.iter().map(count).sum()
    }

    /// Whether no channel has a subscriber.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all channels with a subscriber.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        let names =
            |partition| -> Vec<Arc<str>> { lock(partition).interest.keys().cloned().collect() };
        self.partitions.iter().flat_map(names).collect()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the index is taken modulo the number of partitions"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low bits are used"
    )]
    pub(super) fn lock(&self, channel: &str) -> Locked<'_, S> {
        let index = self.hasher.hash_one(channel) as usize % PARTITIONS;
        self.locked(&self.partitions[index])
    }

    /// Every partition in turn, locked while it is looked at.
    pub(super) fn each(&self) -> impl Iterator<Item = Locked<'_, S>> {
        self.partitions
            .iter()
            .map(|partition| self.locked(partition))
    }

    fn locked<'a>(&'a self, partition: &'a Mutex<Partition<S>>) -> Locked<'a, S> {
        Locked {
            partition: lock(partition),
            inboxes: &self.inboxes,
        }
    }
}

impl<S> Locked<'_, S> {
    /// The broker's own state.
    pub(super) fn state(&mut self) -> &mut S {
        &mut self.partition.state
    }

    /// As [`Channels::attach`].
    pub(super) fn attach(&mut self, channel: &str, shard: ShardId) -> bool {
        let interest = &mut self.partition.interest;
        if let Some(shards) = interest.get_mut(channel) {
            shards.insert(shard);
            return false;
        }
        let mut shards = ShardSet::default();
        shards.insert(shard);
        interest.insert(Arc::from(channel), shards);
        true
    }

    /// Whether every interested shard takes an event of so many bytes.
    pub(super) fn room(&self, channel: &str, cost: usize) -> Result<(), NoRoom> {
        let Some(shards) = self.partition.interest.get(channel) else {
            return Ok(());
        };
        let full = |(shard, inbox): &(ShardId, &Arc<dyn Inbox>)| {
            shards.contains(*shard) && !inbox.has_room(cost)
        };
        match self.inboxes.iter().enumerate().find(full) {
            Some((shard, _)) => Err(NoRoom(shard)),
            None => Ok(()),
        }
    }

    /// Pushes to every interested shard, after [`Locked::room`].
    pub(super) fn push(&self, channel: &str, event: &Event) {
        let Some((name, shards)) = self.partition.interest.get_key_value(channel) else {
            return;
        };
        let delivery = Delivery {
            channel: Arc::clone(name),
            event: event.clone(),
        };
        for (shard, inbox) in self.inboxes.iter().enumerate() {
            if shards.contains(shard) {
                inbox.push(delivery.clone());
            }
        }
    }

    /// As [`Channels::deliver`].
    pub(super) fn deliver(&self, channel: &str, event: &Event) -> Result<(), NoRoom> {
        self.room(channel, cost(channel, event))?;
        self.push(channel, event);
        Ok(())
    }
}

/// What an event of this channel will cost in an inbox.
fn cost(channel: &str, event: &Event) -> usize {
    let delivery = Delivery {
        channel: Arc::default(),
        event: event.clone(),
    };
    delivery.cost() + channel.len()
}

/// A panic elsewhere leaves a map of plain bits, which stays usable.
fn lock<S>(partition: &Mutex<Partition<S>>) -> MutexGuard<'_, Partition<S>> {
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> std::fmt::Debug for Channels<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels")
            .field("shards", &self.inboxes.len())
            .finish_non_exhaustive()
    }
}
