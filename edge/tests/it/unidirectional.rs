//! Clients that only listen, over WebSocket, server-sent events and HTTP streaming.

use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};

use super::support::eventually;
use super::support::raw::{PING, PONG, Raw, TEXT, UPGRADE, frame};
use super::support::server::{SECRET, Server};
use super::support::stream::Stream;
use super::support::token;

const WEBSOCKET: &str = "/connection/uni_websocket";

fn options(more: Value) -> Value {
    let mut options = json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "uni_websocket": {"enabled": true},
        "uni_sse": {"enabled": true},
        "uni_http_stream": {"enabled": true},
        "channel": {"without_namespace": {
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
        }},
    });
    tidewire_config::merge(&mut options, more);
    options
}

fn expired() -> String {
    token::signed(&json!({"sub": "a", "exp": 1}), SECRET)
}

/// The fields of the first push.
fn connect(push: &str) -> Value {
    let mut push: Value = serde_json::from_str(push).unwrap();
    push["connect"].take()
}

async fn open(server: &Server, query: &str) -> Raw {
    let mut raw = Raw::dial(server.address).await;
    let head = raw
        .request("GET", &format!("{WEBSOCKET}{query}"), UPGRADE)
        .await;
    assert_eq!(head.status, 101, "{head:?}");
    raw
}

#[tokio::test]
async fn a_websocket_connects_by_its_query_or_its_first_message() {
    let server = Server::start(&options(json!({})));
    let mut by_query = open(
        &server,
        "?cf_connect=%7B%22subs%22%3A%7B%22c%22%3A%7B%7D%7D%7D",
    )
    .await;
    let mut by_message = open(&server, "").await;
    by_message.text("{\"subs\":{\"c\":{}}}").await;
    for raw in [&mut by_query, &mut by_message] {
        let connect = connect(&raw.recv().await);
        assert_eq!(connect["subs"], json!({"c": {}}));
        assert_eq!(connect["ping"], 25);
        assert!(connect["session"].is_string(), "{connect}");
        assert!(
            connect["pong"].is_null() && connect["node"].is_null(),
            "{connect}"
        );
        // What else it says does not matter.
        raw.text("zz").await;
    }
    server.publish("c", &json!(1)).await;
    for raw in [&mut by_query, &mut by_message] {
        assert_eq!(raw.recv().await, "{\"channel\":\"c\",\"pub\":{\"data\":1}}");
    }
    server.result("disconnect", json!({"user": ""})).await;
    for raw in [&mut by_query, &mut by_message] {
        let push = "{\"disconnect\":{\"code\":3503,\"reason\":\"force disconnect\"}}";
        assert_eq!(raw.recv().await, push);
        assert_eq!(raw.closed().await, (3503, "force disconnect".to_owned()));
    }
}

#[tokio::test]
async fn the_end_of_a_websocket_is_told_as_configured() {
    for (push, close) in [(true, false), (false, true), (false, false)] {
        let server = Server::start(&options(json!({"uni_websocket": {
            "disable_disconnect_push": !push,
            "disable_closing_handshake": !close,
        }})));
        let mut raw = open(&server, "").await;
        raw.text(&json!({"token": expired()}).to_string()).await;
        if push {
            let push = "{\"disconnect\":{\"code\":3005,\"reason\":\"connection expired\"}}";
            assert_eq!(raw.recv().await, push);
        }
        if close {
            assert_eq!(raw.closed().await, (3005, "connection expired".to_owned()));
        } else {
            raw.ended().await;
        }
        assert_eq!(server.disconnects(3005).await, 1);
    }
}

#[tokio::test]
async fn a_websocket_is_pinged_twofold_and_must_answer_frames() {
    let pings = json!({"client": {"ping_interval": "1s", "pong_timeout": "900ms"}});
    let server = Server::start(&options(pings));
    let mut raw = open(&server, "?cf_connect=%7B%7D").await;
    connect(&raw.recv().await);
    for _ in 0..2 {
        assert_eq!(raw.next().await, Some((TEXT, b"{}".to_vec())));
        assert_eq!(raw.next().await, Some((PING, Vec::new())));
        raw.send(&frame(PONG, b"")).await;
    }
    assert_eq!(raw.recv().await, "{}");
    assert_eq!(raw.next().await, Some((PING, Vec::new())));
    // A message is no answer.
    raw.text("{}").await;
    raw.ended().await;
    assert_eq!(server.disconnects(3012).await, 1);
}

#[tokio::test]
async fn a_debug_tool_is_pinged_by_frames_alone() {
    let pings = json!({"client": {"ping_interval": "1s", "pong_timeout": "900ms"}});
    let server = Server::start(&options(pings));
    let mut raw = Raw::dial(server.address).await;
    let path = "/connection/websocket?cf_ws_frame_ping_pong=true";
    assert_eq!(raw.request("GET", path, UPGRADE).await.status, 101);
    raw.text("{\"id\":1,\"connect\":{}}").await;
    let reply: Value = serde_json::from_str(&raw.recv().await).unwrap();
    let connect = &reply["connect"];
    assert!(connect["client"].is_string(), "{reply}");
    assert!(
        connect["ping"].is_null() && connect["pong"].is_null(),
        "{reply}"
    );
    assert_eq!(raw.next().await, Some((PING, Vec::new())));
    raw.send(&frame(PONG, b"")).await;
    assert_eq!(raw.next().await, Some((PING, Vec::new())));
    raw.text("{\"id\":2,\"rpc\":{}}").await;
    assert!(raw.recv().await.starts_with("{\"id\":2,\"error\""));
    assert_eq!(raw.next().await, Some((PING, Vec::new())));
    raw.ended().await;
    assert_eq!(server.disconnects(3012).await, 1);
}

#[tokio::test]
async fn messages_of_a_websocket_have_their_own_limit_and_compression() {
    let server = Server::start(&options(json!({
        "uni_websocket": {"message_size_limit": 100, "compression": true},
    })));
    let mut headers = UPGRADE.to_vec();
    headers.push(("Sec-WebSocket-Extensions", "permessage-deflate"));
    let mut raw = Raw::dial(server.address).await;
    let path = format!("{WEBSOCKET}?cf_connect=%7B%22subs%22%3A%7B%22c%22%3A%7B%7D%7D%7D");
    let head = raw.request("GET", &path, &headers).await;
    let extensions = head.header("sec-websocket-extensions").unwrap_or_default();
    assert!(extensions.starts_with("permessage-deflate"), "{head:?}");
    let (opcode, _) = raw.next().await.unwrap();
    assert_eq!(opcode & TEXT, TEXT);
    server.publish("c", &json!("x".repeat(1000))).await;
    let (opcode, payload) = raw.next().await.unwrap();
    assert_ne!(opcode, TEXT, "it is compressed");
    assert!(payload.len() < 100, "{}", payload.len());
    raw.text(&"x".repeat(101)).await;
    assert_eq!(raw.closed().await.0, 1009);
}

#[tokio::test]
async fn events_and_lines_are_pinged_and_need_no_answer() {
    let pings = json!({"client": {"ping_interval": "1s", "pong_timeout": "900ms"}});
    let server = Server::start(&options(pings));
    let mut sse = Stream::open(&server, "GET", "/connection/uni_sse", &[], "").await;
    sse.expect(&Regex::new("^\r\ndata: \\{\"connect\":[^\n]*\n\n$").unwrap())
        .await;
    let path = "/connection/uni_http_stream";
    let mut lines = Stream::open(&server, "POST", path, &[], "{}").await;
    lines
        .expect(&Regex::new("^\\{\"connect\":[^\n]*\n$").unwrap())
        .await;
    for _ in 0..3 {
        sse.recv("data: {}\n\n").await;
        lines.recv("{}\n").await;
    }
    assert_eq!(server.disconnects(3012).await, 0);
}

#[tokio::test]
async fn an_error_becomes_the_disconnect_that_is_configured() {
    let server = Server::start(&options(json!({"client": {
        "connect_code_to_unidirectional_disconnect": {
            "enabled": true,
            "transforms": [{"code": 109, "to": {"code": 4500, "reason": "sign in"}}],
        },
    }})));
    let body = json!({"token": expired()}).to_string();
    let mut stream = Stream::open(&server, "POST", "/connection/uni_http_stream", &[], body).await;
    stream
        .recv("{\"disconnect\":{\"code\":4500,\"reason\":\"sign in\"}}\n")
        .await;
    stream.ended().await;
}

#[tokio::test]
async fn a_refused_connect_becomes_the_status_that_is_configured() {
    let responses = json!({"connect_code_to_http_response": {
        "enabled": true,
        "transforms": [
            {"code": 109, "to": {"status_code": 401}},
            {"code": 3500, "to": {"status_code": 403, "body": "who?"}},
        ],
    }});
    let server = Server::start(&options(json!({
        "client": {"user_connection_limit": 1},
        "uni_sse": responses, "uni_http_stream": responses,
    })));
    let user = token::signed(&json!({"sub": "a"}), SECRET);
    for path in ["/connection/uni_sse", "/connection/uni_http_stream"] {
        let ask = async |token: &str| {
            let body = json!({"token": token}).to_string();
            server.request("POST", path, &[], body).await
        };
        let answer = ask(&expired()).await;
        assert_eq!((answer.status, &*answer.body), (401, "token expired"));
        let answer = ask("zz").await;
        assert_eq!((answer.status, &*answer.body), (403, "who?"));
        let body = json!({"token": user}).to_string();
        let stream = Stream::open(&server, "POST", path, &[], body).await;
        assert_eq!(stream.status(), 200);
        let answer = ask(&user).await;
        assert_eq!((answer.status, &*answer.body), (500, "connection limit"));
        drop(stream);
        eventually("gone", 0, async || server.counts().await[0]).await;
    }
}

#[tokio::test]
async fn the_user_of_a_trusted_header_connects_without_a_token() {
    let server = Server::start(&options(json!({"client": {
        "allow_anonymous_connect_without_token": true,
        "user_id_http_header": "X-User",
        "subscribe_to_user_personal_channel": {"enabled": true},
    }})));
    let user = [("X-User", "77")];
    let sse = Stream::open(&server, "GET", "/connection/uni_sse", &user, "").await;
    assert_eq!(sse.status(), 200);
    let mut raw = Raw::dial(server.address).await;
    let mut headers = UPGRADE.to_vec();
    headers.push(user[0]);
    raw.request("GET", "/connection/websocket", &headers).await;
    raw.text("{\"id\":1,\"connect\":{}}").await;
    assert!(raw.recv().await.contains("\"subs\":{\"#77\""));
    let users = async || server.counts().await[..2].to_vec();
    eventually("one user twice", vec![2, 1], users).await;
    // Of two headers one may be the client's own, and what is no text names nobody.
    headers.push(("X-User", "78"));
    for path in ["/connection/websocket", "/connection/uni_sse"] {
        let mut twice = Raw::dial(server.address).await;
        assert_eq!(twice.request("GET", path, &headers).await.status, 400);
    }
    headers.pop();
    // A token says more than the header.
    let mut other = Raw::dial(server.address).await;
    other
        .request("GET", "/connection/websocket", &headers)
        .await;
    let token = token::signed(&json!({"sub": "a"}), SECRET);
    other
        .text(&json!({"id": 1, "connect": {"token": token}}).to_string())
        .await;
    assert!(other.recv().await.contains("\"subs\":{\"#a\""));
    drop((sse, raw));
    let clients = async || server.counts().await[0];
    eventually("the other is left", 1, clients).await;
    other.silence(Duration::from_millis(50)).await;
}
