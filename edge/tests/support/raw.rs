//! A client that sends and sees every byte: for what no well-behaved client does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::soon;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// The bit of a compressed message; it stays with the opcode.
pub(crate) const RSV1: u8 = 0x40;

/// The final bit of a frame.
const FIN: u8 = 0x80;

/// A handshake as a client sends it.
pub(crate) const UPGRADE: &[(&str, &str)] = &[
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// The head and body of an HTTP answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A whole, masked frame.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked(FIN | opcode, payload)
}

/// A fragment: a frame that is not the last of its message.
pub(crate) fn fragment(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked(opcode, payload)
}

/// A frame without a mask, which a client must not send.
pub(crate) fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(FIN | opcode, 0, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// The header alone of a masked frame that declares a payload of so many bytes.
pub(crate) fn declared(opcode: u8, length: usize) -> Vec<u8> {
    let mut frame = header(FIN | opcode, 0x80, length);
    frame.extend_from_slice(&[0; 4]);
    frame
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
    let mut frame = header(first, 0x80, payload.len());
    frame.extend_from_slice(&MASK);
    let bytes = payload.iter().zip(MASK.iter().cycle());
    frame.extend(bytes.map(|(byte, key)| byte ^ key));
    frame
}

fn header(first: u8, mask_bit: u8, length: usize) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(mask_bit | u8::try_from(length).expect("it is small")),
        126..=0xFFFF => {
            header.push(mask_bit | 126);
            let length = u16::try_from(length).expect("it is small");
            header.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            header.push(mask_bit | 127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

/// A close frame's payload.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    payload
}

/// A TCP connection to the server.
pub(crate) struct Raw {
    stream: TcpStream,
    /// Received and not taken yet.
    buffer: Vec<u8>,
}

impl Raw {
    /// A TCP connection on which nothing was sent yet.
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an open socket");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// A WebSocket connection.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut raw = Self::dial(address).await;
        let head = raw.request("GET", "/connection/websocket", UPGRADE).await;
        assert_eq!(head.status, 101, "{head:?}");
        raw
    }

    /// Sends a request without body and reads the answer.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Head {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        self.send(text.as_bytes()).await;
        self.answer().await
    }

    /// Reads an HTTP answer.
    pub(crate) async fn answer(&mut self) -> Head {
        let end = loop {
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end,
                None => assert!(self.fill().await, "an answer expected, not the end"),
            }
        };
        let rest = self.buffer.split_off(end + 4);
        let text = String::from_utf8(std::mem::replace(&mut self.buffer, rest)).expect("text");
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut head = Head {
            status: status.and_then(|it| it.parse().ok()).expect("a status"),
            headers,
            body: String::new(),
        };
        let length = head.header("content-length").unwrap_or("0");
        let length: usize = length.parse().expect("a length");
        while self.buffer.len() < length {
            assert!(self.fill().await, "a body of {length} bytes expected");
        }
        let rest = self.buffer.split_off(length);
        let body = std::mem::replace(&mut self.buffer, rest);
        head.body = String::from_utf8(body).expect("text");
        head
    }

    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon("sending", self.stream.write_all(bytes))
            .await
            .expect("an open connection");
    }

    /// Sends bytes as far as the server takes them; false if it has closed the connection.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The same connection twice: one to read while the other writes.
    pub(crate) fn twins(self) -> (Self, Self) {
        let socket = self.stream.into_std().expect("an open socket");
        let twin = socket.try_clone().expect("a file descriptor");
        let over = |socket, buffer| Self {
            stream: TcpStream::from_std(socket).expect("a registered socket"),
            buffer,
        };
        (over(socket, self.buffer), over(twin, Vec::new()))
    }

    /// Sends bytes one by one, each in a segment of its own.
    pub(crate) async fn send_in_pieces(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(std::slice::from_ref(byte)).await;
            tokio::task::yield_now().await;
        }
    }

    /// Sends a text frame.
    pub(crate) async fn text(&mut self, text: &str) {
        self.send(&frame(TEXT, text.as_bytes())).await;
    }

    /// The next frame: its opcode and payload; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        soon("a frame", self.take_next()).await
    }

    async fn take_next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, at, length)) = self.complete() {
                let rest = self.buffer.split_off(at + length);
                let mut frame = std::mem::replace(&mut self.buffer, rest);
                return Some((opcode, frame.split_off(at)));
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "the stream ends within a frame");
                return None;
            }
        }
    }

    /// Opcode, place and length of the payload of the frame in the buffer, if it is whole.
    fn complete(&self) -> Option<(u8, usize, usize)> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        assert_eq!(
            first & !RSV1 & 0xF0,
            FIN,
            "one unfragmented frame, compressed or not"
        );
        let (length, at) = match second {
            126 => {
                let length = self.buffer.get(2..4)?.try_into().expect("two bytes");
                (usize::from(u16::from_be_bytes(length)), 4)
            }
            127 => {
                let length = self.buffer.get(2..10)?.try_into().expect("eight bytes");
                let length = u64::from_be_bytes(length);
                (usize::try_from(length).expect("a size"), 10)
            }
            length => (usize::from(length), 2),
        };
        self.buffer.get(at..at + length)?;
        Some((first & (RSV1 | 0x0F), at, length))
    }

    /// The next frame must be text.
    pub(crate) async fn recv(&mut self) -> String {
        match self.next().await {
            Some((TEXT, payload)) => String::from_utf8(payload).expect("text"),
            other => panic!("a text frame expected: {other:?}"),
        }
    }

    /// The next frame must be a close; its code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Some((CLOSE, payload)) => {
                let (code, reason) = payload.split_first_chunk().expect("a code");
                let reason = String::from_utf8(reason.to_vec()).expect("text");
                (u16::from_be_bytes(*code), reason)
            }
            other => panic!("a close frame expected: {other:?}"),
        }
    }

    /// The stream must end, without another frame.
    pub(crate) async fn ended(&mut self) {
        let next = self.next().await;
        assert_eq!(next, None);
    }

    /// Nothing must come within this time.
    pub(crate) async fn silence(&mut self, time: Duration) {
        if let Ok(incoming) = timeout(time, self.take_next()).await {
            panic!("nothing expected: {incoming:?}");
        }
    }

    /// Everything until the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    async fn fill(&mut self) -> bool {
        // A reset is an end too.
        soon("bytes", self.stream.read_buf(&mut self.buffer))
            .await
            .is_ok_and(|count| count > 0)
    }
}
