//! The NATS broker and the questions between nodes, against a real server that is killed, frozen and late.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use prost::Message as _;
use tidewire_edge::broker::{
    AttachOptions, Broker, BrokerError, Channels, Delivery, Event, Inbox, NatsCore, NatsError,
    NatsOptions, PublishOptions,
};
use tidewire_edge::control::{
    Answer, Answerer, Control, ControlError, NodeIdentity, NodeInfo, Question,
};
use tidewire_protocol::{ClientInfo, Publication, Push};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

#[path = "support/nats_server.rs"]
mod nats_server;

use nats_server::{NatsServer, free_port, url};

/// How long anything may take that must happen.
const SOON: Duration = Duration::from_secs(15);

const SHARD: usize = 0;

/// An inbox that has room unless the test says otherwise.
#[derive(Default)]
struct TestInbox {
    full: AtomicBool,
    emptied: Notify,
    queue: Mutex<VecDeque<Delivery>>,
    pushed: Notify,
}

impl Inbox for TestInbox {
    fn has_room(&self, _cost: usize) -> bool {
        !self.full.load(Ordering::SeqCst)
    }

    fn push(&self, delivery: Delivery) {
        self.queue.lock().unwrap().push_back(delivery);
        self.pushed.notify_one();
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.emptied.notified())
    }
}

/// A node with one shard. Its broker is shut down by the end of the test's runtime.
struct Node {
    broker: Broker,
    inbox: Arc<TestInbox>,
}

impl Node {
    async fn start(url: &str, id: &str) -> Self {
        let inbox = Arc::new(TestInbox::default());
        let channels = Arc::new(Channels::new(vec![Arc::clone(&inbox) as Arc<dyn Inbox>]));
        let core = NatsCore::connect(options(url, id), channels).await.unwrap();
        Self {
            broker: Broker::Nats(core),
            inbox,
        }
    }

    fn core(&self) -> &NatsCore {
        match &self.broker {
            Broker::Nats(core) => core,
            Broker::Memory(_) => panic!("the node uses NATS"),
        }
    }

    async fn publish(&self, channel: &str, payload: &str) -> Result<(), BrokerError> {
        let options = PublishOptions::default();
        let published = self.broker.publish(channel, publication(payload), &options);
        timeout(SOON, published).await.unwrap().map(|_| ())
    }

    async fn attach(&self, channel: &str) -> Result<(), BrokerError> {
        let options = AttachOptions::default();
        let attached = self.broker.attach(channel, SHARD, &options);
        timeout(SOON, attached).await.unwrap().map(|_| ())
    }

    async fn next(&self) -> String {
        String::from_utf8(self.next_publication().await.data.to_vec()).unwrap()
    }

    async fn next_publication(&self) -> Publication {
        match self.next_event().await {
            Event::Publication(published) => published.publication.clone(),
            other @ (Event::Join(_) | Event::Leave(_)) => panic!("not a publication: {other:?}"),
        }
    }

    /// The next event must be a join; who joined.
    async fn next_join(&self) -> String {
        match self.next_event().await {
            Event::Join(who) => who.client.clone(),
            other @ (Event::Publication(_) | Event::Leave(_)) => panic!("not a join: {other:?}"),
        }
    }

    async fn next_event(&self) -> Event {
        loop {
            if let Some(delivery) = self.inbox.queue.lock().unwrap().pop_front() {
                return delivery.event.clone();
            }
            timeout(SOON, self.inbox.pushed.notified()).await.unwrap();
        }
    }

    fn join(&self, channel: &str, client: &str) {
        let who = ClientInfo {
            client: client.to_owned(),
            ..ClientInfo::default()
        };
        self.core()
            .publish_event(channel, &Event::Join(Arc::new(who)));
    }

    fn events_dropped(&self) -> u64 {
        self.core().stats().events_dropped.load(Ordering::Relaxed)
    }

    async fn connected(&self, connected: bool) {
        let changed = async {
            while self.broker.state().connected != connected {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, changed).await.unwrap();
    }
}

fn options(url: &str, id: &str) -> NatsOptions {
    NatsOptions {
        url: url.to_owned(),
        prefix: "test".to_owned(),
        connect_timeout: Duration::from_secs(1),
        write_timeout: Duration::from_secs(1),
        node_id: id.to_owned(),
        tls: None,
    }
}

fn publication(payload: &str) -> Publication {
    Publication {
        data: Bytes::copy_from_slice(payload.as_bytes()),
        ..Publication::default()
    }
}

fn is_disconnected(result: &Result<(), BrokerError>) -> bool {
    matches!(result, Err(BrokerError::Disconnected))
}

/// A node that publishes, and another one that is attached to `x`.
async fn publisher_and_subscriber(server: &NatsServer) -> (Node, Node) {
    let a = Node::start(&server.url(), "a").await;
    let b = Node::start(&server.url(), "b").await;
    b.attach("x").await.unwrap();
    a.connected(true).await;
    (a, b)
}

#[tokio::test]
async fn a_publication_on_one_node_reaches_the_others_and_itself() {
    let server = NatsServer::start();
    let a = Node::start(&server.url(), "a").await;
    let b = Node::start(&server.url(), "b").await;
    a.attach("chat:x").await.unwrap();
    b.attach("chat:x").await.unwrap();
    for number in 0..100 {
        a.publish("chat:x", &number.to_string()).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(a.next().await, number.to_string());
        assert_eq!(b.next().await, number.to_string());
    }
}

#[tokio::test]
async fn after_the_reply_of_attach_nothing_is_missed() {
    let server = NatsServer::start();
    let a = Node::start(&server.url(), "a").await;
    let b = Node::start(&server.url(), "b").await;
    a.connected(true).await;
    for number in 0..200 {
        let channel = format!("x{number}");
        b.attach(&channel).await.unwrap();
        a.publish(&channel, &channel).await.unwrap();
        assert_eq!(b.next().await, channel);
    }
}

#[tokio::test]
async fn the_wire_is_that_of_the_existing_fleet() {
    let server = NatsServer::start();
    let node = Node::start(&server.url(), "a").await;
    let peer = async_nats::connect(server.url()).await.unwrap();
    let mut heard = peer.subscribe("test.client.chat:x#1").await.unwrap();
    peer.flush().await.unwrap();
    node.attach("chat:x#1").await.unwrap();

    node.publish("chat:x#1", "ours").await.unwrap();
    let message = timeout(SOON, heard.next()).await.unwrap().unwrap();
    let push = Push::decode(message.payload).unwrap();
    let sent = push.r#pub.unwrap();
    assert_eq!(
        (push.channel.as_str(), &sent.data[..]),
        ("chat:x#1", &b"ours"[..])
    );
    assert!(sent.time > 0);
    assert_eq!(node.next().await, "ours");

    // What is between servers does not reach clients.
    let theirs = Publication {
        time: 1,
        delta: true,
        channel: "chat:x#1".to_owned(),
        ..publication("theirs")
    };
    let push = Push {
        channel: "chat:x#1".to_owned(),
        r#pub: Some(theirs),
        ..Push::default()
    };
    let payload = push.encode_to_vec();
    peer.publish("test.client.chat:x#1", payload.into())
        .await
        .unwrap();
    assert_eq!(node.next_publication().await, publication("theirs"));
}

#[tokio::test]
async fn what_is_no_push_is_counted_and_the_rest_goes_on() {
    let server = NatsServer::start();
    let node = Node::start(&server.url(), "a").await;
    let peer = async_nats::connect(server.url()).await.unwrap();
    node.attach("x").await.unwrap();
    peer.publish("test.client.x", Bytes::from_static(b"\xff\xff"))
        .await
        .unwrap();
    let stats = node.core().stats();
    let counted = async {
        while stats.decode_errors.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, counted).await.unwrap();
    node.publish("x", "good").await.unwrap();
    assert_eq!(node.next().await, "good");
    let counts = [
        &stats.messages_received,
        &stats.decode_errors,
        &stats.published,
    ];
    let counts = counts.map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [2, 1, 1]);
}

#[tokio::test]
async fn names_that_are_wildcards_and_huge_publications_are_refused() {
    let server = NatsServer::start();
    let node = Node::start(&server.url(), "a").await;
    for name in ["*", "a.>", "", "a..b", "a b"] {
        assert!(matches!(
            node.publish(name, "x").await,
            Err(BrokerError::BadChannel)
        ));
        assert!(matches!(
            node.attach(name).await,
            Err(BrokerError::BadChannel)
        ));
    }
    node.attach("x").await.unwrap();
    let huge = "x".repeat(2 << 20);
    assert!(matches!(
        node.publish("x", &huge).await,
        Err(BrokerError::TooLarge)
    ));
    node.publish("x", "small").await.unwrap();
    assert_eq!(node.next().await, "small");
}

#[tokio::test]
async fn a_killed_server_makes_publishing_fail_until_it_is_back() {
    let server = NatsServer::start();
    let (a, b) = publisher_and_subscriber(&server).await;
    let port = server.port();
    drop(server);
    a.connected(false).await;
    b.connected(false).await;
    assert!(is_disconnected(&a.publish("x", "lost").await));
    assert!(a.broker.state().error.is_some());
    let started = Instant::now();
    assert!(is_disconnected(&b.attach("new").await));
    let waited = started.elapsed();
    assert!((3.9..5.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_eq!(
        b.broker.channels(),
        1,
        "the failed attach left nothing behind"
    );

    let _server = NatsServer::start_on(port);
    a.connected(true).await;
    b.attach("new").await.unwrap();
    a.publish("x", "again").await.unwrap();
    assert_eq!(
        b.next().await,
        "again",
        "nothing was buffered, and the subscription is restored"
    );
    a.publish("new", "also").await.unwrap();
    assert_eq!(b.next().await, "also");
    assert_eq!(b.broker.state().error, None);
    assert_eq!(b.core().stats().reconnects.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_attach_under_way_survives_a_short_absence_of_the_server() {
    let server = NatsServer::start();
    let node = Node::start(&server.url(), "a").await;
    node.attach("warm-up").await.unwrap();
    let port = server.port();
    drop(server);
    node.connected(false).await;
    let restarting = async { NatsServer::start_on(port) };
    let (attached, _server) = futures::join!(node.attach("x"), restarting);
    attached.unwrap();
    node.publish("x", "here").await.unwrap();
    assert_eq!(node.next().await, "here");
}

#[tokio::test]
async fn a_server_that_comes_late_is_found() {
    let port = free_port();
    let node = Node::start(&url(port), "a").await;
    assert!(!node.broker.state().connected);
    assert!(is_disconnected(&node.publish("x", "early").await));
    assert!(node.broker.state().error.is_some());
    let _server = NatsServer::start_on(port);
    node.connected(true).await;
    node.attach("x").await.unwrap();
    node.publish("x", "late").await.unwrap();
    assert_eq!(node.next().await, "late");
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_found_again() {
    let server = NatsServer::start();
    let node = Node::start(&server.url(), "a").await;
    node.attach("x").await.unwrap();
    server.freeze();
    assert!(is_disconnected(&node.attach("frozen").await));
    node.connected(false).await;
    assert!(is_disconnected(&node.publish("x", "lost").await));
    server.thaw();
    node.connected(true).await;
    node.attach("fence").await.unwrap();
    node.publish("x", "again").await.unwrap();
    assert_eq!(node.next().await, "again");
}

#[tokio::test]
async fn what_was_published_before_shutdown_is_sent() {
    let server = NatsServer::start();
    let (a, b) = publisher_and_subscriber(&server).await;
    for number in 0..1000 {
        a.publish("x", &number.to_string()).await.unwrap();
    }
    a.core().shutdown().await;
    assert!(is_disconnected(&a.publish("x", "late").await));
    for number in 0..1000 {
        assert_eq!(b.next().await, number.to_string());
    }
}

#[tokio::test]
async fn joins_keep_their_order_and_those_beyond_the_queue_are_dropped_and_counted() {
    let server = NatsServer::start();
    let (a, b) = publisher_and_subscriber(&server).await;
    // This runtime has one thread, so nothing is sent before the next await.
    for number in 0..3000 {
        a.join("x", &number.to_string());
    }
    assert_eq!(a.events_dropped(), 3000 - 1024);
    for number in 0..1024 {
        assert_eq!(b.next_join().await, number.to_string());
    }
    a.join("x", "last");
    assert_eq!(b.next_join().await, "last", "there is room again");
    assert_eq!(a.events_dropped(), 3000 - 1024);
}

#[tokio::test]
async fn joins_that_wait_at_shutdown_are_sent() {
    let server = NatsServer::start();
    let (a, b) = publisher_and_subscriber(&server).await;
    for number in 0..1000 {
        a.join("x", &number.to_string());
    }
    a.core().shutdown().await;
    for number in 0..1000 {
        assert_eq!(b.next_join().await, number.to_string());
    }
    assert_eq!(a.events_dropped(), 0);
}

#[tokio::test]
async fn joins_without_a_connection_are_dropped_and_counted() {
    let node = Node::start(&url(free_port()), "a").await;
    for _ in 0..10 {
        node.join("x", "lost");
    }
    let counted = async {
        while node.events_dropped() != 10 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, counted).await.unwrap();
}

#[tokio::test]
async fn what_a_full_shard_makes_the_node_drop_is_counted() {
    let server = NatsServer::start();
    let (a, b) = publisher_and_subscriber(&server).await;
    b.inbox.full.store(true, Ordering::SeqCst);
    let mut sent = 0;
    while b.core().stats().slow_consumers.load(Ordering::Relaxed) == 0 {
        a.publish("x", &sent.to_string()).await.unwrap();
        sent += 1;
        assert!(sent < 100_000, "a queue without a limit");
    }
    assert!(sent > 4096, "dropped although there was room: {sent}");
    b.inbox.full.store(false, Ordering::SeqCst);
    b.inbox.emptied.notify_one();
    for number in 0..4096 {
        assert_eq!(b.next().await, number.to_string());
    }
}

#[tokio::test]
async fn options_that_can_never_work_are_errors() {
    let channels = || Arc::new(<Channels>::new(Vec::new()));
    let malformed = NatsCore::connect(options("http://x", "a"), channels()).await;
    assert!(matches!(malformed, Err(NatsError::Address(1))));
    let mut wild = options("nats://127.0.0.1:1", "a");
    wild.prefix = "a.>".to_owned();
    let wild = NatsCore::connect(wild, channels()).await;
    assert!(matches!(wild, Err(NatsError::Prefix(_))));
}

/// Answers with this many channels, of which each node has the same; or fails; or never answers.
enum Scripted {
    Channels(u32),
    Fails,
    Silent,
    /// Presence after a while, the rest at once.
    Slow,
    /// All but presence.
    Stuck,
}

struct Script {
    id: String,
    scripted: Scripted,
    /// How often it was asked for presence.
    asked: Arc<AtomicU64>,
}

impl Answerer for Script {
    fn emulate(&self, _session: &str, _commands: Bytes) -> bool {
        true
    }

    fn answer(&self, question: Question) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            if matches!(question, Question::Presence { .. }) {
                self.asked.fetch_add(1, Ordering::SeqCst);
            }
            match (&self.scripted, question) {
                (Scripted::Channels(_), Question::Info {}) => Answer::Info(NodeInfo {
                    uid: self.id.clone(),
                    ..NodeInfo::default()
                }),
                (Scripted::Channels(count), Question::Channels { pattern }) => {
                    let names = (0..*count).map(|number| format!("channel:{number}"));
                    let wanted =
                        names.filter(|name| pattern.as_ref().is_none_or(|p| p.matches(name)));
                    Answer::Channels(wanted.map(|name| (name, 1)).collect())
                }
                (Scripted::Channels(_), Question::Presence { channel }) => {
                    let info = ClientInfo {
                        client: format!("{channel} on {}", self.id),
                        ..ClientInfo::default()
                    };
                    Answer::Presence([(info.client.clone(), info)].into())
                }
                (Scripted::Channels(_), Question::Act(_)) => Answer::Done,
                (Scripted::Fails, _) => Answer::Failed("scripted".to_owned()),
                (Scripted::Silent, _) => std::future::pending().await,
                (Scripted::Slow | Scripted::Stuck, Question::Act(_)) => Answer::Done,
                (Scripted::Slow | Scripted::Stuck, Question::Info {}) => {
                    Answer::Info(NodeInfo::default())
                }
                (Scripted::Stuck, _) => std::future::pending().await,
                (Scripted::Slow, _) => {
                    sleep(Duration::from_millis(200)).await;
                    Answer::Presence(BTreeMap::new())
                }
            }
        })
    }
}

async fn control(server: &NatsServer, id: &str, scripted: Scripted) -> (Node, Control) {
    let (node, control, _) = counting(server, id, scripted).await;
    (node, control)
}

/// A node, its control, and how often it was asked for presence.
async fn counting(
    server: &NatsServer,
    id: &str,
    scripted: Scripted,
) -> (Node, Control, Arc<AtomicU64>) {
    let node = Node::start(&server.url(), id).await;
    let identity = NodeIdentity {
        id: id.to_owned(),
        name: id.to_uppercase(),
        version: "0".to_owned(),
    };
    let script = Script {
        id: id.to_owned(),
        scripted,
        asked: Arc::default(),
    };
    let asked = Arc::clone(&script.asked);
    let control = Control::nats(node.core().link(), identity, Arc::new(script));
    (node, control, asked)
}

async fn knows(control: &Control, nodes: usize) {
    let changed = async {
        while control.nodes() != nodes {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let known = timeout(SOON, changed).await;
    assert!(
        known.is_ok(),
        "{} nodes instead of {nodes}",
        control.nodes()
    );
}

#[tokio::test]
async fn nodes_find_each_other_at_once_and_answer_for_themselves() {
    let server = NatsServer::start();
    let (_a, control_a) = control(&server, "a", Scripted::Channels(3)).await;
    let (_b, control_b) = control(&server, "b", Scripted::Channels(11)).await;
    let started = Instant::now();
    knows(&control_a, 2).await;
    knows(&control_b, 2).await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "faster than a heartbeat"
    );
    for control in [&control_a, &control_b] {
        let mut uids: Vec<_> = control
            .info()
            .await
            .unwrap()
            .into_iter()
            .map(|info| info.uid)
            .collect();
        uids.sort();
        assert_eq!(uids, ["a", "b"]);
        let channels = control.channels("channel:{1,2,10}").await.unwrap();
        let expected = [("channel:1", 2), ("channel:2", 2), ("channel:10", 1)];
        let expected: BTreeMap<_, _> = expected.map(|(name, sum)| (name.to_owned(), sum)).into();
        assert_eq!(channels, expected);
    }
}

#[tokio::test]
async fn an_answer_may_be_larger_than_a_message() {
    let server = NatsServer::start();
    let (_a, control_a) = control(&server, "a", Scripted::Channels(0)).await;
    let (_b, _control_b) = control(&server, "b", Scripted::Channels(200_000)).await;
    knows(&control_a, 2).await;
    assert_eq!(control_a.channels("").await.unwrap().len(), 200_000);
}

#[tokio::test]
async fn a_node_that_leaves_is_not_asked_any_more() {
    let server = NatsServer::start();
    let (_a, control_a) = control(&server, "a", Scripted::Channels(1)).await;
    let (b, control_b) = control(&server, "b", Scripted::Channels(1)).await;
    knows(&control_a, 2).await;
    control_b.shutdown().await;
    b.core().shutdown().await;
    let left = Instant::now();
    knows(&control_a, 1).await;
    assert!(left.elapsed() < Duration::from_secs(2), "it said so");
    assert_eq!(control_a.info().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_that_dies_is_dropped_and_does_not_fail_the_question() {
    let server = NatsServer::start();
    let (_a, control_a) = control(&server, "a", Scripted::Channels(1)).await;
    let (b, _control_b) = control(&server, "b", Scripted::Channels(1)).await;
    knows(&control_a, 2).await;
    // Without a word to the others.
    b.core().shutdown().await;
    let asked = Instant::now();
    assert_eq!(control_a.info().await.unwrap().len(), 1);
    assert!(asked.elapsed() < Duration::from_secs(9));
    assert_eq!(control_a.nodes(), 1);
}

#[tokio::test]
async fn a_failing_or_silent_node_fails_the_question() {
    let server = NatsServer::start();
    let (_a, control_a) = control(&server, "a", Scripted::Channels(1)).await;
    let (b, control_b) = control(&server, "b", Scripted::Fails).await;
    knows(&control_a, 2).await;
    let failed = control_a.info().await;
    assert!(matches!(failed, Err(ControlError::Failed { node, .. }) if node == "b"));
    control_b.shutdown().await;
    b.core().shutdown().await;
    knows(&control_a, 1).await;
    let (_c, _control_c) = control(&server, "c", Scripted::Silent).await;
    knows(&control_a, 2).await;
    let asked = Instant::now();
    let failed = control_a.info().await;
    assert!(failed.is_err(), "{failed:?}");
    assert!((9.0..12.0).contains(&asked.elapsed().as_secs_f64()));
}

#[tokio::test]
async fn without_a_connection_there_is_no_partial_answer() {
    let server = NatsServer::start();
    let (a, control_a) = control(&server, "a", Scripted::Channels(1)).await;
    a.connected(true).await;
    assert_eq!(control_a.info().await.unwrap().len(), 1);
    drop(server);
    a.connected(false).await;
    assert!(matches!(
        control_a.info().await,
        Err(ControlError::Disconnected)
    ));
}

#[tokio::test]
async fn who_asks_for_a_channels_presence_at_the_same_time_shares_the_question() {
    let server = NatsServer::start();
    let (_a, control_a, asked_a) = counting(&server, "a", Scripted::Slow).await;
    let (_b, _control_b, asked_b) = counting(&server, "b", Scripted::Slow).await;
    knows(&control_a, 2).await;
    let asking = (0..500).map(|_| control_a.presence("x"));
    for answer in futures::future::join_all(asking).await {
        assert_eq!(answer.unwrap(), BTreeMap::new());
    }
    for asked in [asked_a, asked_b] {
        let times = asked.load(Ordering::SeqCst);
        assert!((1..=2).contains(&times), "asked {times} times");
    }
}

#[tokio::test]
async fn a_node_that_asks_too_much_at_once_fails_the_surplus_at_once() {
    let server = NatsServer::start();
    let (_a, control, asked) = counting(&server, "a", Scripted::Slow).await;
    let (_b, _control_b) = self::control(&server, "b", Scripted::Slow).await;
    knows(&control, 2).await;
    let channels: Vec<_> = (0..100).map(|number| format!("x{number}")).collect();
    let asking = channels.iter().map(|channel| control.presence(channel));
    let others = async {
        sleep(Duration::from_millis(20)).await;
        control.info().await
    };
    let (answers, info) = futures::join!(futures::future::join_all(asking), others);
    assert_eq!(
        info.unwrap().len(),
        2,
        "other questions have their own room"
    );
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Err(ControlError::Busy)));
    assert_eq!(busy.count(), 100 - 64);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 64);
    assert_eq!(asked.load(Ordering::SeqCst), 64);
    assert!(control.presence("x").await.is_ok(), "it may ask again");
}

#[tokio::test]
async fn a_node_that_is_asked_too_much_at_once_says_so() {
    let server = NatsServer::start();
    let (_a, control_a) = control(&server, "a", Scripted::Slow).await;
    let (_b, control_b) = control(&server, "b", Scripted::Slow).await;
    let (_c, _control_c) = control(&server, "c", Scripted::Stuck).await;
    knows(&control_a, 3).await;
    knows(&control_b, 3).await;
    let channels: Vec<_> = (0..64).map(|number| format!("x{number}")).collect();
    // They fill the stuck node, which answers none of them.
    let filling = futures::future::join_all(channels.iter().map(|it| control_a.presence(it)));
    let surplus = async {
        sleep(Duration::from_millis(500)).await;
        let asked = Instant::now();
        let answer = control_b.presence("x").await;
        let time = asked.elapsed();
        (answer, time, control_b.info().await)
    };
    let (answer, time, info) = tokio::select! {
        answers = filling => panic!("the stuck node answers: {answers:?}"),
        surplus = surplus => surplus,
    };
    assert!(
        matches!(&answer, Err(ControlError::Failed { node, reason }) if node == "c" && reason == "busy"),
        "{answer:?}"
    );
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert_eq!(info.unwrap().len(), 3, "it answers other questions");
}
