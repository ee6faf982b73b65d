//! Pings and pongs, stale connections, expiring connections: with intervals of about a second.
//!
//! Short enough for a test, long enough for a busy machine to answer in time.

use std::time::Duration;

use serde_json::{Value, json};
use tidewire_protocol::{Command, ConnectRequest};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, Incoming, ProtobufClient};
use crate::support::server::{SECRET, Server};
use crate::support::{eventually, token};

const INTERVAL: Duration = Duration::from_secs(1);

/// A ping each second that must be answered in nine tenths of one.
fn fast_pings() -> Value {
    json!({
        "client": {
            "ping_interval": "1s",
            "pong_timeout": "900ms",
            "expired_close_delay": "200ms",
        },
        "channel": {"without_namespace": {"allow_subscribe_for_client": true}},
    })
}

#[tokio::test]
async fn a_client_that_answers_its_pings_stays() {
    let server = Server::start(&fast_pings());
    let mut client = Client::connected(&server, "42").await;
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(client.recv().await, json!({}), "a ping");
        client.send("{}").await;
    }
    let took = began.elapsed();
    // The first comes after half to one interval, the others one interval apart.
    assert!(took >= INTERVAL * 3, "{took:?}");
    client.subscribe("a").await;
}

#[tokio::test]
async fn a_client_that_only_talks_is_closed_for_want_of_a_pong() {
    let server = Server::start(&fast_pings());
    let mut client = Client::connected(&server, "42").await;
    assert_eq!(client.recv().await, json!({}), "a ping");
    client.subscribe("a").await;
    client.message(Message::Pong("native".into())).await;
    assert_eq!(client.closed().await, (3012, "no pong".into()));
    assert_eq!(server.disconnects(3012).await, 1);
}

#[tokio::test]
async fn one_pong_for_each_ping_and_none_before() {
    let server = Server::start(&fast_pings());
    let mut client = Client::connected(&server, "42").await;
    client.send("{}").await;
    assert_eq!(client.closed().await.0, 3501, "a pong before any ping");

    let mut client = Client::connected(&server, "42").await;
    assert_eq!(client.recv().await, json!({}), "a ping");
    client.send("{}").await;
    client.send("{}").await;
    assert_eq!(client.closed().await.0, 3501, "a second pong");

    let mut client = Client::connected(&server, "42").await;
    // A command without a number is a pong, whatever it holds.
    client.send("{\"subscribe\":{\"channel\":\"a\"}}").await;
    assert_eq!(client.closed().await.0, 3501);
}

#[tokio::test]
async fn a_ping_in_protobuf_is_one_zero_byte_as_is_its_pong() {
    let server = Server::start(&fast_pings());
    let mut client = ProtobufClient::open(&server).await;
    let token = token::of("42");
    let connect = ConnectRequest {
        token,
        ..Default::default()
    };
    client
        .send(&[Command {
            id: 1,
            connect: Some(connect),
            ..Command::default()
        }])
        .await;
    assert_eq!(client.recv().await.connect.unwrap().ping, 1);
    for _ in 0..2 {
        assert_eq!(client.frame().await, [0]);
        client.send_bytes(vec![0]).await;
    }
    assert_eq!(client.frame().await, [0]);
    assert_eq!(client.closed().await, 3012);
}

#[tokio::test]
async fn a_connection_without_connect_is_stale() {
    let server = Server::start(&json!({"client": {"stale_close_delay": "1s"}}));
    let mut client = Client::open(&server).await;
    assert_eq!(client.closed().await, (3502, "stale".into()));
    // One that connects in time is not.
    let mut client = Client::connected(&server, "42").await;
    client.silence(Duration::from_millis(1500)).await;
    assert_eq!(server.disconnects(3502).await, 1);
}

#[tokio::test]
async fn a_refused_connect_is_stale_when_that_comes_before_the_cut() {
    let server = Server::start(&json!({"client": {"stale_close_delay": "1s"}}));
    let mut client = Client::open(&server).await;
    let expired = token::signed(&json!({"exp": 100}), SECRET);
    assert_eq!(
        client.refused(json!({"connect": {"token": expired}})).await,
        109
    );
    assert_eq!(client.closed().await, (3502, "stale".into()));
}

#[tokio::test]
async fn an_expired_connection_is_closed_after_its_grace() {
    let mut options = fast_pings();
    options["client"]["expired_close_delay"] = "600ms".into();
    let server = Server::start(&options);
    let mut client = Client::open(&server).await;
    client.answer_pings();
    let result = client.connect(&token::expiring(2)).await;
    assert_eq!(result["expires"], true);
    let ttl = result["ttl"].as_u64().unwrap();
    assert!((1..=2).contains(&ttl), "{result}");
    let began = Instant::now();
    assert_eq!(client.closed().await, (3005, "connection expired".into()));
    assert!(
        began.elapsed() >= Duration::from_millis(600),
        "the grace is given"
    );
    eventually("nobody is left", [0; 4], async || server.counts().await).await;
}

#[tokio::test]
async fn a_refreshed_connection_lives_on_and_one_refreshed_for_ever_too() {
    let mut options = fast_pings();
    options["client"]["expired_close_delay"] = "300ms".into();
    let server = Server::start(&options);
    let outlive = async |refresh: String| {
        let mut client = Client::open(&server).await;
        client.connect(&token::expiring(2)).await;
        let reply = client.call(json!({"refresh": {"token": refresh}})).await;
        client.answer_pings();
        client.silence(Duration::from_millis(3500)).await;
        client.subscribe("a").await;
        reply["refresh"].clone()
    };
    let (later, never) = tokio::join!(outlive(token::expiring(3600)), outlive(token::of("42")));
    assert_eq!(never, json!({}));
    assert_eq!(later["expires"], true);
    let ttl = later["ttl"].as_u64().unwrap();
    assert!((3590..=3600).contains(&ttl), "{later}");
    assert_eq!(server.disconnects(3005).await, 0);
}

#[tokio::test]
async fn a_refresh_within_the_grace_saves_the_connection() {
    let mut options = fast_pings();
    options["client"]["expired_close_delay"] = "10s".into();
    let server = Server::start(&options);
    let mut client = Client::open(&server).await;
    client.connect(&token::expiring(2)).await;
    client.answer_pings();
    client.silence(Duration::from_millis(2200)).await;
    let reply = client
        .call(json!({"refresh": {"token": token::expiring(60)}}))
        .await;
    assert_eq!(reply["refresh"]["expires"], true);
}

#[tokio::test]
async fn a_refresh_that_fails_closes_with_its_code() {
    let server = Server::start(&fast_pings());
    for (token, code) in [
        (String::new(), 3501),
        ("x".to_owned(), 3500),
        (token::of("43"), 3500),
        (
            token::signed(&json!({"sub": "42", "exp": 100}), SECRET),
            3005,
        ),
    ] {
        let mut client = Client::connected(&server, "42").await;
        client.command(json!({"refresh": {"token": token}})).await;
        let mut incoming = client.next().await;
        if incoming == Incoming::Message(json!({})) {
            incoming = client.next().await;
        }
        assert!(
            matches!(incoming, Incoming::Closed(closed, _) if closed == code),
            "{incoming:?}"
        );
    }
}
