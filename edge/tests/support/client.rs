//! A client over WebSocket, by another implementation of that protocol than the server's.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidewire_protocol::{
    Command, ConnectRequest, Encoding, Reply, SubscribeRequest, SubscribeResult, decode, encode,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::server::Server;
use super::{soon, token};

/// What comes from the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Incoming {
    /// A protocol message; an empty object is a ping.
    Message(Value),
    /// A close frame with this code and reason.
    Closed(u16, String),
    /// The end of the stream without a close frame.
    Cut,
}

/// A JSON client.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    /// Messages of a frame that were not taken yet.
    waiting: VecDeque<Value>,
    /// Answer pings that nobody asked for.
    answers_pings: bool,
    id: u32,
}

/// Opens a socket, with this path and subprotocol.
pub(crate) async fn open(
    address: SocketAddr,
    path: &str,
    subprotocol: Option<&str>,
) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    handshake(stream, path, subprotocol).await
}

async fn handshake(
    stream: TcpStream,
    path: &str,
    subprotocol: Option<&str>,
) -> WebSocketStream<TcpStream> {
    let address = stream.peer_addr().expect("it is connected");
    let url = format!("ws://{address}{path}");
    let mut request = url.into_client_request().expect("a URL");
    if let Some(subprotocol) = subprotocol {
        let value = subprotocol.parse().expect("a header's value");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    let (socket, _) = soon("the handshake", client_async(request, stream))
        .await
        .expect("an accepted handshake");
    socket
}

impl Client {
    /// A connection on which nothing was sent yet.
    pub(crate) async fn open(server: &Server) -> Self {
        Self::over(open(server.address, "/connection/websocket", None).await)
    }

    /// A connection whose receive buffer is small, so that a client that does not read is soon noticed.
    pub(crate) async fn open_narrow(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let stream = socket.connect(server.address).await.expect("a connection");
        Self::over(handshake(stream, "/connection/websocket", None).await)
    }

    fn over(socket: WebSocketStream<TcpStream>) -> Self {
        Self {
            socket,
            waiting: VecDeque::new(),
            answers_pings: false,
            id: 0,
        }
    }

    /// A connected client of this user.
    pub(crate) async fn connected(server: &Server, user: &str) -> Self {
        let mut client = Self::open(server).await;
        client.connect(&token::of(user)).await;
        client
    }

    /// Connects, which must work, and returns the result.
    pub(crate) async fn connect(&mut self, token: &str) -> Value {
        let reply = self.call(json!({"connect": {"token": token}})).await;
        assert!(reply["connect"].is_object(), "{reply}");
        reply["connect"].clone()
    }

    /// Subscribes, which must work.
    pub(crate) async fn subscribe(&mut self, channel: &str) {
        let reply = self.call(json!({"subscribe": {"channel": channel}})).await;
        assert_eq!(reply["subscribe"], json!({}), "{reply}");
    }

    /// Subscribes as this request says, which must work, and returns the result.
    pub(crate) async fn subscribe_as(&mut self, request: Value) -> Value {
        let reply = self.call(json!({"subscribe": request})).await;
        assert!(reply["subscribe"].is_object(), "{request}: {reply}");
        reply["subscribe"].clone()
    }

    /// Sends a command and returns its reply, and before it the pushes that came first.
    pub(crate) async fn call_among_pushes(&mut self, command: Value) -> (Vec<Value>, Value) {
        let id = self.command(command).await;
        let mut pushes = Vec::new();
        loop {
            let message = self.recv().await;
            if message["id"] == id {
                return (pushes, message);
            }
            assert!(message["push"].is_object(), "{message}");
            pushes.push(message);
        }
    }

    /// The next message must be a push to this channel; what is in it.
    pub(crate) async fn push(&mut self, channel: &str) -> Value {
        let mut message = self.recv().await;
        assert_eq!(message["push"]["channel"], channel, "{message}");
        let push = message["push"].as_object_mut().expect("a push");
        push.remove("channel");
        message["push"].take()
    }

    /// Answers pings from here on and does not show them.
    pub(crate) fn answer_pings(&mut self) {
        self.answers_pings = true;
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, frame: &str) {
        self.message(Message::text(frame)).await;
    }

    /// Sends any WebSocket message.
    pub(crate) async fn message(&mut self, message: Message) {
        soon("sending", self.socket.send(message))
            .await
            .expect("an open connection");
    }

    /// Sends a command under the next number.
    pub(crate) async fn command(&mut self, mut command: Value) -> u32 {
        self.id += 1;
        command["id"] = self.id.into();
        self.send(&command.to_string()).await;
        self.id
    }

    /// Sends a command; the next message must be its reply.
    pub(crate) async fn call(&mut self, command: Value) -> Value {
        let id = self.command(command).await;
        let reply = self.recv().await;
        assert_eq!(reply["id"], id, "{reply}");
        reply
    }

    /// Sends a command; its reply must be this error.
    pub(crate) async fn refused(&mut self, command: Value) -> u64 {
        let reply = self.call(command).await;
        reply["error"]["code"].as_u64().expect("an error")
    }

    /// The next thing from the server.
    pub(crate) async fn next(&mut self) -> Incoming {
        soon("a message", self.take_next()).await
    }

    async fn take_next(&mut self) -> Incoming {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                if !self.answers_pings || message != json!({}) {
                    return Incoming::Message(message);
                }
                self.send("{}").await;
                continue;
            }
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let lines = text.lines().map(serde_json::from_str);
                    self.waiting
                        .extend(lines.map(|line| line.expect("a line of JSON")));
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Incoming::Closed(close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                None | Some(Err(Error::Protocol(_) | Error::Io(_) | Error::ConnectionClosed)) => {
                    return Incoming::Cut;
                }
                Some(other) => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// The next message.
    pub(crate) async fn recv(&mut self) -> Value {
        match self.next().await {
            Incoming::Message(message) => message,
            other @ (Incoming::Closed(..) | Incoming::Cut) => {
                panic!("a message expected: {other:?}")
            }
        }
    }

    /// The next message must be a publication of this channel; its data.
    pub(crate) async fn publication(&mut self, channel: &str) -> Value {
        let message = self.recv().await;
        assert_eq!(message["push"]["channel"], channel, "{message}");
        message["push"]["pub"]["data"].clone()
    }

    /// The next thing must be a close frame; its code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Incoming::Closed(code, reason) => (code, reason),
            other @ (Incoming::Message(_) | Incoming::Cut) => {
                panic!("a close frame expected: {other:?}")
            }
        }
    }

    /// Nothing must come within this time.
    pub(crate) async fn silence(&mut self, time: Duration) {
        if let Ok(incoming) = timeout(time, self.take_next()).await {
            panic!("nothing expected: {incoming:?}");
        }
    }

    /// A native pong must come, with this payload.
    pub(crate) async fn native_pong(&mut self, payload: &[u8]) {
        match soon("a pong", self.socket.next()).await {
            Some(Ok(Message::Pong(pong))) => assert_eq!(pong, payload),
            other => panic!("a pong expected: {other:?}"),
        }
    }

    /// Closes as a client does: with a close frame, and waits for the server's.
    pub(crate) async fn close(mut self) {
        soon("closing", self.socket.close(None))
            .await
            .expect("an open connection");
        loop {
            match soon("the end", self.socket.next()).await {
                None | Some(Err(_)) => return,
                Some(Ok(_)) => {}
            }
        }
    }
}

/// A Protobuf client.
pub(crate) struct ProtobufClient {
    socket: WebSocketStream<TcpStream>,
    waiting: VecDeque<Reply>,
}

impl ProtobufClient {
    /// A connection with the subprotocol of Protobuf.
    pub(crate) async fn open(server: &Server) -> Self {
        Self::open_path(server, "/connection/websocket", Some("centrifuge-protobuf")).await
    }

    pub(crate) async fn open_path(server: &Server, path: &str, subprotocol: Option<&str>) -> Self {
        Self {
            socket: open(server.address, path, subprotocol).await,
            waiting: VecDeque::new(),
        }
    }

    /// A connected client of this user.
    pub(crate) async fn connected(server: &Server, user: &str) -> Self {
        let mut client = Self::open(server).await;
        let connect = Some(ConnectRequest {
            token: token::of(user),
            ..ConnectRequest::default()
        });
        let command = Command {
            id: 1,
            connect,
            ..Command::default()
        };
        client.send(&[command]).await;
        assert!(client.recv().await.connect.is_some());
        client
    }

    /// Subscribes, which must work, and returns the result.
    pub(crate) async fn subscribe_as(&mut self, request: SubscribeRequest) -> SubscribeResult {
        let command = Command {
            id: 2,
            subscribe: Some(request),
            ..Command::default()
        };
        self.send(&[command]).await;
        let reply = self.recv().await;
        reply.subscribe.expect("an accepted subscribe")
    }

    /// Sends commands in one frame.
    pub(crate) async fn send(&mut self, commands: &[Command]) {
        let mut frame = Vec::new();
        for command in commands {
            encode::command(Encoding::Protobuf, command, &mut frame).expect("a command");
        }
        self.send_bytes(frame).await;
    }

    pub(crate) async fn send_bytes(&mut self, frame: Vec<u8>) {
        soon("sending", self.socket.send(Message::binary(frame)))
            .await
            .expect("an open connection");
    }

    /// The next binary frame.
    pub(crate) async fn frame(&mut self) -> Vec<u8> {
        match soon("a frame", self.socket.next()).await {
            Some(Ok(Message::Binary(frame))) => frame.to_vec(),
            other => panic!("a binary frame expected: {other:?}"),
        }
    }

    /// The next message.
    pub(crate) async fn recv(&mut self) -> Reply {
        while self.waiting.is_empty() {
            let frame = self.frame().await;
            let replies = decode::replies(Encoding::Protobuf, &frame);
            self.waiting
                .extend(replies.map(|reply| reply.expect("a reply")));
        }
        self.waiting.pop_front().expect("it is not empty")
    }

    /// The next thing must be a close frame; its code.
    pub(crate) async fn closed(&mut self) -> u16 {
        match soon("a close frame", self.socket.next()).await {
            Some(Ok(Message::Close(Some(close)))) => close.code.into(),
            other => panic!("a close frame expected: {other:?}"),
        }
    }
}
