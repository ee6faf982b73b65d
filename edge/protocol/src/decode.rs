//! From frames to messages.
//!
//! A frame comes from the network: no length in it is trusted, nesting is bounded (by the limits
//! of the underlying parsers), and memory grows at most in proportion to the frame.

use std::marker::PhantomData;

use prost::encoding::decode_varint;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::codes::DisconnectCode;
use crate::encoding::Encoding;
use crate::messages::{Command, Push, Reply};

/// Why a frame, or one message in it, cannot be read. Never holds content of the frame, so it can
/// be logged.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The frame holds no message at all.
    #[error("frame holds no message")]
    Empty,
    /// A line of a JSON frame is empty or only white space.
    #[error("frame holds a blank line")]
    BlankLine,
    /// A message is not the JSON object it should be.
    #[error("message is not valid: {kind} at byte {column}")]
    Json {
        /// What is wrong: `syntax`, `type` or `end` (cut short).
        kind: &'static str,
        /// Byte of the message's line, from 1, where it was noticed; 0 if unknown.
        column: usize,
    },
    /// The length before a Protobuf message is not a varint, or exceeds the frame.
    #[error("length of a message exceeds the frame")]
    Length,
    /// A message is not the Protobuf message it should be.
    #[error("message is not valid Protobuf")]
    Protobuf(#[source] prost::DecodeError),
}

impl Malformed {
    /// What the client is told: it broke the protocol.
    #[must_use]
    pub const fn disconnect(&self) -> DisconnectCode {
        DisconnectCode::BadRequest
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;

        // The text of serde_json quotes the input, which may be a token.
        let kind = match error.classify() {
            Category::Data => "type",
            Category::Eof => "end",
            Category::Syntax | Category::Io => "syntax",
        };
        Self::Json {
            kind,
            column: error.column(),
        }
    }
}

/// The commands of a frame sent by a client.
pub type Commands<'a> = Messages<'a, Command>;

/// The replies of a frame sent by a server.
pub type Replies<'a> = Messages<'a, Reply>;

/// Reads the commands of a frame, one by one.
///
/// A frame without any command yields one error. Commands before a malformed one are yielded; the
/// iterator ends after the first error.
#[must_use]
pub const fn commands(encoding: Encoding, frame: &[u8]) -> Commands<'_> {
    Messages::new(encoding, frame)
}

/// Reads the replies of a frame, as a client does; the rules are those of [`commands`].
#[must_use]
pub const fn replies(encoding: Encoding, frame: &[u8]) -> Replies<'_> {
    Messages::new(encoding, frame)
}

/// Reads the bare pushes of a frame, as a unidirectional client does; the rules are those of
/// [`commands`].
#[must_use]
pub const fn pushes(encoding: Encoding, frame: &[u8]) -> Messages<'_, Push> {
    Messages::new(encoding, frame)
}

/// Reads one message that is a whole body and has no delimiting: an
/// [`EmulationRequest`](crate::EmulationRequest), or the
/// [`ConnectRequest`](crate::ConnectRequest) of a unidirectional client. JSON `null` is an empty
/// message.
///
/// # Errors
/// [`Malformed`] if the body is anything else; the caller refuses the request.
pub fn message<T>(encoding: Encoding, body: &[u8]) -> Result<T, Malformed>
where
    T: prost::Message + DeserializeOwned + Default,
{
    match encoding {
        Encoding::Json => Ok(serde_json::from_slice::<Option<T>>(body)?.unwrap_or_default()),
        Encoding::Protobuf => T::decode(body).map_err(Malformed::Protobuf),
    }
}

/// The messages of one frame, decoded one by one as they are asked for.
#[derive(Clone, Debug)]
pub struct Messages<'a, T> {
    encoding: Encoding,
    rest: &'a [u8],
    state: State,
    message: PhantomData<fn() -> T>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing was read: an end here means that the frame is empty.
    Start,
    Reading,
    Failed,
}

impl<'a, T> Messages<'a, T> {
    const fn new(encoding: Encoding, frame: &'a [u8]) -> Self {
        Self {
            encoding,
            rest: frame,
            state: State::Start,
            message: PhantomData,
        }
    }

    /// The bytes after the last message yielded: a frame to decode later, unless it is empty (an
    /// empty frame is an error). Empty after an error.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<T> Messages<'_, T>
where
    T: prost::Message + DeserializeOwned + Default,
{
    fn read(&mut self) -> Result<T, Malformed> {
        match self.encoding {
            Encoding::Json => {
                let line = next_line(&mut self.rest);
                if line.iter().all(u8::is_ascii_whitespace) {
                    return Err(Malformed::BlankLine);
                }
                Ok(serde_json::from_slice(line)?)
            }
            Encoding::Protobuf => {
                let body = next_delimited(&mut self.rest).ok_or(Malformed::Length)?;
                T::decode(body).map_err(Malformed::Protobuf)
            }
        }
    }
}

impl<T> Iterator for Messages<'_, T>
where
    T: prost::Message + DeserializeOwned + Default,
{
    type Item = Result<T, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = match (self.state, self.rest.is_empty()) {
            (State::Failed, _) | (State::Reading, true) => return None,
            (State::Start, true) => Err(Malformed::Empty),
            (State::Start | State::Reading, false) => self.read(),
        };
        self.state = State::Reading;
        if message.is_err() {
            self.state = State::Failed;
            self.rest = &[];
        }
        Some(message)
    }
}

impl<T> std::iter::FusedIterator for Messages<'_, T> where
    T: prost::Message + DeserializeOwned + Default
{
}

/// Takes the bytes up to the next newline, and the newline.
fn next_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let frame = *rest;
    let Some(at) = frame.iter().position(|byte| *byte == b'\n') else {
        *rest = &[];
        return frame;
    };
    let (line, tail) = frame.split_at(at);
    *rest = tail.get(1..).unwrap_or_default();
    line
}

/// Takes a length and that many bytes; `None` if there are fewer.
fn next_delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut frame = *rest;
    let length = usize::try_from(decode_varint(&mut frame).ok()?).ok()?;
    let (body, tail) = frame.split_at_checked(length)?;
    *rest = tail;
    Some(body)
}
