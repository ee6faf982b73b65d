//! The server: each message goes back as it came, compressed where that was negotiated.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::http::header::HeaderName;
use hyper::http::{HeaderMap, HeaderValue, Method};
use tidewire_edge::transport::websocket::deflate::{self, Deflater, Inflater};
use tidewire_edge::transport::websocket::frame::{self, Decoder, Event, Opcode, Utf8};
use tidewire_edge::transport::websocket::handshake;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longest request head in bytes.
const HEAD_MAX: usize = 16 << 10;

/// How long the peer may take to end the connection after a close frame.
const LINGER: Duration = Duration::from_secs(2);

/// Greatest lengths of messages in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// As received.
    pub(crate) message: usize,
    /// After decompression.
    pub(crate) decompressed: usize,
}

impl Default for Limits {
    /// What the longest messages of the Autobahn suite need.
    fn default() -> Self {
        let message = 16 << 20;
        Self {
            message,
            decompressed: message,
        }
    }
}

/// One of each for all connections, as in a shard of the edge.
#[derive(Debug)]
struct Codec {
    deflater: Deflater,
    inflater: Inflater,
}

type SharedCodec = Arc<Mutex<Codec>>;

/// Echoes until the listener fails.
pub(crate) async fn serve(listener: TcpListener, limits: Limits) -> io::Result<()> {
    let codec = Arc::new(Mutex::new(Codec {
        deflater: Deflater::new(1, 0),
        inflater: Inflater::new(),
    }));
    loop {
        let (stream, _) = listener.accept().await?;
        let codec = Arc::clone(&codec);
        tokio::spawn(async move {
            if let Err(error) = connection(stream, limits, codec).await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

async fn connection(mut stream: TcpStream, limits: Limits, codec: SharedCodec) -> io::Result<()> {
    let mut received = Vec::new();
    let Some(head_len) = read_head(&mut stream, &mut received).await? else {
        return Ok(());
    };
    let head: Vec<u8> = received.drain(..head_len).collect();
    let (response, opened) = answer(&head);
    stream.write_all(response.as_bytes()).await?;
    if let Some(compression) = opened {
        let echo = Echo {
            decoder: decoder(compression),
            compression,
            limits,
            codec,
        };
        echo.run(&mut stream, received).await?;
    }
    stream.shutdown().await?;
    linger(&mut stream).await
}

/// Reads to the end of the request's head and returns its length; `None` if the peer left.
async fn read_head(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            return Ok(Some(end + 4));
        }
        if received.len() > HEAD_MAX {
            return Err(io::Error::other("the request's head is too long"));
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}

/// The response to a request's head, and whether messages may be compressed if it is a 101.
fn answer(head: &[u8]) -> (String, Option<bool>) {
    let Some((method, query, headers)) = parse_head(head) else {
        let refused = handshake::Refused::BAD_REQUEST;
        return (refusal(refused), None);
    };
    let upgrade = match handshake::upgrade(&method, &headers, query.as_deref()) {
        Ok(upgrade) => upgrade,
        Err(refused) => return (refusal(refused), None),
    };
    let extensions = deflate::negotiate(&headers);
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        upgrade.accept
    );
    for (name, value) in [
        ("Protocol", upgrade.subprotocol),
        ("Extensions", extensions),
    ] {
        if let Some(value) = value {
            response.push_str(&format!("Sec-WebSocket-{name}: {value}\r\n"));
        }
    }
    response.push_str("\r\n");
    (response, Some(extensions.is_some()))
}

fn refusal(refused: handshake::Refused) -> String {
    format!(
        "HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
        refused.status,
        refused.body.len(),
        refused.body
    )
}

fn parse_head(head: &[u8]) -> Option<(Method, Option<String>, HeaderMap)> {
    let mut lines = str::from_utf8(head).ok()?.lines();
    let mut request = lines.next()?.split(' ');
    let method = Method::from_bytes(request.next()?.as_bytes()).ok()?;
    let query = request.next()?.split_once('?');
    let mut headers = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some((method, query.map(|(_, query)| query.to_owned()), headers))
}

fn decoder(compression: bool) -> Decoder {
    let decoder = Decoder::new(Utf8::Check);
    if compression {
        decoder.allow_compressed()
    } else {
        decoder
    }
}

/// Reads what the peer still sends, so that nothing written is lost by a reset.
async fn linger(stream: &mut TcpStream) -> io::Result<()> {
    let mut dropped = vec![0; 64 << 10];
    let drain = async {
        while stream.read(&mut dropped).await? > 0 {}
        Ok(())
    };
    timeout(LINGER, drain).await.unwrap_or(Ok(()))
}

/// An open connection.
struct Echo {
    decoder: Decoder,
    compression: bool,
    limits: Limits,
    codec: SharedCodec,
}

/// Whether a connection goes on.
#[derive(PartialEq)]
enum Next {
    Read,
    End,
}

impl Echo {
    async fn run(mut self, stream: &mut TcpStream, mut received: Vec<u8>) -> io::Result<()> {
        loop {
            let mut out = Vec::new();
            let next = self.frames(&mut received, &mut out);
            stream.write_all(&out).await?;
            if next == Next::End {
                return Ok(());
            }
            received.reserve(64 << 10);
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Decodes what was received, keeps the rest, and appends the answers.
    fn frames(&mut self, received: &mut Vec<u8>, out: &mut Vec<u8>) -> Next {
        let mut at = 0;
        let mut decoder = std::mem::take(&mut self.decoder);
        let next = loop {
            let rest = received.get_mut(at..).unwrap_or_default();
            let event = match decoder.decode(rest, self.limits.message) {
                Ok((consumed, event)) => {
                    at += consumed;
                    event
                }
                Err(violation) => {
                    out.extend(frame::close_frame(violation.close_code(), ""));
                    break Next::End;
                }
            };
            match event {
                Event::Incomplete => break Next::Read,
                Event::Ping(payload) => out.extend(frame::pong(payload)),
                Event::Pong(_) => {}
                Event::Close { code, .. } => {
                    out.extend(frame::close_answer(code));
                    break Next::End;
                }
                Event::Message {
                    opcode,
                    payload,
                    compressed: false,
                } => self.write(opcode, &payload, out),
                Event::Message {
                    opcode,
                    payload,
                    compressed: true,
                } => {
                    if let Err(close) = self.write_inflated(opcode, &payload, out) {
                        out.extend(close);
                        break Next::End;
                    }
                }
            }
        };
        self.decoder = decoder;
        received.drain(..at);
        next
    }

    /// Opens a compressed message and echoes it; otherwise the close frame.
    fn write_inflated(
        &self,
        opcode: Opcode,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Vec<u8>> {
        let inflated = self
            .codec
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .inflater
            .inflate(payload, self.limits.decompressed);
        let message = inflated
            .map_err(|error| frame::close_frame(error.close_code(), error.close_reason()))?;
        if opcode == Opcode::Text && str::from_utf8(&message).is_err() {
            return Err(frame::close_frame(1007, ""));
        }
        self.write(opcode, &message, out);
        Ok(())
    }

    fn write(&self, opcode: Opcode, message: &[u8], out: &mut Vec<u8>) {
        let deflated = self.compression.then(|| {
            let mut codec = self.codec.lock().unwrap_or_else(PoisonError::into_inner);
            codec.deflater.deflate(message)
        });
        match deflated.flatten() {
            Some(payload) => frame::write_compressed_frame(out, opcode, &payload),
            None => frame::write_frame(out, opcode, message),
        }
    }
}
