//! Commands that wait for an answer, and what happens meanwhile.

use serde_json::{Value, json};

use super::support::eventually;
use super::support::raw::{Raw, TEXT, frame, unmasked};
use super::support::server::Server;
use super::support::token;

fn options(concurrency: u32) -> Value {
    json!({
        "client": {
            "concurrency": concurrency, "insecure": true,
            "subscribe_to_user_personal_channel": {"enabled": true, "single_connection": true},
        },
        "channel": {"without_namespace": {"presence": true}},
    })
}

fn commands(commands: &[Value]) -> Vec<u8> {
    let frames = commands
        .iter()
        .map(|it| frame(TEXT, it.to_string().as_bytes()));
    frames.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn an_answer_does_not_bring_a_closed_client_back() {
    // A user with a single connection waits for all nodes before the connect is answered.
    for concurrency in [0, 4] {
        let server = Server::start(&options(concurrency));
        let mut raw = Raw::open(server.address).await;
        let mut bytes = commands(&[json!({"id": 1, "connect": {"token": token::of("42")}})]);
        bytes.extend(unmasked(TEXT, b"{}"));
        raw.send(&bytes).await;
        assert_eq!(raw.closed().await.0, 1002);
        raw.send(&commands(&[
            json!({"id": 2, "presence": {"channel": "#42"}}),
        ]))
        .await;
        raw.ended().await;
        assert_eq!(server.counts().await, [0, 0, 0, 0]);
        let connections = async || server.metric("tidewire_connections").await;
        eventually("no connection", 0, connections).await;
    }
}

#[tokio::test]
async fn every_command_of_a_segment_is_answered_however_many_wait() {
    for concurrency in [0, 1, 2, 8] {
        let server = Server::start(&options(concurrency));
        let mut raw = Raw::open(server.address).await;
        let mut all = vec![json!({"id": 1, "connect": {"token": token::of("42")}})];
        all.extend((2..=20).map(|id| json!({"id": id, "presence": {"channel": "a"}})));
        raw.send(&commands(&all)).await;
        let mut ids = Vec::new();
        while ids.len() < all.len() {
            let reply: Value = serde_json::from_str(&raw.recv().await).unwrap();
            assert!(reply["error"].is_null(), "{reply}");
            ids.push(reply["id"].as_u64().unwrap());
        }
        assert_eq!(ids[0], 1, "nothing runs before the connect is answered");
        ids.sort_unstable();
        assert_eq!(ids, (1..=20).collect::<Vec<_>>(), "{concurrency}");
    }
}
