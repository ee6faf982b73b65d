//! The two encodings and what differs between them outside of messages.

/// How the messages of one connection are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Encoding {
    /// One JSON object per message; several in a frame are joined by a newline.
    #[default]
    Json,
    /// One proto3 message each, prefixed by its length as an unsigned varint.
    Protobuf,
}

impl Encoding {
    /// The server's ping and the client's pong: an empty message with its delimiting.
    #[must_use]
    pub const fn ping(self) -> &'static [u8] {
        match self {
            Self::Json => b"{}",
            Self::Protobuf => b"\0",
        }
    }

    /// What stands between two encoded messages of one frame: a newline in JSON, nothing in
    /// Protobuf, where each message carries its length.
    #[must_use]
    pub const fn separator(self) -> &'static [u8] {
        match self {
            Self::Json => b"\n",
            Self::Protobuf => b"",
        }
    }
}
