//! What every broker must do, tested the same way for each.
//!
//! A test gets a [`Harness`]: a started broker with three shards whose inboxes the test empties itself. The one
//! difference that the suite knows is [`Harness::refuses_when_full`]: a broker without shared memory hears of a
//! full shard only after it has accepted the publication.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;

#[path = "../../tests/support/nats_server.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
mod nats_server;

const SHARDS: usize = 3;

/// How long anything may take that must happen.
const SOON: Duration = Duration::from_secs(10);

/// An inbox with room for a number of deliveries.
#[derive(Default)]
struct TestInbox {
    capacity: AtomicUsize,
    queue: Mutex<VecDeque<Delivery>>,
    pushed: Notify,
    emptied: Notify,
    /// A permit for each time somebody began to wait for room.
    waits: Notify,
}

impl TestInbox {
    fn set_capacity(&self, deliveries: usize) {
        self.capacity.store(deliveries, Ordering::SeqCst);
    }

    /// Everything that is queued: (channel, payload).
    fn take(&self) -> Vec<(String, String)> {
        let taken = self
            .queue
            .lock()
            .unwrap()
            .drain(..)
            .map(|delivery| shown(&delivery))
            .collect();
        self.emptied.notify_waiters();
        taken
    }

    /// The payloads of the next deliveries, of which there must be so many.
    async fn next(&self, count: usize) -> Vec<String> {
        let mut payloads = Vec::new();
        while payloads.len() < count {
            let taken = self.take();
            if taken.is_empty() {
                timeout(SOON, self.pushed.notified())
                    .await
                    .expect("a delivery comes");
            }
            payloads.extend(taken.into_iter().map(|(_, payload)| payload));
        }
        assert_eq!(payloads.len(), count, "{payloads:?}");
        payloads
    }

    async fn somebody_waits(&self) {
        timeout(SOON, self.waits.notified())
            .await
            .expect("somebody waits for room");
    }
}

fn published(delivery: &Delivery) -> &Published {
    match &delivery.event {
        Event::Publication(published) => published,
        Event::Join(_) | Event::Leave(_) => panic!("not a publication: {delivery:?}"),
    }
}

/// To wait for room, or not.
fn when_full(when_full: WhenFull) -> PublishOptions {
    PublishOptions {
        when_full,
        ..PublishOptions::default()
    }
}

fn shown(delivery: &Delivery) -> (String, String) {
    let payload = String::from_utf8(published(delivery).publication.data.to_vec()).unwrap();
    (delivery.channel.to_string(), payload)
}

impl Inbox for TestInbox {
    fn has_room(&self, _cost: usize) -> bool {
        self.queue.lock().unwrap().len() < self.capacity.load(Ordering::SeqCst)
    }

    fn push(&self, delivery: Delivery) {
        self.queue.lock().unwrap().push_back(delivery);
        self.pushed.notify_one();
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        async {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if !self.queue.lock().unwrap().is_empty() || self.capacity.load(Ordering::SeqCst) == 0 {
                self.waits.notify_one();
                emptied.await;
            }
        }
        .boxed()
    }
}

/// A broker under test.
struct Harness {
    broker: Arc<Broker>,
    inboxes: Vec<Arc<TestInbox>>,
    refuses_when_full: bool,
    _server: Option<nats_server::NatsServer>,
}

fn inboxes<S: Default>() -> (Vec<Arc<TestInbox>>, Arc<Channels<S>>) {
    let inboxes: Vec<_> = (0..SHARDS)
        .map(|_| Arc::new(TestInbox::default()))
        .collect();
    inboxes
        .iter()
        .for_each(|inbox| inbox.set_capacity(usize::MAX));
    let channels = Channels::new(
        inboxes
            .iter()
            .map(|inbox| Arc::clone(inbox) as Arc<dyn Inbox>)
            .collect(),
    );
    (inboxes, Arc::new(channels))
}

impl Harness {
    async fn memory() -> Self {
        let (inboxes, channels) = inboxes();
        Self {
            broker: Arc::new(Broker::Memory(Memory::new(channels))),
            inboxes,
            refuses_when_full: true,
            _server: None,
        }
    }

    async fn nats() -> Self {
        let server = nats_server::NatsServer::start();
        let (inboxes, channels) = inboxes();
        let options = NatsOptions {
            url: server.url(),
            prefix: "contract".to_owned(),
            connect_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(1),
            node_id: "node".to_owned(),
            tls: None,
        };
        let broker = Arc::new(Broker::Nats(
            NatsCore::connect(options, channels).await.unwrap(),
        ));
        let connected = async {
            // The first attach waits for the connection.
            broker
                .attach("warm-up", 0, &AttachOptions::default())
                .await
                .unwrap();
            broker.detach("warm-up", 0);
        };
        timeout(SOON, connected).await.unwrap();
        Self {
            broker,
            inboxes,
            refuses_when_full: false,
            _server: Some(server),
        }
    }

    async fn publish(&self, channel: &str, payload: &str) {
        let options = PublishOptions::default();
        let published = self.broker.publish(channel, publication(payload), &options);
        timeout(SOON, published)
            .await
            .expect("publishing ends")
            .expect("it is accepted");
    }

    async fn attach(&self, channel: &str, shard: ShardId) {
        let options = AttachOptions::default();
        timeout(SOON, self.broker.attach(channel, shard, &options))
            .await
            .expect("attaching ends")
            .expect("it succeeds");
    }

    fn inbox(&self, shard: ShardId) -> &TestInbox {
        &self.inboxes[shard]
    }
}

fn publication(payload: &str) -> Publication {
    Publication {
        data: payload.as_bytes().to_vec().into(),
        ..Publication::default()
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn publications_arrive_in_order_at_every_attached_shard(harness: Harness) {
    harness.attach("a", 0).await;
    harness.attach("a", 2).await;
    for payload in numbers(0..200) {
        harness.publish("a", &payload).await;
    }
    assert_eq!(harness.inbox(0).next(200).await, numbers(0..200));
    assert_eq!(harness.inbox(2).next(200).await, numbers(0..200));
    assert_eq!(harness.inbox(1).take(), []);
}

async fn publications_keep_data_info_and_tags(harness: Harness) {
    let info = ClientInfo {
        user: "u".into(),
        client: "c".into(),
        ..Default::default()
    };
    let tags = [("k".to_owned(), "v".to_owned())].into();
    let sent = Publication {
        info: Some(info),
        tags,
        ..publication("\0binary")
    };
    harness.attach("a", 0).await;
    harness
        .broker
        .publish("a", sent.clone(), &PublishOptions::default())
        .await
        .unwrap();
    let inbox = harness.inbox(0);
    timeout(SOON, inbox.pushed.notified()).await.unwrap();
    let delivery = inbox.queue.lock().unwrap().pop_front().unwrap();
    assert_eq!(
        (
            &*delivery.channel,
            published(&delivery).prev,
            &published(&delivery).publication
        ),
        ("a", 0, &sent)
    );
}

async fn nothing_arrives_after_detach(harness: Harness) {
    harness.attach("a", 0).await;
    harness.attach("a", 1).await;
    harness.publish("a", "before").await;
    assert_eq!(harness.inbox(0).next(1).await, ["before"]);
    harness.broker.detach("a", 0);
    harness.publish("a", "after").await;
    assert_eq!(harness.inbox(1).next(2).await, ["before", "after"]);
    assert_eq!(harness.inbox(0).take(), []);
}

async fn attach_is_idempotent(harness: Harness) {
    for _ in 0..3 {
        harness.attach("a", 0).await;
    }
    harness.publish("a", "once").await;
    harness.publish("a", "end").await;
    assert_eq!(harness.inbox(0).next(2).await, ["once", "end"]);
    harness.broker.detach("a", 0);
    assert_eq!(harness.broker.channels(), 0);
}

async fn attach_after_detach_ends_attached_without_duplicates(harness: Harness) {
    for round in numbers(0..50) {
        harness.attach("a", 0).await;
        harness.publish("a", &round).await;
        assert_eq!(harness.inbox(0).next(1).await, [round]);
        harness.broker.detach("a", 0);
    }
    assert_eq!(harness.broker.channels(), 0);
}

async fn racing_detach_and_attach_end_attached(harness: Harness) {
    for round in numbers(0..50) {
        harness.attach("a", 0).await;
        let broker = Arc::clone(&harness.broker);
        let detaching = std::thread::spawn(move || broker.detach("a", 0));
        harness.attach("a", 1).await;
        detaching.join().unwrap();
        harness.publish("a", &round).await;
        assert_eq!(harness.inbox(1).next(1).await, [round]);
        assert_eq!(harness.inbox(0).take(), []);
        harness.broker.detach("a", 1);
    }
}

async fn many_channels_attach_at_once(harness: Harness) {
    let names = numbers(0..500);
    futures::future::join_all(names.iter().map(|name| harness.attach(name, 0))).await;
    assert_eq!(harness.broker.channels(), 500);
    for name in &names {
        harness.publish(name, name).await;
    }
    let mut arrived = harness.inbox(0).next(500).await;
    arrived.sort_by_key(|name| name.parse::<usize>().unwrap());
    assert_eq!(arrived, names);
    names.iter().for_each(|name| harness.broker.detach(name, 0));
    assert_eq!(harness.broker.channels(), 0);
}

async fn a_full_shard_holds_back_all_shards_and_loses_nothing(harness: Harness) {
    harness.attach("a", 0).await;
    harness.attach("a", 1).await;
    harness.inbox(0).set_capacity(0);
    let publishing = async {
        for payload in numbers(0..20) {
            harness.publish("a", &payload).await;
        }
    };
    let observing = async {
        harness.inbox(0).somebody_waits().await;
        assert_eq!(
            harness.inbox(1).take(),
            [],
            "all interested shards get a publication, or none"
        );
        harness.inbox(0).set_capacity(1);
        let first = harness.inbox(0).next(20);
        let second = harness.inbox(1).next(20);
        harness.inbox(0).take();
        assert_eq!(
            futures::join!(first, second),
            (numbers(0..20), numbers(0..20))
        );
    };
    futures::join!(publishing, observing);
}

async fn a_full_shard_refuses_who_will_not_wait(harness: Harness) {
    harness.attach("a", 0).await;
    harness.attach("a", 1).await;
    harness.inbox(0).set_capacity(0);
    let refused = harness
        .broker
        .publish("a", publication("lost"), &when_full(WhenFull::Refuse))
        .await;
    if harness.refuses_when_full {
        assert!(matches!(refused, Err(BrokerError::Full)), "{refused:?}");
        harness.inbox(0).set_capacity(10);
        harness.publish("a", "kept").await;
        assert_eq!(harness.inbox(0).next(1).await, ["kept"]);
        assert_eq!(harness.inbox(1).next(1).await, ["kept"]);
    } else {
        refused.expect("the full shard is not known yet");
        harness.inbox(0).somebody_waits().await;
        assert_eq!(harness.inbox(1).take(), []);
        harness.inbox(0).set_capacity(10);
        harness.inbox(0).take();
        assert_eq!(harness.inbox(1).next(1).await, ["lost"]);
    }
}

async fn concurrent_publishers_give_all_shards_one_order(harness: Harness) {
    for shard in 0..SHARDS {
        harness.attach("a", shard).await;
    }
    let publishers = ["p", "q", "r", "s"].map(|publisher| {
        let broker = Arc::clone(&harness.broker);
        // Shards publish from threads and runtimes of their own.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            for number in 0..100 {
                let sent = publication(&format!("{publisher}{number}"));
                runtime
                    .block_on(broker.publish("a", sent, &PublishOptions::default()))
                    .unwrap();
            }
        })
    });
    let seen =
        futures::future::join_all((0..SHARDS).map(|shard| harness.inbox(shard).next(400))).await;
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().unwrap());
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let of_p: Vec<_> = seen[0]
        .iter()
        .filter(|payload| payload.starts_with('p'))
        .cloned()
        .collect();
    assert_eq!(
        of_p,
        (0..100)
            .map(|number| format!("p{number}"))
            .collect::<Vec<_>>()
    );
}

mod history;

/// An inbox that always has some room, but not enough until its shard, on the same thread, has run.
#[derive(Default)]
struct SomeRoom {
    taken: AtomicBool,
    asked: AtomicUsize,
}

impl Inbox for SomeRoom {
    fn has_room(&self, _cost: usize) -> bool {
        self.taken.load(Ordering::SeqCst)
    }

    fn push(&self, _delivery: Delivery) {}

    fn room(&self) -> BoxFuture<'_, ()> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(asked < 1000, "the publisher keeps the shard from running");
        std::future::ready(()).boxed()
    }
}

#[tokio::test]
async fn a_publisher_that_waits_lets_the_shard_of_its_thread_run() {
    let inbox = Arc::new(SomeRoom::default());
    let channels = Channels::new(vec![Arc::clone(&inbox) as Arc<dyn Inbox>]);
    let broker = Broker::Memory(Memory::new(Arc::new(channels)));
    broker
        .attach("a", 0, &AttachOptions::default())
        .await
        .unwrap();
    let options = PublishOptions::default();
    let publishing = broker.publish("a", publication("large"), &options);
    let shard = tokio::spawn(async move { inbox.taken.store(true, Ordering::SeqCst) });
    publishing.await.unwrap();
    shard.await.unwrap();
}

/// Runs a test on a runtime like the node's main thread, while other threads call the broker.
fn run<F: Future<Output = ()>>(
    harness: impl Future<Output = Harness>,
    test: impl FnOnce(Harness) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { test(harness.await).await });
}

/// What every broker does, what those do that keep history, and how the others refuse that.
macro_rules! suite {
    (all: [$($name:ident),* $(,)?], history: [$($kept:ident),* $(,)?], without: [$($refused:ident),* $(,)?] $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::run(super::Harness::memory(), super::$name); })*
            $(#[test] fn $kept() { super::run(super::Harness::memory(), super::history::$kept); })*
        }
        mod nats {
            $(#[test] fn $name() { super::run(super::Harness::nats(), super::$name); })*
            $(#[test] fn $refused() { super::run(super::Harness::nats(), super::history::$refused); })*
        }
    };
}

suite! {
    all: [
        publications_arrive_in_order_at_every_attached_shard,
        publications_keep_data_info_and_tags,
        nothing_arrives_after_detach,
        attach_is_idempotent,
        attach_after_detach_ends_attached_without_duplicates,
        racing_detach_and_attach_end_attached,
        many_channels_attach_at_once,
        a_full_shard_holds_back_all_shards_and_loses_nothing,
        a_full_shard_refuses_who_will_not_wait,
        concurrent_publishers_give_all_shards_one_order,
    ],
    history: [
        a_stream_numbers_its_publications_and_keeps_the_newest,
        a_read_begins_a_stream_and_publications_go_on_from_it,
        a_page_is_complete_exactly_if_it_reaches_the_top_without_a_gap,
        another_epoch_is_refused_to_readers_and_incomplete_for_subscribers,
        expired_publications_go_and_the_numbers_go_on,
        a_stream_that_nobody_uses_is_forgotten,
        removed_publications_go_and_the_numbers_go_on,
        a_key_is_published_once_in_five_minutes,
        an_older_version_is_not_published,
        a_patch_is_offered_against_the_previous_publication_of_the_stream,
        a_publication_that_is_refused_leaves_no_trace,
        page_and_inbox_have_no_gap_and_no_duplicate_while_others_publish,
    ],
    without: [history_and_positions_are_refused],
}
