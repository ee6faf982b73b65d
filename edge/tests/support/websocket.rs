//! A WebSocket client that sends any bytes, and the two servers that get them.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

#[path = "../../examples/ws-echo/echo.rs"]
mod echo;

/// Longest message that the servers take, in bytes.
pub(crate) const MESSAGE_MAX: usize = 4 << 20;

/// Longest message after decompression.
pub(crate) const DECOMPRESSED_MAX: usize = 1 << 20;

/// How long a server may take for anything.
const SOON: Duration = Duration::from_secs(30);

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// A frame as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The first byte: final bit, reserved bits, opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: FIN | opcode,
            payload: payload.into(),
        }
    }

    pub(crate) fn close(code: u16) -> Self {
        Self::new(CLOSE, code.to_be_bytes())
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0F
    }
}

/// A client frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0xA1, 0x0F, 0x5C, 0xE3];
    let length = payload.len();
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// A client's close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    frame(FIN | CLOSE, &payload)
}

/// Starts the edge's echo server, which ends with the runtime.
pub(crate) async fn start_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = echo::Limits {
        message: MESSAGE_MAX,
        decompressed: DECOMPRESSED_MAX,
    };
    tokio::spawn(echo::serve(listener, limits));
    address
}

/// Starts an echo server of tungstenite, the oracle.
pub(crate) async fn start_oracle() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(oracle(stream));
        }
    });
    address
}

async fn oracle(stream: TcpStream) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let mut socket = accept_async_with_config(stream, Some(config))
        .await
        .unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if matches!(message, Message::Text(_) | Message::Binary(_))
            && socket.send(message).await.is_err()
        {
            break;
        }
    }
    let mut stream = socket.into_inner();
    // What the peer still sends is read, so that nothing written is lost by a reset.
    if stream.shutdown().await.is_ok() {
        let mut dropped = vec![0; 64 << 10];
        while stream.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
    }
}

/// Opens a connection and returns it with the response's head, in lower case.
pub(crate) async fn open(server: SocketAddr, extensions: Option<&str>) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let extensions = extensions
        .map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"))
        .unwrap_or_default();
    let request = format!(
        "GET /?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.unwrap().unwrap());
    }
    (stream, String::from_utf8(head).unwrap().to_lowercase())
}

/// Sends the chunks, each in a segment of its own, and returns all frames up to the end of the
/// connection, which the server has to bring about.
pub(crate) async fn exchange(stream: TcpStream, chunks: &[Vec<u8>]) -> Vec<Frame> {
    let (mut from, mut to) = stream.into_split();
    let mut received = Vec::new();
    let sending = async {
        for chunk in chunks {
            // The server may have closed before the end: that is for the caller to judge.
            if to.write_all(chunk).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let receiving = async {
        loop {
            match from.read_buf(&mut received).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => panic!("the connection was reset: {error}"),
            }
        }
    };
    timeout(SOON, async { tokio::join!(sending, receiving) })
        .await
        .expect("the server ends the connection");
    parse(&received)
}

/// Reads server frames; they must be whole and not masked.
fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            0..=125 => (u64::from(*length), rest),
            126 => {
                let (length, rest) = rest.split_first_chunk().unwrap();
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk().unwrap();
                (u64::from_be_bytes(*length), rest)
            }
            _ => panic!("a server frame is masked"),
        };
        let (payload, rest) = rest.split_at(usize::try_from(length).unwrap());
        frames.push(Frame {
            first: *first,
            payload: payload.to_vec(),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}
