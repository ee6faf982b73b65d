//! The WebSocket frame decoder and the inflater behind it.

use crate::transport::websocket::deflate::{InflateError, Inflater};
use crate::transport::websocket::frame::{Decoder, Event, Opcode, Utf8, Violation};

/// An [`Event`] that owns its bytes.
#[derive(Debug, PartialEq)]
enum Seen {
    Message(Opcode, Vec<u8>),
    Inflated(Result<Vec<u8>, InflateError>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// What a client sends: the first byte says with which options and in which pieces it is read, the rest is the stream.
/// Pieces of any length show the same as the whole.
pub fn frames(input: &[u8]) {
    let Some((options, stream)) = input.split_first() else {
        return;
    };
    let limit = [0, 125, 1000, 65_536][usize::from(options & 3)];
    let decoder = || {
        let utf8 = if options & 4 == 0 {
            Utf8::Unchecked
        } else {
            Utf8::Check
        };
        let decoder = Decoder::new(utf8);
        if options & 8 == 0 {
            decoder
        } else {
            decoder.allow_compressed()
        }
    };
    let whole = feed(decoder(), [stream], limit);
    let size = 1 + usize::from(options >> 4);
    let pieces = feed(decoder(), stream.chunks(size), limit);
    assert_eq!(whole, pieces, "in pieces of {size}");
}

/// Feeds the pieces as a connection does: unconsumed bytes are kept.
fn feed<'p>(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limit: usize,
) -> (Vec<Seen>, Result<usize, Violation>) {
    let mut inflater = Inflater::new();
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let length = kept.len();
            let (consumed, event) = match decoder.decode(&mut kept, limit) {
                Ok(decoded) => decoded,
                Err(violation) => return (seen, Err(violation)),
            };
            assert!(consumed <= length);
            match event {
                Event::Incomplete => {
                    kept.drain(..consumed);
                    break;
                }
                Event::Message {
                    opcode,
                    payload,
                    compressed,
                } => {
                    assert!(payload.len() <= limit);
                    seen.push(if compressed {
                        Seen::Inflated(inflate(&mut inflater, &payload, 10 * limit))
                    } else {
                        Seen::Message(opcode, payload.into_owned())
                    });
                }
                Event::Ping(payload) => seen.push(Seen::Ping(payload.to_vec())),
                Event::Pong(payload) => seen.push(Seen::Pong(payload.to_vec())),
                Event::Close { code, reason } => {
                    seen.push(Seen::Close(code, reason.to_owned()));
                    return (seen, Ok(0));
                }
            }
            kept.drain(..consumed);
        }
    }
    (seen, Ok(kept.len()))
}

/// Inflates with one that was used before, which must do as a fresh one does.
fn inflate(used: &mut Inflater, payload: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let message = used.inflate(payload, limit);
    assert_eq!(message, Inflater::new().inflate(payload, limit));
    if let Ok(message) = &message {
        assert!(message.len() <= limit);
        assert!(
            message.capacity() <= 2 * (limit + 1024),
            "memory is bounded too"
        );
    }
    message
}
