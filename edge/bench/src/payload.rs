//! The 200 bytes of JSON that are published: a sequence number, the time at which it was due, padding.
//! All parts have a fixed width, so that a payload is found and read without a JSON parser.

use crate::clock::Nanos;

/// Bytes of a payload.
pub(crate) const LENGTH: usize = 200;

const MARK: &[u8] = b"{\"seq\":\"";
const BETWEEN: &[u8] = b"\",\"due\":\"";
const PADDING: &[u8] = b"\",\"pad\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 20;

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Counts a channel's publications from 0.
    pub(crate) sequence: u64,
    /// When it should have been published, by the monotonic clock.
    pub(crate) due: Nanos,
}

/// Writes and reads payloads.
#[derive(Debug)]
pub(crate) struct Codec {
    tail: Vec<u8>,
    /// Where the last payload began in its message: the next one begins there, too.
    hint: usize,
}

impl Default for Codec {
    fn default() -> Self {
        let mut tail = PADDING.to_vec();
        let head = MARK.len() + DIGITS + BETWEEN.len() + DIGITS;
        tail.resize(LENGTH - head - END.len(), b'x');
        tail.extend_from_slice(END);
        Self { tail, hint: 0 }
    }
}

impl Codec {
    /// The JSON text of a payload.
    pub(crate) fn encode(&self, stamp: Stamp) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(format!("{:020}", stamp.sequence).as_bytes());
        bytes.extend_from_slice(BETWEEN);
        bytes.extend_from_slice(format!("{:020}", stamp.due).as_bytes());
        bytes.extend_from_slice(&self.tail);
        bytes
    }

    /// The payload in a message; `None` if there is no whole and unchanged one.
    pub(crate) fn decode(&mut self, message: &[u8]) -> Option<Stamp> {
        if message.get(self.hint..)?.strip_prefix(MARK).is_none() {
            self.hint = message
                .windows(MARK.len())
                .position(|window| window == MARK)?;
        }
        let rest = message.get(self.hint..)?.strip_prefix(MARK)?;
        let (sequence, rest) = rest.split_first_chunk::<DIGITS>()?;
        let rest = rest.strip_prefix(BETWEEN)?;
        let (due, rest) = rest.split_first_chunk::<DIGITS>()?;
        rest.starts_with(&self.tail).then_some(())?;
        Some(Stamp {
            sequence: number(sequence)?,
            due: number(due)?,
        })
    }
}

fn number(digits: &[u8; DIGITS]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        sequence: 7,
        due: 123_456_789,
    };

    #[test]
    fn a_payload_is_200_bytes_of_json_and_is_read_back_from_any_place() {
        let mut codec = Codec::default();
        let bytes = codec.encode(STAMP);
        assert_eq!(bytes.len(), LENGTH);
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
        for before in ["", "{\"push\":", "{\"push\":{\"channel\":\"c\"}", "x"] {
            let message = [before.as_bytes(), &bytes, b"}}}"].concat();
            assert_eq!(codec.decode(&message), Some(STAMP));
        }
    }

    #[test]
    fn a_changed_or_cut_payload_is_refused() {
        let mut codec = Codec::default();
        let whole = codec.encode(STAMP);
        for at in [9, 100, LENGTH - 1] {
            let mut bytes = whole.clone();
            bytes[at] = b'!';
            assert_eq!(codec.decode(&bytes), None, "{at}");
            assert_eq!(codec.decode(&whole[..at]), None, "{at}");
        }
        assert_eq!(codec.decode(&whole), Some(STAMP));
    }
}
