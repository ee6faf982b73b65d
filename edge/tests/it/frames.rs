//! WebSocket frames that no library would send, and what the server's own frames look like.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::raw::{
    BINARY, CLOSE, CONTINUATION, PING, PONG, Raw, TEXT, close, declared, fragment, frame, unmasked,
};
use crate::support::server::Server;

const CONNECT: &str = "{\"id\":1,\"connect\":{}}";

fn server() -> Server {
    Server::start(&json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {"without_namespace": {
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
            "allow_publish_for_client": true,
            "allow_publish_for_anonymous": true,
        }},
    }))
}

async fn connected(server: &Server) -> Raw {
    let mut raw = Raw::open(server.address).await;
    raw.text(CONNECT).await;
    assert!(raw.recv().await.starts_with("{\"id\":1,\"connect\":{"));
    raw
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_is_closed_with_its_code() {
    let server = server();
    let limit = 65_536;
    let long = "x".repeat(126);
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("an unmasked frame", unmasked(TEXT, b"{}"), 1002),
        ("an unknown opcode", frame(0x3, b"{}"), 1002),
        ("a reserved bit", frame(0x40 | TEXT, b"{}"), 1002),
        (
            "a continuation of nothing",
            frame(CONTINUATION, b"{}"),
            1002,
        ),
        ("a fragmented ping", fragment(PING, b""), 1002),
        ("a long ping", frame(PING, long.as_bytes()), 1002),
        (
            "a message within another",
            [fragment(TEXT, b"{"), frame(TEXT, b"}")].concat(),
            1002,
        ),
        (
            "a close code that is not sent",
            frame(CLOSE, &close(1005, "")),
            1002,
        ),
        ("half a close code", frame(CLOSE, b"\x03"), 1002),
        (
            "a message that is too big",
            frame(TEXT, &vec![b' '; limit + 1]),
            1009,
        ),
        ("its header alone", declared(BINARY, limit + 1), 1009),
        (
            "a length that nobody has",
            declared(TEXT, usize::MAX >> 1),
            1009,
        ),
        (
            "fragments that are too big together",
            [
                fragment(TEXT, &vec![b' '; limit]),
                frame(CONTINUATION, b" "),
            ]
            .concat(),
            1009,
        ),
    ];
    for (name, bytes, code) in rows {
        let mut raw = connected(&server).await;
        raw.send(&bytes).await;
        assert_eq!(raw.closed().await, (code, String::new()), "{name}");
        // The server waits for our close frame, sends no second one, and ends the stream.
        raw.send(&frame(CLOSE, &close(code, ""))).await;
        raw.ended().await;
    }
    eventually("nobody is left", [0; 4], async || server.counts().await).await;
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_read() {
    let server = server();
    let mut raw = connected(&server).await;
    let head = "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":\"";
    let tail = "\"}}";
    let data = "x".repeat(65_536 - head.len() - tail.len());
    raw.text(&format!("{head}{data}{tail}")).await;
    assert_eq!(raw.recv().await, "{\"id\":2,\"publish\":{}}");
}

#[tokio::test]
async fn a_fragmented_message_with_a_ping_inside_is_one_message() {
    let server = server();
    let mut raw = connected(&server).await;
    let parts = ["{\"id\":2,\"sub", "scribe\":{\"channel\":", "\"a\"}}"].map(str::as_bytes);
    raw.send(&fragment(TEXT, parts[0])).await;
    raw.send(&frame(PING, b"inside")).await;
    raw.send(&fragment(CONTINUATION, parts[1])).await;
    raw.send(&frame(CONTINUATION, parts[2])).await;
    assert_eq!(raw.next().await, Some((PONG, b"inside".to_vec())));
    assert_eq!(raw.recv().await, "{\"id\":2,\"subscribe\":{}}");
}

#[tokio::test]
async fn frames_that_arrive_byte_by_byte_are_read() {
    let server = server();
    let mut raw = Raw::open(server.address).await;
    raw.send_in_pieces(&frame(TEXT, CONNECT.as_bytes())).await;
    assert!(raw.recv().await.contains("connect"));
    raw.send_in_pieces(&frame(
        TEXT,
        b"{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
    ))
    .await;
    assert_eq!(raw.recv().await, "{\"id\":2,\"subscribe\":{}}");
    raw.send_in_pieces(&frame(CLOSE, &close(1000, "bye"))).await;
    assert_eq!(raw.closed().await, (1000, String::new()));
    raw.ended().await;
}

#[tokio::test]
async fn many_frames_in_one_segment_are_all_read_in_order() {
    let server = server();
    let mut raw = connected(&server).await;
    let frames: Vec<u8> = (2..100)
        .flat_map(|id| {
            let command = format!("{{\"id\":{id},\"subscribe\":{{\"channel\":\"c{id}\"}}}}");
            frame(TEXT, command.as_bytes())
        })
        .collect();
    raw.send(&frames).await;
    for id in 2..100 {
        assert_eq!(
            raw.recv().await,
            format!("{{\"id\":{id},\"subscribe\":{{}}}}")
        );
    }
}

#[tokio::test]
async fn what_is_sent_together_with_the_handshake_is_read() {
    let server = server();
    let mut raw = Raw::dial(server.address).await;
    let mut bytes = b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\n\
        Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    bytes.extend(frame(TEXT, CONNECT.as_bytes()));
    bytes.extend(&frame(TEXT, b"{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}")[..9]);
    raw.send(&bytes).await;
    let head = raw.answer().await;
    assert_eq!(head.status, 101);
    assert_eq!(
        head.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert!(raw.recv().await.contains("connect"));
    raw.send(&frame(TEXT, b"{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}")[9..])
        .await;
    assert_eq!(raw.recv().await, "{\"id\":2,\"subscribe\":{}}");
}

#[tokio::test]
async fn native_pings_are_answered_even_before_connect() {
    let server = server();
    let mut raw = Raw::open(server.address).await;
    for payload in [&b""[..], b"keepalive", &[0xFF; 125]] {
        raw.send(&frame(PING, payload)).await;
        assert_eq!(raw.next().await, Some((PONG, payload.to_vec())));
    }
    let mut client = Client::open(&server).await;
    client
        .message(tokio_tungstenite::tungstenite::Message::Ping("p".into()))
        .await;
    client.native_pong(b"p").await;
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code_and_the_stream_ends() {
    let server = server();
    for (payload, expected) in [
        (close(1000, "bye"), close(1000, "")),
        (close(3999, ""), close(3999, "")),
        (Vec::new(), Vec::new()),
    ] {
        let mut raw = connected(&server).await;
        let after = frame(TEXT, b"{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
        raw.send(&[frame(CLOSE, &payload), after].concat()).await;
        assert_eq!(raw.next().await, Some((CLOSE, expected)));
        raw.ended().await;
    }
    eventually("nobody is left", [0; 4], async || server.counts().await).await;
}

#[tokio::test]
async fn after_a_close_of_the_servers_own_the_clients_answer_ends_it() {
    let server = server();
    let mut raw = connected(&server).await;
    raw.text("garbage").await;
    assert_eq!(raw.closed().await, (3501, "bad request".into()));
    raw.text("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}")
        .await;
    // A close frame in two segments is one all the same.
    let answer = frame(CLOSE, &close(3501, ""));
    let (first, second) = answer.split_at(3);
    raw.send(first).await;
    eventually("it is gone for others", [0; 4], async || {
        server.counts().await
    })
    .await;
    let began = Instant::now();
    raw.send(second).await;
    raw.ended().await;
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "not only for want of an answer: {took:?}"
    );
    eventually("its socket is gone", 0, async || {
        server.metric("tidewire_connections").await
    })
    .await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_a_malformed_command() {
    let server = server();
    let mut raw = connected(&server).await;
    raw.send(&frame(
        TEXT,
        b"{\"id\":2,\"subscribe\":{\"channel\":\"\xFF\"}}",
    ))
    .await;
    assert_eq!(raw.closed().await.0, 3501);
}
