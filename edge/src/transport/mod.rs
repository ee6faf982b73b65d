//! Bytes to frames and back, for every client transport. Pure: no sockets, no channels.

use tidewire_protocol::{Encoding, encode};

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
    /// The client only listens: it gets pushes without the reply around them.
    pub unidirectional: bool,
}

/// What is around a connection's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// WebSocket frames: text for JSON, binary for Protobuf.
    WebSocket,
    /// The same, with messages compressed that become shorter by it.
    WebSocketDeflate,
    /// The body of a response: lines for JSON, lengths for Protobuf.
    HttpStream,
    /// The body of a response: server-sent events, JSON only.
    Sse,
}

impl Framing {
    /// Whether there are WebSocket frames, with pings and a close of their own.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        match self {
            Self::WebSocket | Self::WebSocketDeflate => true,
            Self::HttpStream | Self::Sse => false,
        }
    }
}

impl Variant {
    /// For clients that also send.
    #[must_use]
    pub const fn bidirectional(encoding: Encoding, framing: Framing) -> Self {
        Self {
            encoding,
            framing,
            unidirectional: false,
        }
    }

    /// For clients that only listen, in JSON.
    #[must_use]
    pub const fn unidirectional(framing: Framing) -> Self {
        Self {
            encoding: Encoding::Json,
            framing,
            unidirectional: true,
        }
    }

    /// WebSocket without compression.
    #[must_use]
    pub const fn websocket(encoding: Encoding) -> Self {
        Self::bidirectional(encoding, Framing::WebSocket)
    }

    /// Wraps one encoded message for the wire. Only [`Framing::WebSocketDeflate`] needs a compressor; without one
    /// it sends plain frames, which its clients read too.
    #[must_use]
    pub fn frame(self, message: &[u8], deflater: Option<&mut Deflater>) -> Vec<u8> {
        let message = if self.unidirectional {
            encode::bare_push(self.encoding, message)
        } else {
            message
        };
        let mut out = Vec::with_capacity(message.len() + frame::SERVER_HEADER_MAX);
        match self.framing {
            Framing::WebSocket => frame::write_frame(&mut out, self.opcode(), message),
            Framing::WebSocketDeflate => {
                match deflater.and_then(|deflater| deflater.deflate(message)) {
                    Some(shorter) => {
                        frame::write_compressed_frame(&mut out, self.opcode(), &shorter);
                    }
                    None => frame::write_frame(&mut out, self.opcode(), message),
                }
            }
            Framing::HttpStream => http_stream::write(&mut out, self.encoding, message),
            Framing::Sse => sse::write(&mut out, message),
        }
        out
    }

    /// The transport's name in metrics.
    #[must_use]
    pub const fn transport(self) -> &'static str {
        match (self.framing, self.unidirectional) {
            (Framing::WebSocket | Framing::WebSocketDeflate, false) => "websocket",
            (Framing::WebSocket | Framing::WebSocketDeflate, true) => "uni_websocket",
            (Framing::HttpStream, false) => "http_stream",
            (Framing::HttpStream, true) => "uni_http_stream",
            (Framing::Sse, false) => "sse",
            (Framing::Sse, true) => "uni_sse",
        }
    }

    const fn opcode(self) -> frame::Opcode {
        match self.encoding {
            Encoding::Json => frame::Opcode::Text,
            Encoding::Protobuf => frame::Opcode::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: &[u8] = br#"{"push":{"channel":"c","pub":{"data":1}}}"#;

    fn framed(variant: Variant) -> String {
        String::from_utf8(variant.frame(PUSH, None)).unwrap()
    }

    #[test]
    fn a_push_in_every_framing() {
        let both = |framing| Variant::bidirectional(Encoding::Json, framing);
        let push = std::str::from_utf8(PUSH).unwrap();
        assert_eq!(framed(both(Framing::HttpStream)), format!("{push}\n"));
        assert_eq!(framed(both(Framing::Sse)), format!("data: {push}\n\n"));
        assert!(both(Framing::WebSocket).frame(PUSH, None).ends_with(PUSH));
    }

    #[test]
    fn unidirectional_clients_get_bare_pushes_and_the_same_pings() {
        let bare = r#"{"channel":"c","pub":{"data":1}}"#;
        let variant = Variant::unidirectional(Framing::HttpStream);
        assert_eq!(framed(variant), format!("{bare}\n"));
        assert_eq!(variant.frame(Encoding::Json.ping(), None), b"{}\n");
        let sse = Variant::unidirectional(Framing::Sse);
        assert_eq!(framed(sse), format!("data: {bare}\n\n"));
    }
}
