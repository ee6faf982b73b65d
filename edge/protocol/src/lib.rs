//! The Centrifugo client protocol: messages, codes, and the JSON and Protobuf codecs.
//!
//! * [`messages`] is the one table of all messages; it yields plain structs.
//! * [`decode`] turns a frame into a lazy sequence of messages and trusts nothing in it.
//! * [`encode`] appends one message, with its own delimiting, to a buffer.
//! * [`raw`] handles payloads, which stay opaque bytes in both codecs.
//! * [`codes`] lists the errors, disconnects and unsubscribes a client can see.
//!
//! The crate only turns bytes into values and back: it never does input or output, never waits,
//! and never decides what a message means for a connection.
//!
//! Facts about the protocol were checked against Centrifugo v6.9.1 (`protocol` v0.19.2).

mod encoding;
mod json;
mod protobuf;
mod request;

pub mod codes;
pub mod decode;
pub mod encode;
#[doc(hidden)]
pub mod fuzzing;
pub mod messages;
pub mod raw;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod sample;

pub use codes::{DisconnectCode, DisconnectReason, ErrorCode, Fault, UnsubscribeCode};
pub use decode::{Commands, Malformed, Replies};
pub use encode::EncodeError;
pub use encoding::Encoding;
pub use messages::*;
pub use request::Request;
