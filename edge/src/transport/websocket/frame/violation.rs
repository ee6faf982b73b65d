//! What a client can do against the WebSocket protocol.

/// The client broke the WebSocket protocol. The connection is to be closed with
/// [`Violation::close_code`]; the decoder must not be used any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Violation {
    /// A reserved bit is set that no negotiated extension allows there.
    #[error("reserved bits set in frame header 0x{0:02x}")]
    ReservedBits(u8),
    /// The opcode is reserved.
    #[error("unknown opcode 0x{0:x}")]
    UnknownOpcode(u8),
    /// A client frame is not masked (5.1).
    #[error("client frame is not masked")]
    Unmasked,
    /// A control frame without the final bit.
    #[error("control frame is fragmented")]
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A continuation frame although no message is unfinished.
    #[error("continuation of no message")]
    UnexpectedContinuation,
    /// A new message although one is unfinished.
    #[error("new message within a fragmented one")]
    InterruptedMessage,
    /// A length of 64 bits with the highest bit set (5.2).
    #[error("frame length has its highest bit set")]
    LengthOverflow,
    /// A close payload of one byte.
    #[error("close frame with half a code")]
    TruncatedCloseCode,
    /// A close code that must not be sent (7.4).
    #[error("close code {0} must not be sent")]
    InvalidCloseCode(u16),
    /// A close reason or, with [`Utf8::Check`](super::Utf8::Check), a text message is not UTF-8.
    #[error("text is not UTF-8")]
    InvalidUtf8,
    /// The message, all fragments together, would exceed this limit in bytes.
    #[error("message is longer than {0} bytes")]
    TooBig(usize),
}

impl Violation {
    /// The code to close with: 1002 protocol error, 1007 invalid text, 1009 too big.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 => 1007,
            Self::TooBig(_) => 1009,
            Self::ReservedBits(_)
            | Self::UnknownOpcode(_)
            | Self::Unmasked
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::UnexpectedContinuation
            | Self::InterruptedMessage
            | Self::LengthOverflow
            | Self::TruncatedCloseCode
            | Self::InvalidCloseCode(_) => 1002,
        }
    }
}
