//! Bodies of the fuzz targets, shared with the test that replays their corpus.
//!
//! Each takes any bytes. They panic where a promise of the codecs is broken.

use crate::decode::{self, Messages};
use crate::encode::{self, EncodeError};
use crate::encoding::Encoding;
use crate::messages::{Push, Reply};

type Encode<T> = fn(Encoding, &T, &mut Vec<u8>) -> Result<(), EncodeError>;

/// Commands as JSON.
pub fn commands_json(frame: &[u8]) {
    read(Encoding::Json, frame, decode::commands, encode::command);
}

/// Commands as Protobuf.
pub fn commands_protobuf(frame: &[u8]) {
    read(Encoding::Protobuf, frame, decode::commands, encode::command);
}

/// Replies and bare pushes, in both encodings.
pub fn replies(frame: &[u8]) {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        read::<Reply>(encoding, frame, decode::replies, encode::reply);
        read::<Push>(encoding, frame, decode::pushes, encode::push);
    }
}

fn read<T>(
    encoding: Encoding,
    frame: &[u8],
    decode: for<'a> fn(Encoding, &'a [u8]) -> Messages<'a, T>,
    encode: Encode<T>,
) where
    T: prost::Message + serde::Serialize + serde::de::DeserializeOwned + Default + PartialEq,
{
    let mut messages = decode(encoding, frame);
    let mut left = frame.len();
    let mut count = 0_usize;
    while let Some(message) = messages.next() {
        count += 1;
        assert!(count <= frame.len().max(1), "more messages than bytes");
        let Ok(message) = message else {
            assert!(messages.next().is_none(), "a message after an error");
            assert!(messages.rest().is_empty(), "bytes left after an error");
            break;
        };
        let rest = messages.rest();
        assert!(rest.len() < left, "a message without bytes");
        assert!(
            frame.ends_with(rest),
            "the rest is not the end of the frame"
        );
        left = rest.len();
        written_comes_back(encoding, &message, decode, encode);
    }
    assert!(count > 0, "a frame without any message or error");
}

fn written_comes_back<T>(
    encoding: Encoding,
    message: &T,
    decode: for<'a> fn(Encoding, &'a [u8]) -> Messages<'a, T>,
    encode: Encode<T>,
) where
    T: prost::Message + serde::Serialize + serde::de::DeserializeOwned + Default + PartialEq,
{
    let mut written = Vec::new();
    let encoded = encode(encoding, message, &mut written);
    assert!(encoded.is_ok(), "what was read cannot be written");
    let again: Vec<_> = decode(encoding, &written).collect();
    assert!(
        matches!(&again[..], [Ok(again)] if again == message),
        "what was written reads differently"
    );
    // The other encoding may refuse a payload, but must not panic, and must leave nothing then.
    let other = match encoding {
        Encoding::Json => Encoding::Protobuf,
        Encoding::Protobuf => Encoding::Json,
    };
    let mut written = Vec::new();
    if encode(other, message, &mut written).is_err() {
        assert!(written.is_empty(), "a refused message left bytes");
    }
}
