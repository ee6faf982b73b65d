//! Which channels this node is subscribed to, and since when the server knows.
//!
//! Shards change the `Interest`; the `Maintainer`, one task, makes the connection's subscriptions equal to it.
//! It looks only at what is wanted *now*, so a detach and an attach in quick succession end subscribed whatever
//! order they are noticed in.
//!
//! The proof that the server knows a subscription is a fence: a message to ourselves, sent behind the SUB on the
//! same connection. When it comes back, everything sent before it was processed. One fence is under way at a time,
//! and serves all attaches that came before it; lost ones (a reconnect) are repeated.
//!
//! Lock order: the interest's lock, then a partition of `Channels`. Neither is held across an await.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::AbortHandle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::link::{NatsError, NatsLink};
use super::reader::Feed;
use crate::broker::{Channels, ShardId};

/// A fence that did not come back in this time is sent again.
const FENCE_REPEAT: Duration = Duration::from_millis(500);

/// What the shards want.
#[derive(Debug)]
pub(super) struct Interest {
    channels: Arc<Channels>,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Arc<str>, Entry>,
    /// Channels that the maintainer has to look at.
    changed: HashSet<Arc<str>>,
}

/// A channel that is wanted or still subscribed.
#[derive(Debug, Default)]
struct Entry {
    subscription: Option<Subscription>,
    /// Whether the server is known to know. Stays true over reconnects: the client library subscribes again
    /// before anything else.
    confirmed: bool,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Subscription {
    feed: AbortHandle,
    /// The first fence behind its SUB.
    fence: u64,
}

#[derive(Debug)]
struct Waiter {
    shard: ShardId,
    reply: oneshot::Sender<()>,
}

/// How an attach begins.
pub(super) enum Open {
    /// The server knows the channel already.
    Known,
    /// The reply comes with the fence; without one the attach failed.
    Pending(oneshot::Receiver<()>),
}

/// How an attach that was given up ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The proof had just come.
    Attached,
    /// The shard is not attached by it.
    Undone,
}

impl Interest {
    pub(super) fn new(channels: Arc<Channels>) -> Self {
        Self {
            channels,
            table: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Registers the shard, whose deliveries may begin at once.
    pub(super) fn open(&self, channel: &str, shard: ShardId) -> Open {
        let mut table = self.table();
        self.channels.attach(channel, shard);
        if let Some(entry) = table.entries.get_mut(channel) {
            if entry.confirmed {
                return Open::Known;
            }
            let subscribed = entry.subscription.is_some();
            let reply = entry.wait(shard);
            if !subscribed && table.look_at(channel) {
                drop(table);
                self.changed.notify_one();
            }
            return Open::Pending(reply);
        }
        let name = Arc::<str>::from(channel);
        let reply = table
            .entries
            .entry(Arc::clone(&name))
            .or_default()
            .wait(shard);
        table.changed.insert(name);
        drop(table);
        self.changed.notify_one();
        Open::Pending(reply)
    }

    /// Forgets the shard, and fails its attaches that still wait.
    pub(super) fn close(&self, channel: &str, shard: ShardId) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(channel) {
            entry.waiters.retain(|waiter| waiter.shard != shard);
        }
        if self.channels.detach(channel, shard) && table.unwanted(channel) {
            drop(table);
            self.changed.notify_one();
        }
    }

    /// Undoes one attach, unless its proof has come; other attaches of the same shard go on.
    pub(super) fn give_up(
        &self,
        channel: &str,
        shard: ShardId,
        reply: &mut oneshot::Receiver<()>,
    ) -> Settled {
        let mut table = self.table();
        if reply.try_recv().is_ok() {
            return Settled::Attached;
        }
        reply.close();
        let Some(entry) = table.entries.get_mut(channel) else {
            return Settled::Undone;
        };
        entry.waiters.retain(|waiter| !waiter.reply.is_closed());
        let others = entry.confirmed || entry.waiters.iter().any(|waiter| waiter.shard == shard);
        if !others && self.channels.detach(channel, shard) && table.unwanted(channel) {
            drop(table);
            self.changed.notify_one();
        }
        Settled::Undone
    }

    /// What the maintainer has to do about a channel.
    fn due(&self, channel: &str) -> Due {
        let mut table = self.table();
        let wanted = self.channels.wants(channel);
        let Some(entry) = table.entries.get(channel) else {
            return Due::Nothing;
        };
        match (wanted, &entry.subscription) {
            (true, None) => Due::Subscribe,
            (true, Some(_)) => Due::Nothing,
            (false, _) => {
                if let Some(Entry {
                    subscription: Some(subscription),
                    ..
                }) = table.entries.remove(channel)
                {
                    subscription.feed.abort();
                }
                Due::Nothing
            }
        }
    }

    /// Notes a subscription that was made.
    fn subscribed(&self, channel: &str, subscription: Subscription) {
        match self.table().entries.get_mut(channel) {
            Some(entry) => entry.subscription = Some(subscription),
            None => subscription.feed.abort(),
        }
    }

    /// A subscription could not be made: the maintainer has to look at the channel again.
    fn failed(&self, channel: &str) {
        self.table().look_at(channel);
    }

    /// The fence with this number came back: answers those it covers, keeps the others.
    fn confirm(&self, fence: u64, unconfirmed: &mut Vec<Arc<str>>) {
        let mut table = self.table();
        unconfirmed.retain(|channel| {
            let Some(entry) = table.entries.get_mut(channel) else {
                return false;
            };
            let Some(subscription) = &entry.subscription else {
                return false;
            };
            if subscription.fence > fence {
                return true;
            }
            entry.confirmed = true;
            for waiter in mem::take(&mut entry.waiters) {
                // A receiver that is gone gave the attach up before this lock was taken.
                waiter.reply.send(()).ok();
            }
            false
        });
    }

    fn take_changed(&self) -> HashSet<Arc<str>> {
        mem::take(&mut self.table().changed)
    }

    fn has_changed(&self) -> bool {
        !self.table().changed.is_empty()
    }

    /// The table is consistent between statements, so a panic elsewhere leaves it usable.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Nobody wants the channel any more: forgets it, or true if the maintainer has to unsubscribe it first.
    fn unwanted(&mut self, channel: &str) -> bool {
        let Some(entry) = self.entries.get(channel) else {
            return false;
        };
        if entry.subscription.is_some() {
            return self.look_at(channel);
        }
        self.entries.remove(channel);
        self.changed.remove(channel);
        false
    }

    /// Has the maintainer look at a known channel; true if it was not going to.
    fn look_at(&mut self, channel: &str) -> bool {
        let Some((name, _)) = self.entries.get_key_value(channel) else {
            return false;
        };
        self.changed.insert(Arc::clone(name))
    }
}

impl Entry {
    fn wait(&mut self, shard: ShardId) -> oneshot::Receiver<()> {
        let (reply, receiver) = oneshot::channel();
        self.waiters.push(Waiter { shard, reply });
        receiver
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Subscribe,
}

/// Keeps the connection's subscriptions equal to the interest.
#[derive(Debug)]
pub(super) struct Maintainer {
    link: NatsLink,
    interest: Arc<Interest>,
    feeds: mpsc::Sender<Feed>,
    fences: Subscriber,
    fence_subject: String,
    /// Channels whose proof is outstanding.
    unconfirmed: Vec<Arc<str>>,
    /// Number of the newest fence sent.
    sent: u64,
    sent_at: Instant,
    /// Number of the newest fence that came back.
    returned: u64,
}

impl Maintainer {
    pub(super) async fn new(
        link: NatsLink,
        interest: Arc<Interest>,
        feeds: mpsc::Sender<Feed>,
    ) -> Result<Self, NatsError> {
        let fence_subject = link.subjects().own(&format!("fence.{}", link.node_id()));
        let fences = link.subscribe(fence_subject.clone()).await?;
        Ok(Self {
            link,
            interest,
            feeds,
            fences,
            fence_subject,
            unconfirmed: Vec::new(),
            sent: 0,
            sent_at: Instant::now(),
            returned: 0,
        })
    }

    pub(super) async fn run(mut self, mut connects: watch::Receiver<u64>) {
        let interest = Arc::clone(&self.interest);
        loop {
            let mut lost = false;
            let outstanding = !self.unconfirmed.is_empty() || interest.has_changed();
            tokio::select! {
                () = interest.changed.notified() => {}
                Some(message) = self.fences.next() => self.returned(&message.payload),
                changed = connects.changed() => lost = changed.is_ok(),
                () = sleep_until(Instant::now() + FENCE_REPEAT), if outstanding => {}
            }
            if !self.link.is_connected() {
                continue;
            }
            self.adjust().await;
            lost |= self.sent_at.elapsed() >= FENCE_REPEAT;
            if !self.unconfirmed.is_empty() && (self.sent == self.returned || lost) {
                self.send_fence().await;
            }
        }
    }

    /// Subscribes what is newly wanted, drops what no longer is.
    async fn adjust(&mut self) {
        for channel in self.interest.take_changed() {
            if self.interest.due(&channel) == Due::Nothing {
                continue;
            }
            let Some(subject) = self.link.subjects().channel(&channel) else {
                continue;
            };
            let Ok(subscriber) = self.link.subscribe(subject).await else {
                // The next round, at the latest after the fence's repeat time, tries it again.
                self.interest.failed(&channel);
                continue;
            };
            let (feed, handle) = futures::stream::abortable(subscriber);
            self.interest.subscribed(
                &channel,
                Subscription {
                    feed: handle,
                    fence: self.sent + 1,
                },
            );
            self.unconfirmed.push(channel);
            if self.feeds.send(feed).await.is_err() {
                return;
            }
        }
    }

    async fn send_fence(&mut self) {
        let number = self.sent + 1;
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        if self
            .link
            .publish(self.fence_subject.clone(), payload)
            .await
            .is_ok()
        {
            self.sent = number;
            self.sent_at = Instant::now();
        }
    }

    fn returned(&mut self, payload: &[u8]) {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else {
            return;
        };
        // A number that was never sent is not ours.
        if number > self.returned && number <= self.sent {
            self.returned = number;
            self.interest.confirm(number, &mut self.unconfirmed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest() -> Interest {
        Interest::new(Arc::new(Channels::new(Vec::new())))
    }

    fn subscribe(interest: &Interest, channel: &str, fence: u64) -> AbortHandle {
        assert_eq!(interest.due(channel), Due::Subscribe);
        let (feed, _) = AbortHandle::new_pair();
        interest.subscribed(
            channel,
            Subscription {
                feed: feed.clone(),
                fence,
            },
        );
        feed
    }

    fn pending(open: Open) -> oneshot::Receiver<()> {
        match open {
            Open::Pending(reply) => reply,
            Open::Known => panic!("the channel is not confirmed"),
        }
    }

    fn is_empty(interest: &Interest) -> bool {
        let table = interest.table();
        table.entries.is_empty() && table.changed.is_empty() && interest.channels.is_empty()
    }

    #[test]
    fn attach_after_unnoticed_detach_keeps_the_subscription() {
        let interest = interest();
        let mut first = pending(interest.open("a", 0));
        let feed = subscribe(&interest, "a", 1);
        interest.confirm(1, &mut vec!["a".into()]);
        assert!(first.try_recv().is_ok());
        interest.take_changed();
        interest.close("a", 0);
        assert!(matches!(interest.open("a", 1), Open::Known));
        for channel in interest.take_changed() {
            assert_eq!(interest.due(&channel), Due::Nothing);
        }
        assert!(!feed.is_aborted());
    }

    #[test]
    fn attach_after_noticed_detach_subscribes_anew_and_needs_a_later_fence() {
        let interest = interest();
        let unconfirmed = &mut vec![Arc::<str>::from("a")];
        let _first = pending(interest.open("a", 0));
        let feed = subscribe(&interest, "a", 1);
        interest.close("a", 0);
        assert_eq!(interest.due("a"), Due::Nothing);
        assert!(feed.is_aborted());
        let mut second = pending(interest.open("a", 0));
        subscribe(&interest, "a", 2);
        interest.confirm(1, unconfirmed);
        assert!(second.try_recv().is_err());
        interest.confirm(2, unconfirmed);
        assert!(second.try_recv().is_ok());
    }

    #[test]
    fn detach_fails_the_attaches_of_its_shard_only() {
        let interest = interest();
        let mut zero = pending(interest.open("a", 0));
        let mut one = pending(interest.open("a", 1));
        interest.close("a", 0);
        assert_eq!(zero.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(one.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }

    #[test]
    fn the_last_attach_given_up_leaves_nothing_behind() {
        let interest = interest();
        let mut first = pending(interest.open("a", 0));
        let mut second = pending(interest.open("a", 0));
        assert_eq!(interest.give_up("a", 0, &mut first), Settled::Undone);
        assert!(interest.channels.wants("a"));
        assert_eq!(interest.give_up("a", 0, &mut second), Settled::Undone);
        assert!(is_empty(&interest));
    }

    #[test]
    fn a_failed_subscription_is_tried_again() {
        let interest = interest();
        let _reply = pending(interest.open("a", 0));
        assert_eq!(interest.take_changed().len(), 1);
        assert_eq!(interest.due("a"), Due::Subscribe);
        interest.failed("a");
        assert!(interest.has_changed());
        assert_eq!(interest.take_changed().len(), 1);
        assert_eq!(interest.due("a"), Due::Subscribe);
    }

    #[test]
    fn a_failed_subscription_that_nobody_wants_any_more_is_forgotten() {
        let interest = interest();
        let mut reply = pending(interest.open("a", 0));
        assert_eq!(interest.take_changed().len(), 1);
        assert_eq!(interest.give_up("a", 0, &mut reply), Settled::Undone);
        interest.failed("a");
        assert!(is_empty(&interest));
    }

    #[test]
    fn an_attach_to_a_channel_without_subscription_has_it_made() {
        let interest = interest();
        let _first = pending(interest.open("a", 0));
        assert_eq!(interest.take_changed().len(), 1);
        let _second = pending(interest.open("a", 1));
        assert!(interest.has_changed());
        let _feed = subscribe(&interest, "a", 1);
        interest.take_changed();
        let _third = pending(interest.open("a", 0));
        assert!(!interest.has_changed(), "it is subscribed");
    }

    #[test]
    fn giving_up_after_the_proof_is_an_attach() {
        let interest = interest();
        let mut reply = pending(interest.open("a", 0));
        subscribe(&interest, "a", 1);
        interest.confirm(1, &mut vec!["a".into()]);
        assert_eq!(interest.give_up("a", 0, &mut reply), Settled::Attached);
        assert!(interest.channels.wants("a"));
    }

    #[test]
    fn a_detached_channel_is_forgotten() {
        let interest = interest();
        let _reply = pending(interest.open("a", 0));
        let feed = subscribe(&interest, "a", 1);
        interest.confirm(1, &mut vec!["a".into()]);
        interest.close("a", 0);
        for channel in interest.take_changed() {
            interest.due(&channel);
        }
        assert!(feed.is_aborted());
        assert!(is_empty(&interest));
    }
}
