//! What comes before a connection is a WebSocket.

use serde_json::json;

use crate::support::raw::{Raw, UPGRADE};
use crate::support::server::{Response, Server};
use crate::support::{eventually, soon};

fn with(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let unchanged = UPGRADE
        .iter()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let present = changes.iter().filter(|(_, value)| !value.is_empty());
    unchanged.chain(present).copied().collect()
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_refused() {
    let server = Server::start(&json!({}));
    let rows = [
        ("GET", vec![], 400, "Bad Request\n"),
        ("POST", vec![], 400, "Bad Request\n"),
        (
            "GET",
            with(&[("Connection", "close")]),
            400,
            "Bad Request\n",
        ),
        (
            "GET",
            with(&[("Sec-WebSocket-Version", "12")]),
            400,
            "Bad Request\n",
        ),
        (
            "GET",
            with(&[("Sec-WebSocket-Key", "c2hvcnQ=")]),
            400,
            "Bad Request\n",
        ),
        (
            "GET",
            with(&[("Sec-WebSocket-Key", "")]),
            400,
            "Bad Request\n",
        ),
        ("POST", with(&[]), 405, "Method Not Allowed\n"),
        ("GET", with(&[]), 101, ""),
    ];
    for (method, headers, status, body) in rows {
        let mut raw = Raw::dial(server.address).await;
        let head = raw.request(method, "/connection/websocket", &headers).await;
        assert_eq!(
            (head.status, head.body.as_str()),
            (status, body),
            "{method} {headers:?}"
        );
    }
    assert_eq!(server.get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_handshake_from_another_origin_is_refused() {
    let server = Server::start(&json!({
        "client": {"allowed_origins": ["https://good.example", "https://*.good.example"]}
    }));
    for (origin, status) in [
        (None, 101),
        (Some("https://good.example"), 101),
        (Some("HTTPS://A.B.GOOD.EXAMPLE"), 101),
        (Some("https://evil.example"), 403),
        (Some("null"), 403),
    ] {
        let mut headers = UPGRADE.to_vec();
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let mut raw = Raw::dial(server.address).await;
        let head = raw.request("GET", "/connection/websocket", &headers).await;
        assert_eq!(head.status, status, "{origin:?}");
        if status == 403 {
            assert_eq!(head.body, "Forbidden\n");
        }
    }
    let none = Server::start(&json!({}));
    let mut headers = UPGRADE.to_vec();
    headers.push(("Origin", "https://good.example"));
    let mut raw = Raw::dial(none.address).await;
    let head = raw.request("GET", "/connection/websocket", &headers).await;
    assert_eq!(
        head.status, 403,
        "no origin is allowed unless it is configured"
    );
}

#[tokio::test]
async fn the_endpoint_has_the_configured_path_or_is_not_there() {
    let moved = Server::start(&json!({"websocket": {"handler_prefix": "/socket"}}));
    let mut raw = Raw::dial(moved.address).await;
    assert_eq!(raw.request("GET", "/socket", UPGRADE).await.status, 101);
    let absent = Response::text(404, "404 page not found\n");
    assert_eq!(moved.get("/connection/websocket").await, absent);
    let disabled = Server::start(&json!({"websocket": {"disabled": true}}));
    assert_eq!(disabled.get("/connection/websocket").await, absent);
}

#[tokio::test]
async fn half_a_handshake_ends_by_itself_and_holds_nothing() {
    let server = Server::start(&json!({}));
    let mut silent = Raw::dial(server.address).await;
    let mut half = Raw::dial(server.address).await;
    half.send(b"GET /connection/websocket HTTP/1.1\r\nHost: local")
        .await;
    // The one more is the socket of the question itself.
    let sockets = async || server.metric("tidewire_http_connections").await;
    eventually("two handshakes hang", 3, sockets).await;
    assert_eq!(server.metric("tidewire_connections").await, 0);
    soon("both end", async {
        silent.rest().await;
        half.rest().await;
    })
    .await;
    eventually("none is left", 1, sockets).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_the_handshake_holds_nothing() {
    let server = Server::start(&json!({}));
    for bytes in [
        &b""[..],
        b"GET /conn",
        b"GET /connection/websocket HTTP/1.1\r\n",
    ] {
        let mut raw = Raw::dial(server.address).await;
        raw.send(bytes).await;
        drop(raw);
    }
    let mut raw = Raw::dial(server.address).await;
    raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not HTTP at all \r\n\r\n")
        .await;
    raw.rest().await;
    eventually("none is left", 1, async || {
        server.metric("tidewire_http_connections").await
    })
    .await;
    assert_eq!(server.metric("tidewire_connections").await, 0);
}
