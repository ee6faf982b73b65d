//! What a broken or hostile client may send, and the protocol's answer to each.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Above the default `websocket.message_size_limit`.
const OVERSIZE_BYTES: usize = 65_537;

/// WebSocket close code of a message above the limit (RFC 6455).
const MESSAGE_TOO_BIG: u16 = 1009;
const INVALID_TOKEN: u16 = 3500;
const BAD_REQUEST: u16 = 3501;
const UNKNOWN_CHANNEL: u64 = 102;

/// Sends every kind of bad input to the edge at `address` (host and port) and checks each answer.
/// `token` is a valid one, for what can only be done once connected.
///
/// # Errors
/// At the first answer that is not the protocol's.
pub async fn check(address: &str, token: &str) -> Result<()> {
    let json = format!("ws://{address}/connection/websocket");
    let protobuf = format!("{json}?cf_protocol=protobuf");
    let oversize = Message::text("x".repeat(OVERSIZE_BYTES));
    let foreign = connect_command("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYWxsb3J5In0.AAAA");
    let publish_first =
        Message::text(json!({"id": 1, "publish": {"channel": "a", "data": {}}}).to_string());
    let cases = [
        (
            "a frame that is no command",
            &json,
            Message::text("not a command"),
            BAD_REQUEST,
        ),
        ("an empty frame", &json, Message::text(""), BAD_REQUEST),
        (
            "a frame of a wrong type",
            &json,
            Message::text(r#"{"id":"one","connect":{}}"#),
            BAD_REQUEST,
        ),
        (
            "bytes that are no Protobuf",
            &protobuf,
            Message::binary(vec![0xff; 32]),
            BAD_REQUEST,
        ),
        ("a frame above the limit", &json, oversize, MESSAGE_TOO_BIG),
        (
            "a command before connect",
            &json,
            publish_first,
            BAD_REQUEST,
        ),
        (
            "a token with a wrong signature",
            &json,
            Message::text(foreign),
            INVALID_TOKEN,
        ),
    ];
    for (what, url, message, code) in cases {
        let closed = closed_after(url, message)
            .await
            .with_context(|| what.to_owned())?;
        ensure!(
            closed == code,
            "{what}: closed with {closed} instead of {code}"
        );
    }
    unknown_namespace(&json, token)
        .await
        .context("a channel of an unknown namespace")?;
    half_a_handshake(address).await.context("half a handshake")
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(url: &str) -> Result<Socket> {
    Ok(connect_async(url).await?.0)
}

/// The next message that is not a ping.
async fn next(socket: &mut Socket) -> Result<Message> {
    loop {
        let message = timeout(ANSWER_TIME, socket.next())
            .await
            .context("no answer")?;
        let message = message.context("closed without a close frame")??;
        if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
            return Ok(message);
        }
    }
}

async fn closed_after(url: &str, message: Message) -> Result<u16> {
    let mut socket = open(url).await?;
    socket.send(message).await?;
    let answer = next(&mut socket).await?;
    let Message::Close(Some(frame)) = answer else {
        bail!("answered {answer:?}")
    };
    Ok(frame.code.into())
}

fn connect_command(token: &str) -> String {
    json!({"id": 1, "connect": {"token": token}}).to_string()
}

/// The reply to the command with that id; pushes and pings in between are passed over.
async fn reply(socket: &mut Socket, id: u64) -> Result<Value> {
    loop {
        let message = next(socket).await?;
        let text = message.to_text().with_context(|| format!("{message:?}"))?;
        let replies = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<Value>, _>>()?;
        let wanted = replies
            .into_iter()
            .find(|reply| reply.get("id").and_then(Value::as_u64) == Some(id));
        if let Some(reply) = wanted {
            return Ok(reply);
        }
    }
}

/// An error reply, after which the connection goes on.
async fn unknown_namespace(url: &str, token: &str) -> Result<()> {
    let mut socket = open(url).await?;
    socket.send(Message::text(connect_command(token))).await?;
    let connected = reply(&mut socket, 1).await?;
    ensure!(connected.get("connect").is_some(), "connect: {connected}");
    for id in [2, 3] {
        let subscribe = json!({"id": id, "subscribe": {"channel": "nosuchnamespace:room"}});
        socket.send(Message::text(subscribe.to_string())).await?;
        let refused = reply(&mut socket, id).await?;
        let code = refused.pointer("/error/code").and_then(Value::as_u64);
        ensure!(code == Some(UNKNOWN_CHANNEL), "subscribe: {refused}");
    }
    Ok(())
}

/// One connection that ends in the middle and one that stays silent there; neither keeps another client out.
async fn half_a_handshake(address: &str) -> Result<()> {
    let half = b"GET /connection/websocket HTTP/1.1\r\nHost: edge\r\nUpgrade: webs";
    let mut ended = TcpStream::connect(address).await?;
    ended.write_all(half).await?;
    drop(ended);
    let mut silent = TcpStream::connect(address).await?;
    silent.write_all(half).await?;
    let socket = open(&format!("ws://{address}/connection/websocket")).await;
    drop(silent);
    socket.map(drop)
}
