//! Bytes to frames and back, for every client transport. Pure: no sockets, no channels.

use tidewire_protocol::Encoding;

use crate::transport::websocket::deflate::Deflater;
use crate::transport::websocket::frame;

pub mod emulation;
pub mod http;
pub mod http_stream;
pub mod origin;
pub mod sse;
pub mod uni;
pub mod websocket;

/// What a connection's messages look like on the wire. Connections of one variant share frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The messages' encoding.
    pub encoding: Encoding,
    /// What is around them.
    pub framing: Framing,
}

/// What is around a connection's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// WebSocket frames: text for JSON, binary for Protobuf.
    WebSocket,
    /// The same, with messages compressed that become shorter by it.
    WebSocketDeflate,
}

impl Variant {
    /// WebSocket without compression.
    #[must_use]
    pub const fn websocket(encoding: Encoding) -> Self {
        Self {
            encoding,
            framing: Framing::WebSocket,
        }
    }

    /// Wraps encoded messages for the wire. Only [`Framing::WebSocketDeflate`] needs a compressor; without one it
    /// sends plain frames, which its clients read too.
    #[must_use]
    pub fn frame(self, messages: &[u8], deflater: Option<&mut Deflater>) -> Vec<u8> {
        let opcode = match self.encoding {
            Encoding::Json => frame::Opcode::Text,
            Encoding::Protobuf => frame::Opcode::Binary,
        };
        let compressed = match self.framing {
            Framing::WebSocket => None,
            Framing::WebSocketDeflate => deflater.and_then(|deflater| deflater.deflate(messages)),
        };
        let payload = compressed.as_deref().unwrap_or(messages);
        let mut out = Vec::with_capacity(payload.len() + frame::SERVER_HEADER_MAX);
        match compressed.is_some() {
            true => frame::write_compressed_frame(&mut out, opcode, payload),
            false => frame::write_frame(&mut out, opcode, payload),
        }
        out
    }
}
