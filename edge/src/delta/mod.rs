//! Fossil deltas: a publication as a patch of the one before it in its channel.
//!
//! A patch is `<length>\n`, then copies `<count>@<offset>,` out of the old data and insertions
//! `<count>:<bytes>`, and at the end `<checksum>;`. Numbers are written in base 64 with the digits
//! `0-9A-Z_a-z~`, the checksum is that of the new data (protocol specification, section 11). The
//! old data is always the full data of the previous publication, whatever form it was sent in.
//!
//! [`create`] makes patches and [`apply`] reads them; [`Delta`] decides whether a patch is sent.
//! All take time and memory in proportion to their input, whatever it is.

use std::borrow::Cow;

use tidewire_protocol::encode::EncodeError;
use tidewire_protocol::{Encoding, raw};

pub use apply::{PatchError, apply};
pub use create::create;

mod apply;
mod create;

/// What a subscription with delta gets of one publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// The publication's `data`: with JSON a JSON string, whatever the payload is.
    pub data: Cow<'a, [u8]>,
    /// The publication's `delta`: whether `data` is a patch.
    pub delta: bool,
}

/// The full data in the form of a subscription with delta: itself with Protobuf, its text as a
/// JSON string with JSON. This is for the first publication after a subscribe, and wherever else
/// the client may hold no base.
///
/// # Errors
/// [`EncodeError::PayloadNotJson`] if a JSON client could not read it: close the connections that
/// speak JSON with its code.
pub fn full(encoding: Encoding, data: &[u8]) -> Result<Data<'_>, EncodeError> {
    let data = match encoding {
        Encoding::Json => Cow::Owned(raw::quote(json_text(data)?)),
        Encoding::Protobuf => Cow::Borrowed(data),
    };
    Ok(Data { data, delta: false })
}

fn json_text(data: &[u8]) -> Result<&str, EncodeError> {
    str::from_utf8(data)
        .ok()
        .filter(|text| raw::is_json(text.as_bytes()))
        .ok_or(EncodeError::PayloadNotJson)
}

/// The step from one publication to the next. Make it once and use it for every subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta<'a> {
    new: &'a [u8],
    patch: Option<Vec<u8>>,
}

impl<'a> Delta<'a> {
    /// The step from `old`, the full data of the previous publication, to `new`. There is no
    /// patch in it if that would not be smaller than `new`.
    #[must_use]
    pub fn between(old: &[u8], new: &'a [u8]) -> Self {
        let patch = Some(create(old, new)).filter(|patch| patch.len() < new.len());
        Self { new, patch }
    }

    /// What a client that holds the old data gets: the patch, or else the full data. A JSON client
    /// gets the full data also where the patch cuts a character in two, because a JSON string
    /// cannot carry half a character.
    ///
    /// # Errors
    /// [`EncodeError::PayloadNotJson`] as of [`full`].
    pub fn data(&self, encoding: Encoding) -> Result<Data<'_>, EncodeError> {
        let Some(patch) = &self.patch else {
            return full(encoding, self.new);
        };
        let data = match encoding {
            Encoding::Protobuf => Cow::Borrowed(patch.as_slice()),
            Encoding::Json => {
                json_text(self.new)?;
                match str::from_utf8(patch) {
                    Ok(text) => Cow::Owned(raw::quote(text)),
                    Err(_) => return full(encoding, self.new),
                }
            }
        };
        Ok(Data { data, delta: true })
    }
}

/// The digits of numbers, by value.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// The sum of the data's big-endian 32-bit words, the last one filled up with zeros.
fn checksum(data: &[u8]) -> u32 {
    let (words, tail) = data.as_chunks::<4>();
    let sum = words.iter().fold(0_u32, |sum, word| {
        sum.wrapping_add(u32::from_be_bytes(*word))
    });
    let mut last = [0; 4];
    for (byte, from) in last.iter_mut().zip(tail) {
        *byte = *from;
    }
    sum.wrapping_add(u32::from_be_bytes(last))
}

#[cfg(test)]
mod tests;
