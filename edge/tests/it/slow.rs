//! Clients that do not read: what they cost is bounded, and others do not notice.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::client::{Client, Incoming};
use crate::support::eventually;
use crate::support::raw::{PING, Raw, TEXT, UPGRADE, frame};
use crate::support::server::Server;

fn options(queue_max_size: u32, write_timeout: &str) -> Value {
    json!({
        "client": {"queue_max_size": queue_max_size},
        "websocket": {"write_timeout": write_timeout},
        "channel": {"without_namespace": {"allow_subscribe_for_client": true}},
    })
}

/// A publication of about 8 KB.
fn large(n: u32) -> Value {
    json!([n, "x".repeat(8000)])
}

/// Publishes until the server has disconnected somebody with this code; how many it took.
async fn publish_until_disconnect(server: &Server, code: u32) -> u32 {
    for n in 0..3000 {
        server.publish("a", &large(n)).await;
        if server.disconnects(code).await > 0 {
            return n + 1;
        }
    }
    panic!("3000 publications of 8 KB fit somewhere");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_slow_and_others_get_everything() {
    let server = Server::start(&options(64 * 1024, "10s"));
    let mut slow = Client::open_narrow(&server).await;
    slow.connect(&crate::support::token::of("slow")).await;
    slow.subscribe("a").await;
    let mut other = Client::connected(&server, "other").await;
    other.subscribe("a").await;
    let reading = tokio::spawn(async move {
        let mut next = 0;
        while next < u32::MAX {
            let data = other.publication("a").await;
            if data == "end" {
                break;
            }
            assert_eq!(data[0], next);
            next += 1;
        }
        next
    });
    let published = publish_until_disconnect(&server, 3008).await;
    // It is gone for everybody else, although its socket waits for the close frame to be taken.
    assert_eq!(server.counts().await, [1, 1, 1, 1]);
    server.publish("a", &json!("end")).await;
    assert_eq!(
        reading.await.unwrap(),
        published,
        "each exactly once, in order"
    );

    let mut expected = 0;
    loop {
        match slow.next().await {
            Incoming::Message(message) => {
                assert_eq!(message["push"]["pub"]["data"][0], expected);
                expected += 1;
            }
            closed @ (Incoming::Closed(..) | Incoming::Cut) => {
                break assert_eq!(closed, Incoming::Closed(3008, "slow".into()));
            }
        }
    }
    assert!(expected < published, "the queue was dropped");
}

#[tokio::test]
async fn a_slow_client_that_never_reads_is_cut_and_counted_once() {
    let server = Server::start(&options(64 * 1024, "300ms"));
    let mut slow = Client::open_narrow(&server).await;
    slow.connect(&crate::support::token::of("slow")).await;
    slow.subscribe("a").await;
    publish_until_disconnect(&server, 3008).await;
    eventually("its socket is gone", 0, async || {
        server.metric("tidewire_connections").await
    })
    .await;
    assert_eq!(server.disconnects(3008).await, 1);
    assert_eq!(server.disconnects(3009).await, 0);
}

#[tokio::test]
async fn a_write_that_takes_too_long_ends_the_connection() {
    let server = Server::start(&options(64 * 1024 * 1024, "300ms"));
    let mut slow = Client::open_narrow(&server).await;
    slow.connect(&crate::support::token::of("slow")).await;
    slow.subscribe("a").await;
    publish_until_disconnect(&server, 3009).await;
    eventually("it is gone", [0; 4], async || server.counts().await).await;
    eventually("its socket is gone", 0, async || {
        server.metric("tidewire_connections").await
    })
    .await;
    assert_eq!(server.disconnects(3008).await, 0);
    assert_eq!(server.disconnects(3009).await, 1);
}

#[tokio::test]
async fn a_client_that_comes_back_to_reading_in_time_has_lost_nothing() {
    let server = Server::start(&options(64 * 1024 * 1024, "60s"));
    let mut late = Client::open_narrow(&server).await;
    late.connect(&crate::support::token::of("late")).await;
    late.subscribe("a").await;
    for n in 0..300 {
        server.publish("a", &large(n)).await;
    }
    for n in 0..300 {
        assert_eq!(late.publication("a").await, large(n));
    }
    late.call(json!({"unsubscribe": {"channel": "a"}})).await;
}

#[tokio::test]
async fn a_client_that_floods_with_pings_and_reads_no_pong_is_slow() {
    let server = Server::start(&options(16 * 1024, "10s"));
    let mut raw = Raw::open(server.address).await;
    let pings = frame(PING, &[b'x'; 125]).repeat(1000);
    for _ in 0..500 {
        raw.send(&pings).await;
        if server.disconnects(3008).await > 0 {
            return;
        }
    }
    panic!("65 MB of pongs fit somewhere");
}

#[tokio::test]
async fn more_than_may_wait_is_not_even_tried() {
    let server = Server::start(&options(8000, "10s"));
    let mut client = Client::connected(&server, "42").await;
    client.subscribe("a").await;
    server.publish("a", &json!("x".repeat(7000))).await;
    assert_eq!(client.publication("a").await, "x".repeat(7000));
    server.publish("a", &large(1)).await;
    assert_eq!(client.closed().await, (3008, "slow".into()));
}

#[tokio::test]
async fn a_client_that_stalls_for_less_than_its_write_timeout_loses_nothing() {
    const PUBLICATIONS: usize = 20;
    let mut options = options(64 * 1024 * 1024, "60s");
    options["uni_websocket"] = json!({"enabled": true, "write_timeout": "60s"});
    options["client"]["insecure"] = true.into();
    let server = Server::start(&options);
    let mut both = Raw::open(server.address).await;
    both.text(r#"{"id":1,"connect":{"subs":{"a":{}}}}"#).await;
    let mut uni = Raw::dial(server.address).await;
    let path = "/connection/uni_websocket?cf_connect=%7B%22subs%22%3A%7B%22a%22%3A%7B%7D%7D%7D";
    assert_eq!(uni.request("GET", path, UPGRADE).await.status, 101);
    for raw in [&mut both, &mut uni] {
        assert!(raw.recv().await.contains("\"subs\":{\"a\":"));
    }
    // More than sockets hold.
    let data = json!("x".repeat(1 << 20));
    for _ in 0..PUBLICATIONS {
        server.publish("a", &data).await;
    }
    // Longer than the default.
    sleep(Duration::from_millis(1500)).await;
    for raw in [&mut both, &mut uni] {
        for _ in 0..PUBLICATIONS {
            let (opcode, payload) = raw.next().await.expect("a publication, not the end");
            assert_eq!((opcode, payload.len() > 1 << 20), (TEXT, true));
        }
    }
    assert_eq!(server.disconnects(3009).await, 0);
}
