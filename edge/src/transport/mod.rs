//! Bytes to frames and back, for every client transport. Pure: no sockets, no channels.

use tidewire_protocol::Encoding;

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
pub enum Variant {
    /// WebSocket text frames of JSON.
    WebSocketJson,
    /// WebSocket binary frames of Protobuf.
    WebSocketProtobuf,
}

impl Variant {
    /// The WebSocket variant of an encoding.
    #[must_use]
    pub fn websocket(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Json => Self::WebSocketJson,
            Encoding::Protobuf => Self::WebSocketProtobuf,
        }
    }

    /// The messages' encoding.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        match self {
            Self::WebSocketJson => Encoding::Json,
            Self::WebSocketProtobuf => Encoding::Protobuf,
        }
    }

    /// Wraps encoded messages for the wire.
    #[must_use]
    pub fn frame(self, messages: &[u8]) -> Vec<u8> {
        let opcode = match self {
            Self::WebSocketJson => frame::Opcode::Text,
            Self::WebSocketProtobuf => frame::Opcode::Binary,
        };
        let mut out = Vec::with_capacity(messages.len() + frame::SERVER_HEADER_MAX);
        frame::write_frame(&mut out, opcode, messages);
        out
    }
}
