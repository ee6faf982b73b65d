//! More of what is allowed than anybody needs: subscribes, pings, commands.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::edge::{Edge, KIB};
use crate::support::client::Client;
use crate::support::raw::{PING, PONG, Raw, TEXT, frame};
use crate::support::token;

/// A raw client that is connected, to a server that pings seldom.
async fn connected(edge: &Edge) -> Raw {
    let mut raw = Raw::open(edge.server().address).await;
    let connect = json!({"id": 1, "connect": {"token": token::of("eager")}});
    raw.text(&connect.to_string()).await;
    assert!(raw.recv().await.contains("connect"));
    raw
}

fn seldom() -> serde_json::Value {
    json!({"client": {"ping_interval": "300s"}})
}

#[tokio::test]
async fn ten_thousand_subscribes_and_unsubscribes_a_second_are_all_answered_in_order() {
    const BATCH: u32 = 100;
    const BATCHES: u32 = 200;
    let mut edge = Edge::start("storm", &seldom()).await;
    let mut raw = connected(&edge).await;
    // A hundred pairs every 10 ms; a machine that cannot keep up takes longer.
    let mut pace = interval(Duration::from_millis(10));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    for batch in 0..BATCHES {
        pace.tick().await;
        let first = 2 + batch * 2 * BATCH;
        let mut bytes = Vec::new();
        for pair in 0..BATCH {
            let id = first + 2 * pair;
            let channel = pair % 50;
            let subscribe =
                format!("{{\"id\":{id},\"subscribe\":{{\"channel\":\"room:{channel}\"}}}}");
            bytes.extend(frame(TEXT, subscribe.as_bytes()));
            let id = id + 1;
            let unsubscribe =
                format!("{{\"id\":{id},\"unsubscribe\":{{\"channel\":\"room:{channel}\"}}}}");
            bytes.extend(frame(TEXT, unsubscribe.as_bytes()));
        }
        raw.send(&bytes).await;
        for id in (first..first + 2 * BATCH).step_by(2) {
            assert_eq!(
                raw.recv().await,
                format!("{{\"id\":{id},\"subscribe\":{{}}}}")
            );
            let id = id + 1;
            assert_eq!(
                raw.recv().await,
                format!("{{\"id\":{id},\"unsubscribe\":{{}}}}")
            );
        }
    }
    eprintln!("{} pairs in {:?}", BATCH * BATCHES, began.elapsed());
    edge.still_serves().await;
    // The witness's subscription and channel: nothing is left of the others.
    assert_eq!(edge.server().counts().await, [2, 2, 1, 1]);
    edge.bore_it_within(0).await;
}

#[tokio::test]
async fn every_ping_of_a_flood_has_its_pong() {
    let mut edge = Edge::start("pings", &seldom()).await;
    let mut raw = connected(&edge).await;
    for batch in 0_u32..200 {
        let payload = |n: u32| [(batch * 100 + n).to_be_bytes().repeat(31)].concat();
        let pings: Vec<u8> = (0..100).flat_map(|n| frame(PING, &payload(n))).collect();
        raw.send(&pings).await;
        for n in 0..100 {
            assert_eq!(raw.next().await, Some((PONG, payload(n))));
        }
    }
    edge.still_serves().await;
    edge.bore_it_within(0).await;
}

#[tokio::test]
async fn publications_of_one_client_hold_up_nobody() {
    let mut edge = Edge::start("publishes", &seldom()).await;
    let mut other = Client::connected(edge.server(), "other").await;
    other.subscribe("room:1").await;
    let mut raw = connected(&edge).await;
    for batch in 0_u32..100 {
        let publish = |n: u32| {
            let n = batch * 100 + n;
            format!(
                "{{\"id\":{},\"publish\":{{\"channel\":\"room:1\",\"data\":{n}}}}}",
                n + 2
            )
        };
        let frames: Vec<u8> = (0..100)
            .flat_map(|n| frame(TEXT, publish(n).as_bytes()))
            .collect();
        raw.send(&frames).await;
        for n in batch * 100..(batch + 1) * 100 {
            assert_eq!(
                raw.recv().await,
                format!("{{\"id\":{},\"publish\":{{}}}}", n + 2)
            );
            assert_eq!(other.publication("room:1").await, n);
        }
    }
    edge.still_serves().await;
    edge.bore_it_within(64 * KIB).await;
}
