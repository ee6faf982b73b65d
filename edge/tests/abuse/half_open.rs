//! Sockets that are opened and then left: at every stage of a connection, thousands at once.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::edge::{Edge, KIB};
use crate::support::raw::{CLOSE, Raw, TEXT, close, declared, frame};
use crate::support::{eventually, token};

/// How many at each stage; three thousand in all, or as many as the system lets a process have open.
fn at_each_stage() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    // Some files are open besides, and other tests run beside this one.
    soft.and_then(|soft| soft.parse::<usize>().ok())
        .map_or(600, |soft| (soft.saturating_sub(500) / 10).min(600))
}

/// Frames are skipped until the close; its code.
async fn close_code(raw: &mut Raw) -> u16 {
    loop {
        match raw.next().await {
            Some((CLOSE, payload)) => return u16::from_be_bytes([payload[0], payload[1]]),
            Some(_) => {}
            None => panic!("cut without a close frame"),
        }
    }
}

#[tokio::test]
async fn a_close_within_a_frame_of_the_client_is_answered_all_the_same() {
    let edge = Edge::start("mid-frame", &json!({})).await;
    let mut raw = Raw::open(edge.server().address).await;
    let connect = json!({"id": 1, "connect": {"token": token::of("slow")}});
    raw.text(&connect.to_string()).await;
    raw.recv().await;
    let message = frame(TEXT, b"{\"id\":2,\"subscribe\":{\"channel\":\"room:1\"}}");
    let (begun, rest) = message.split_at(20);
    raw.send(begun).await;
    edge.server()
        .result("disconnect", json!({"user": "slow"}))
        .await;
    assert_eq!(close_code(&mut raw).await, 3503);
    let began = Instant::now();
    raw.send(&[rest, &frame(CLOSE, &close(3503, ""))].concat())
        .await;
    raw.ended().await;
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "not only for want of an answer: {took:?}"
    );
    edge.bore_it_within(0).await;
}

#[tokio::test]
async fn each_is_closed_in_its_time() {
    let options = json!({"client": {
        "stale_close_delay": "3s",
        "ping_interval": "4s",
        "pong_timeout": "3s",
    }});
    let mut edge = Edge::start("half-open", &options).await;
    let address = edge.server().address;
    let count = at_each_stage();
    let (mut silent, mut half, mut idle) = (vec![], vec![], vec![]);
    let (mut stale, mut vanished) = (vec![], vec![]);
    let connect = json!({"id": 1, "connect": {"token": token::of("vanished")}}).to_string();
    for _ in 0..count {
        silent.push(Raw::dial(address).await);
        let mut raw = Raw::dial(address).await;
        raw.send(b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: web")
            .await;
        half.push(raw);
        let mut raw = Raw::dial(address).await;
        let answer = raw.request("GET", "/nothing", &[]).await;
        assert_eq!(answer.status, 404);
        idle.push(raw);
        stale.push(Raw::open(address).await);
        let mut raw = Raw::open(address).await;
        raw.text(&connect).await;
        raw.recv().await;
        // The beginning of a frame, and nothing more: no pong either.
        raw.send(&[&*declared(TEXT, 60_000), b"{\"id\":2"].concat())
            .await;
        vanished.push(raw);
    }
    edge.still_serves().await;
    for raw in &mut stale {
        assert_eq!(close_code(raw).await, 3502);
    }
    for raw in &mut vanished {
        assert_eq!(close_code(raw).await, 3012);
    }
    edge.still_serves().await;
    // Ten seconds for a request's head, whether it was begun or not, and whether it is the first.
    for raw in silent.iter_mut().chain(&mut half).chain(&mut idle) {
        let rest = raw.rest().await;
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
            "{:?}",
            String::from_utf8_lossy(&rest)
        );
    }
    let server = edge.server();
    let count = count as u64;
    assert_eq!(server.disconnects(3502).await, count);
    assert_eq!(server.disconnects(3012).await, count);
    drop((stale, vanished));
    eventually("only the witness is left", 1, async || {
        server.metric("tidewire_connections").await
    })
    .await;
    // The head's buffer of hyper (8 KiB) with its task; the buffers of a handshake are gone when it is done.
    edge.bore_it_within(5 * count * 16 * KIB).await;
}
