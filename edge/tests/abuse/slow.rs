//! Clients that do not read.

use serde_json::{Value, json};

use crate::edge::{Edge, KIB};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::raw::{Raw, TEXT, frame};
use crate::support::server::Server;
use crate::support::token;

const SLOW: usize = 200;

/// Bytes of a publication.
const LARGE: u64 = 16 * KIB;

/// Clients in a channel of their own each: what is queued for one is shared with nobody.
async fn slow_clients(server: &Server) -> (Vec<Client>, Value) {
    let mut clients = Vec::new();
    let mut channels = Vec::new();
    for n in 0..SLOW {
        let channel = format!("room:{n}");
        let mut client = Client::open_narrow(server).await;
        client.connect(&token::of("slow")).await;
        client.subscribe(&channel).await;
        clients.push(client);
        channels.push(channel);
    }
    (clients, json!(channels))
}

/// Publishes to all of them.
async fn publish(server: &Server, channels: &Value) {
    let data = "x".repeat(usize::try_from(LARGE).unwrap());
    let request = json!({"channels": channels, "data": data});
    server.result("broadcast", request).await;
}

/// Publishes to all of them until the server has disconnected each with this code.
async fn publish_until_all_are_disconnected(server: &Server, channels: &Value, code: u32) {
    for _ in 0..200 {
        publish(server, channels).await;
        if server.disconnects(code).await == SLOW as u64 {
            return;
        }
    }
    panic!("200 publications of 16 KiB for each fit somewhere");
}

#[tokio::test]
async fn each_costs_its_queue_and_no_more() {
    let queue = 128 * KIB;
    let options = json!({
        "client": {"queue_max_size": queue},
        "websocket": {"write_timeout": "60s"},
    });
    let mut edge = Edge::start("queues", &options).await;
    let (_clients, channels) = slow_clients(edge.server()).await;
    publish_until_all_are_disconnected(edge.server(), &channels, 3008).await;
    edge.still_serves().await;
    // To nobody any more; without a limit this would be another 128 MiB.
    for _ in 0..40 {
        publish(edge.server(), &channels).await;
    }
    assert_eq!(edge.server().disconnects(3008).await, SLOW as u64);
    // The queue overflows by one publication, which is there a second time while it is encoded.
    edge.bore_it_within(SLOW as u64 * (queue + 2 * LARGE)).await;
}

#[tokio::test]
async fn who_takes_nothing_for_the_write_timeout_is_cut() {
    let options = json!({
        "client": {"queue_max_size": 64 << 20},
        "websocket": {"write_timeout": "1s"},
    });
    let mut edge = Edge::start("write-timeout", &options).await;
    let (_clients, channels) = slow_clients(edge.server()).await;
    let mut rounds = 0;
    // Once a socket is full its time runs, whether more is published or not.
    while rounds < 12 {
        publish(edge.server(), &channels).await;
        rounds += 1;
    }
    edge.still_serves().await;
    let server = edge.server();
    eventually("they are cut", SLOW as u64, async || {
        server.disconnects(3009).await
    })
    .await;
    eventually("only the witness is left", 1, async || {
        server.metric("tidewire_connections").await
    })
    .await;
    assert_eq!(server.disconnects(3008).await, 0);
    edge.bore_it_within(SLOW as u64 * (rounds + 1) * LARGE)
        .await;
}

#[tokio::test]
async fn who_asks_for_more_than_its_queue_holds_gets_no_more_than_that() {
    let queue = 256 * KIB;
    let options = json!({
        "client": {"queue_max_size": queue},
        "channel": {"without_namespace": {
            "allow_subscribe_for_client": true,
            "history_size": 10,
            "history_ttl": "60s",
            "force_recovery": true,
        }},
    });
    let edge = Edge::start("replies", &options).await;
    let data = json!("x".repeat(usize::try_from(LARGE).unwrap()));
    for _ in 0..10 {
        edge.server().keep("kept", &data).await;
    }
    let recover = json!({"channel": "kept", "recover": true});
    let pair = [
        json!({"id": 2, "subscribe": recover}),
        json!({"id": 3, "unsubscribe": {"channel": "kept"}}),
    ];
    let pair = format!("{}\n{}", pair[0], pair[1]);
    // Each message asks for 160 KiB five hundred times.
    let greedy = frame(TEXT, [&*pair; 500].join("\n").as_bytes());
    for _ in 0..5 {
        let mut raw = Raw::open(edge.server().address).await;
        let connect = json!({"id": 1, "connect": {"token": token::of("greedy")}});
        raw.text(&connect.to_string()).await;
        raw.recv().await;
        raw.send(&greedy).await;
        let closed = loop {
            match raw.next().await {
                Some((TEXT, _)) => {}
                Some((_, payload)) => break payload,
                None => panic!("cut without a close frame"),
            }
        };
        assert_eq!(closed, b"\x0b\xc0slow");
    }
    // The queue, the reply that overflows it, and that reply's parts while it is encoded.
    edge.bore_it_within(queue + 3 * 11 * LARGE).await;
}
