//! permessage-deflate: only for who offers it, once per publication, and no way to exhaust memory.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};

use crate::support::raw::{RSV1, Raw, TEXT, UPGRADE, frame};
use crate::support::server::Server;
use crate::support::token;

/// What every flush ends with, and no message on the wire.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn compressed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut compress = Compress::new(Compression::fast(), false);
    compress
        .compress_vec(message, &mut out, FlushCompress::Sync)
        .unwrap();
    out.strip_suffix(&TAIL).unwrap().to_vec()
}

fn plain(payload: &[u8]) -> String {
    let mut out = Vec::with_capacity(1 << 20);
    let input = [payload, &TAIL].concat();
    let mut decompress = Decompress::new(false);
    decompress
        .decompress_vec(&input, &mut out, FlushDecompress::Sync)
        .unwrap();
    String::from_utf8(out).unwrap()
}

fn options() -> Value {
    json!({
        "websocket": {"compression": true, "message_size_limit": 4096},
        "channel": {"without_namespace": {"allow_subscribe_for_client": true}},
    })
}

/// A connection that offered compression, with the extension that the server answered.
async fn offered(server: &Server, offer: &'static str) -> (Raw, Option<String>) {
    let mut headers = UPGRADE.to_vec();
    headers.push(("Sec-WebSocket-Extensions", offer));
    let mut raw = Raw::dial(server.address).await;
    let head = raw.request("GET", "/connection/websocket", &headers).await;
    assert_eq!(head.status, 101);
    let extension = head.header("sec-websocket-extensions").map(str::to_owned);
    (raw, extension)
}

async fn connected(server: &Server) -> Raw {
    let (mut raw, extension) = offered(server, "permessage-deflate").await;
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(extension.as_deref(), Some(expected));
    let connect = json!({"id": 1, "connect": {"token": token::of("42")}}).to_string();
    raw.send(&frame(RSV1 | TEXT, &compressed(connect.as_bytes())))
        .await;
    raw.next().await;
    raw
}

#[tokio::test]
async fn messages_are_compressed_both_ways_for_who_offers_it() {
    let server = Server::start(&options());
    let mut raw = connected(&server).await;
    raw.text(r#"{"id":2,"subscribe":{"channel":"a"}}"#).await;
    raw.next().await;
    let text = "abc ".repeat(500);
    server.publish("a", &json!(text)).await;
    let (first, payload) = raw.next().await.unwrap();
    assert_eq!(first, RSV1 | TEXT);
    assert!(payload.len() < 200, "{} bytes", payload.len());
    let push: Value = serde_json::from_str(&plain(&payload)).unwrap();
    assert_eq!(push["push"]["pub"]["data"], json!(text));
}

#[tokio::test]
async fn who_does_not_offer_it_gets_plain_frames_of_the_same_publication() {
    let server = Server::start(&options());
    let mut offering = connected(&server).await;
    let mut other = Raw::open(server.address).await;
    let connect = json!({"id": 1, "connect": {"token": token::of("43")}}).to_string();
    other.text(&connect).await;
    other.recv().await;
    for raw in [&mut offering, &mut other] {
        raw.text(r#"{"id":2,"subscribe":{"channel":"a"}}"#).await;
        raw.next().await;
    }
    server.publish("a", &json!("x".repeat(100))).await;
    let (first, compressed) = offering.next().await.unwrap();
    let (second, whole) = other.next().await.unwrap();
    assert_eq!((first & RSV1, second & RSV1), (RSV1, 0));
    assert_eq!(plain(&compressed).as_bytes(), whole);
}

#[tokio::test]
async fn without_the_option_the_offer_is_declined_and_compressed_frames_are_a_violation() {
    let server = Server::start(&json!({}));
    let (mut raw, extension) = offered(&server, "permessage-deflate").await;
    assert_eq!(extension, None);
    raw.send(&frame(RSV1 | TEXT, &compressed(b"{}"))).await;
    assert_eq!(raw.closed().await.0, 1002);
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_unfolds() {
    let server = Server::start(&options());
    let mut raw = connected(&server).await;
    let bomb = compressed(&vec![b' '; 1 << 17]);
    assert!(bomb.len() < 4096);
    raw.send(&frame(RSV1 | TEXT, &bomb)).await;
    let expected = (1009, "message too big after decompression".to_owned());
    assert_eq!(raw.closed().await, expected);
}

#[tokio::test]
async fn what_is_not_compressed_data_closes_the_connection() {
    let server = Server::start(&options());
    let mut raw = connected(&server).await;
    raw.send(&frame(RSV1 | TEXT, b"\xff\xff\xff\xff")).await;
    assert_eq!(raw.closed().await.0, 1007);
}

/// Sections of the WebSocket endpoints.
const SECTIONS: [&str; 2] = ["websocket", "uni_websocket"];

/// A server that compresses with these options at this endpoint, and a subscriber of `a` there.
async fn subscribed(section: &str, more: Value) -> (Server, Raw) {
    let mut options = json!({
        "client": {"insecure": true},
        "uni_websocket": {"enabled": true},
    });
    options[section]["compression"] = true.into();
    tidewire_config::merge(&mut options[section], more);
    let server = Server::start(&options);
    let mut headers = UPGRADE.to_vec();
    headers.push(("Sec-WebSocket-Extensions", "permessage-deflate"));
    let mut raw = Raw::dial(server.address).await;
    let query = "?cf_connect=%7B%22subs%22%3A%7B%22a%22%3A%7B%7D%7D%7D";
    let path = format!("/connection/{section}{query}");
    let head = raw.request("GET", &path, &headers).await;
    assert_eq!(head.status, 101, "{head:?}");
    if section == "websocket" {
        raw.text(r#"{"id":1,"connect":{"subs":{"a":{}}}}"#).await;
    }
    raw.next().await;
    (server, raw)
}

#[tokio::test]
async fn what_is_shorter_than_configured_is_not_compressed() {
    for section in SECTIONS {
        let (server, mut raw) = subscribed(section, json!({"compression_min_size": 500})).await;
        for (length, expected) in [(10, TEXT), (1000, RSV1 | TEXT)] {
            server.publish("a", &json!("x".repeat(length))).await;
            let (first, _) = raw.next().await.unwrap();
            assert_eq!(first, expected, "{section} {length}");
        }
    }
}

#[tokio::test]
async fn messages_are_compressed_as_hard_as_configured() {
    // Words in no order, which a harder look shortens further.
    let words = (1_u32..2000).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761) >> 23));
    let text = words.collect::<Vec<_>>().join(" ");
    for section in SECTIONS {
        let mut lengths = Vec::new();
        for level in [1, 9] {
            let (server, mut raw) = subscribed(section, json!({"compression_level": level})).await;
            server.publish("a", &json!(text)).await;
            let (first, payload) = raw.next().await.unwrap();
            assert_eq!(first, RSV1 | TEXT);
            lengths.push(payload.len());
        }
        assert!(lengths[1] < lengths[0], "{section}: {lengths:?}");
    }
}

#[tokio::test]
async fn a_message_may_unfold_as_far_as_configured() {
    for section in SECTIONS {
        let limit = json!({"decompressed_message_size_limit": 1000});
        let (_server, mut raw) = subscribed(section, limit).await;
        let message = compressed(&[b' '; 1001]);
        raw.send(&frame(RSV1 | TEXT, &message)).await;
        let expected = (1009, "message too big after decompression".to_owned());
        assert_eq!(raw.closed().await, expected, "{section}");
    }
}
