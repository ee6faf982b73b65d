//! Clients whose messages come in an endless response: HTTP streaming and server-sent events with the emulation
//! endpoint.

use regex::Regex;
use serde_json::{Value, json};
use tidewire_protocol::{Command, ConnectRequest, EmulationRequest, Encoding, decode, encode};

use super::support::server::{Response, SECRET, Server};
use super::support::stream::Stream;
use super::support::{eventually, token};

const HTTP_STREAM: &str = "/connection/http_stream";
const SSE: &str = "/connection/sse";

/// Both transports, and everything permitted.
fn options() -> Value {
    json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "http_stream": {"enabled": true},
        "sse": {"enabled": true},
        "channel": {"without_namespace": {
            "presence": true,
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
        }},
    })
}

fn with(more: Value) -> Value {
    let mut options = options();
    tidewire_config::merge(&mut options, more);
    options
}

/// A connected client of HTTP streaming in JSON.
struct Client<'a> {
    server: &'a Server,
    stream: Stream,
    session: String,
    node: String,
}

impl<'a> Client<'a> {
    async fn connect(server: &'a Server) -> Self {
        let body = r#"{"id":1,"connect":{}}"#;
        let mut stream = Stream::open(server, "POST", HTTP_STREAM, &[], body).await;
        assert_eq!(stream.status(), 200);
        let reply =
            Regex::new(r#"^\{"id":1,"connect":\{.*"session":"([^"]+)","node":"([^"]+)"\}\}\n$"#);
        let mut ids = stream.expect(&reply.unwrap()).await;
        Self {
            server,
            stream,
            node: ids.pop().unwrap(),
            session: ids.pop().unwrap(),
        }
    }

    fn request(&self, commands: &str) -> Value {
        json!({"node": self.node, "session": self.session, "data": commands})
    }

    async fn emulate(&self, commands: &str) {
        let response = emulation(self.server, self.request(commands).to_string()).await;
        assert_eq!(response, Response::empty(204));
    }
}

async fn emulation(server: &Server, body: String) -> Response {
    server.request("POST", "/emulation", &[], body).await
}

#[tokio::test]
async fn commands_by_requests_are_answered_in_the_stream() {
    let server = Server::start(&options());
    let mut client = Client::connect(&server).await;
    client
        .emulate("{\"id\":2,\"subscribe\":{\"channel\":\"c\"}}\n{\"id\":3,\"presence_stats\":{\"channel\":\"c\"}}")
        .await;
    client
        .stream
        .recv("{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n")
        .await;
    server.publish("c", &json!("a\nb")).await;
    client
        .stream
        .recv("{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"a\\nb\"}}}\n")
        .await;
    assert_eq!(server.counts().await, [1, 1, 1, 1]);
    drop(client);
    eventually("gone", [0, 0, 0, 0], async || server.counts().await).await;
}

#[tokio::test]
async fn protobuf_goes_both_ways() {
    let server = Server::start(&options());
    let command = |command: Command| {
        let mut out = Vec::new();
        encode::command(Encoding::Protobuf, &command, &mut out).unwrap();
        out
    };
    let connect = command(Command {
        id: 1,
        connect: Some(ConnectRequest::default()),
        ..Command::default()
    });
    let headers = [("Content-Type", "application/octet-stream")];
    let mut stream = Stream::open(&server, "POST", HTTP_STREAM, &headers, connect).await;
    assert_eq!(
        stream.header("content-type"),
        Some("application/octet-stream")
    );
    let read = async |stream: &mut Stream| {
        let frame = stream.varint_message().await;
        let mut replies = decode::replies(Encoding::Protobuf, &frame);
        replies.next().unwrap().unwrap()
    };
    let connected = read(&mut stream).await.connect.unwrap();
    let subscribe = command(Command {
        id: 2,
        subscribe: Some(tidewire_protocol::SubscribeRequest {
            channel: "c".to_owned(),
            ..Default::default()
        }),
        ..Command::default()
    });
    let request = EmulationRequest {
        node: connected.node,
        session: connected.session,
        data: subscribe.into(),
    };
    let body = prost::Message::encode_to_vec(&request);
    let answer = server.request("POST", "/emulation", &headers, body).await;
    assert_eq!(answer.status, 204);
    let subscribed = read(&mut stream).await;
    assert_eq!((subscribed.id, subscribed.subscribe.is_some()), (2, true));
    server.publish("c", &json!(7)).await;
    let push = read(&mut stream).await.push.unwrap();
    assert_eq!(push.r#pub.unwrap().data, "7");
}

#[tokio::test]
async fn events_go_to_whoever_asks_by_get_or_post() {
    let server = Server::start(&options());
    let query = "/connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D%0A\
                 %7B%22id%22%3A2%2C%22subscribe%22%3A%7B%22channel%22%3A%22c%22%7D%7D";
    let body = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"c\"}}";
    let mut streams = [
        Stream::open(&server, "GET", query, &[], "").await,
        Stream::open(&server, "POST", SSE, &[], body).await,
    ];
    let opened = Regex::new(
        "^\r\ndata: \\{\"id\":1,\"connect\":\\{[^\n]*\\}\n\ndata: \\{\"id\":2,\"subscribe\":\\{\\}\\}\n\n$",
    )
    .unwrap();
    for stream in &mut streams {
        assert_eq!(
            stream.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        stream.expect(&opened).await;
    }
    server.publish("c", &json!({"n": 1})).await;
    for stream in &mut streams {
        stream
            .recv("data: {\"push\":{\"channel\":\"c\",\"pub\":{\"data\":{\"n\":1}}}}\n\n")
            .await;
    }
}

#[tokio::test]
async fn pongs_come_by_requests_and_their_lack_ends_the_stream() {
    let pings = json!({"client": {"ping_interval": "1s", "pong_timeout": "900ms"}});
    let server = Server::start(&with(pings));
    let mut client = Client::connect(&server).await;
    for _ in 0..2 {
        client.stream.recv("{}\n").await;
        client.emulate("{}").await;
    }
    client
        .stream
        .recv("{}\n{\"push\":{\"disconnect\":{\"code\":3012,\"reason\":\"no pong\"}}}\n")
        .await;
    client.stream.ended().await;
    assert_eq!(server.disconnects(3012).await, 1);
}

#[tokio::test]
async fn a_refused_connect_is_answered_and_the_stream_ends_as_stale() {
    let server = Server::start(&with(json!({"client": {"stale_close_delay": "300ms"}})));
    let expired = token::signed(&json!({"sub": "a", "exp": 1}), SECRET);
    let body = format!("{{\"id\":1,\"connect\":{{\"token\":\"{expired}\"}}}}");
    let mut stream = Stream::open(&server, "POST", HTTP_STREAM, &[], body).await;
    stream
        .recv("{\"id\":1,\"error\":{\"code\":109,\"message\":\"token expired\"}}\n")
        .await;
    stream
        .recv("{\"push\":{\"disconnect\":{\"code\":3502,\"reason\":\"stale\"}}}\n")
        .await;
    stream.ended().await;
}

#[tokio::test]
async fn what_the_emulation_endpoint_refuses() {
    let mut options = with(json!({"emulation": {"max_request_body_size": 1000}}));
    options["client"]["allowed_origins"] = json!(["http://ok.com"]);
    let server = Server::start(&options);
    let mut client = Client::connect(&server).await;
    let unknown = json!({"node": "zz", "session": client.session, "data": "{}"});
    let no_text = json!({"node": client.node, "session": client.session, "data": {"id": 2}});
    let stranger = json!({"node": client.node, "session": "zz", "data": "zz"});
    let table = [
        (no_text.to_string(), 204),
        (stranger.to_string(), 204),
        (unknown.to_string(), 404),
        ("{}".to_owned(), 404),
        ("zz".to_owned(), 400),
        (" ".repeat(1001), 413),
    ];
    for (body, status) in table {
        assert_eq!(
            emulation(&server, body.clone()).await.status,
            status,
            "{body}"
        );
    }
    let preflight = Stream::open(
        &server,
        "OPTIONS",
        "/emulation",
        &[
            ("Origin", "http://ok.com"),
            ("Access-Control-Request-Headers", "content-type"),
        ],
        "",
    )
    .await;
    let header = |name| preflight.header(name).unwrap_or_default();
    assert_eq!(
        (
            preflight.status(),
            header("access-control-allow-origin"),
            header("access-control-allow-methods"),
            header("access-control-allow-headers"),
            header("access-control-max-age"),
        ),
        (204, "http://ok.com", "POST, OPTIONS", "content-type", "300")
    );
    // None of it touched the client, until it is told something that is no command.
    client.emulate("{\"id\":2,\"rpc\":{}}\nzz").await;
    client
        .stream
        .recv(
            "{\"id\":2,\"error\":{\"code\":108,\"message\":\"not available\"}}\n\
             {\"push\":{\"disconnect\":{\"code\":3501,\"reason\":\"bad request\"}}}\n",
        )
        .await;
    client.stream.ended().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let server = Server::start(&with(json!({
        "client": {"queue_max_size": 100_000},
        "websocket": {"write_timeout": "60s"},
    })));
    let mut slow = Client::connect(&server).await;
    slow.emulate("{\"id\":2,\"subscribe\":{\"channel\":\"c\"}}")
        .await;
    slow.stream.recv("{\"id\":2,\"subscribe\":{}}\n").await;
    let data = json!("x".repeat(60_000));
    let mut published = 0;
    while server.disconnects(3008).await == 0 {
        server.publish("c", &data).await;
        published += 1;
        assert!(published < 1000, "nothing bounds the queue");
    }
    eventually("no subscription", 0, async || server.counts().await[2]).await;
    // It does not even read the end: it is cut off, in the midst of the body.
    let connections = async || server.metric("tidewire_connections").await;
    eventually("no connection", 0, connections).await;
    assert!(slow.stream.is_cut().await);
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_their_reason() {
    let mut server = Server::start(&options());
    let address = Server::elsewhere(server.address, server.internal);
    let mut client = Client::connect(&address).await;
    server.begin_shutdown();
    client
        .stream
        .recv("{\"push\":{\"disconnect\":{\"code\":3001,\"reason\":\"shutdown\"}}}\n")
        .await;
    client.stream.ended().await;
    server.ended().await;
}

#[tokio::test]
async fn the_api_finds_a_client_by_its_session() {
    let server = Server::start(&options());
    let mut client = Client::connect(&server).await;
    let mut other = Client::connect(&server).await;
    let request = json!({"user": "", "session": client.session});
    server.result("disconnect", request).await;
    client
        .stream
        .recv("{\"push\":{\"disconnect\":{\"code\":3503,\"reason\":\"force disconnect\"}}}\n")
        .await;
    client.stream.ended().await;
    eventually("one left", 1, async || server.counts().await[0]).await;
    // Without a code there is nothing to say.
    let request = json!({"user": "", "session": other.session, "disconnect": {}});
    server.result("disconnect", request).await;
    other.stream.ended().await;
}

#[tokio::test]
async fn streams_do_not_count_as_sockets_in_http() {
    let server = Server::start(&options());
    let client = Client::connect(&server).await;
    let figure = async || {
        let connections = server.metric("tidewire_connections").await;
        // The request for the metric is one itself.
        (
            connections,
            server.metric("tidewire_http_connections").await,
        )
    };
    eventually("a stream", (1, 1), figure).await;
    let accepted =
        "centrifugo_client_connections_accepted{encoding=\"json\",transport=\"http_stream\"}";
    assert_eq!(server.metric(accepted).await, 1);
    drop(client);
    eventually("none", (0, 1), figure).await;
}

#[tokio::test]
async fn a_slash_behind_a_prefix_is_none() {
    let prefix = |path: &str| json!({"enabled": true, "handler_prefix": format!("{path}/")});
    let server = Server::start(&with(json!({
        "http_stream": prefix(HTTP_STREAM), "uni_sse": prefix("/connection/uni_sse"),
        "init": prefix("/connection/init"),
        "emulation": {"handler_prefix": "/emulation/"},
        "websocket": {"handler_prefix": "/connection/websocket/"},
    })));
    let client = Client::connect(&server).await;
    client.emulate("{}").await;
    for path in ["/connection/init", "/connection/uni_sse"] {
        assert_eq!(
            Stream::open(&server, "GET", path, &[], "").await.status(),
            200,
            "{path}"
        );
    }
    super::support::raw::Raw::open(server.address).await;
}

#[tokio::test]
async fn without_the_options_there_are_no_endpoints() {
    let server = Server::start(&json!({}));
    for path in [HTTP_STREAM, SSE, "/emulation", "/connection/uni_sse"] {
        assert_eq!(
            server.request("POST", path, &[], "{}").await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let server = Server::start(&with(json!({"client": {"stale_close_delay": "200ms"}})));
    let mut raw = super::support::raw::Raw::dial(server.address).await;
    raw.send(b"POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        .await;
    assert_eq!(raw.answer().await.status, 499);
    let connections = async || server.metric("tidewire_connections").await;
    eventually("none", 0, connections).await;
}
