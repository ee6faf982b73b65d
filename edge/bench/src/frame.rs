//! The client's side of WebSocket framing, as far as a load generator needs it: whole text frames out,
//! unfragmented frames in.
//!
//! Frames are masked with the key 0, which every server must accept and which costs nothing.

use anyhow::{Result, bail};

/// The kinds of frames that a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// Lines of JSON.
    Text,
    /// The end, with a code and a reason.
    Close,
    /// Wants a pong with the same payload.
    Ping,
    /// Nothing to do.
    Pong,
}

/// A frame at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Its kind.
    pub(crate) opcode: Opcode,
    /// Its payload.
    pub(crate) payload: &'a [u8],
    /// Header and payload in bytes.
    pub(crate) length: usize,
}

/// The first frame, `None` if it is not all there.
///
/// # Errors
/// The bytes are no frame that a server may send to this generator.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let Some(([head, size], rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let opcode = match head {
        0x81 => Opcode::Text,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8A => Opcode::Pong,
        other => bail!("a frame begins with {other:#04x}"),
    };
    let (size, rest) = match size {
        0..=125 => (usize::from(*size), rest),
        126 => match rest.split_first_chunk::<2>() {
            Some((size, rest)) => (usize::from(u16::from_be_bytes(*size)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((size, rest)) => (usize::try_from(u64::from_be_bytes(*size))?, rest),
            None => return Ok(None),
        },
        _ => bail!("the server masks its frames"),
    };
    let header = bytes.len() - rest.len();
    Ok(rest.get(..size).map(|payload| Frame {
        opcode,
        payload,
        length: header + size,
    }))
}

/// A text frame.
///
/// # Errors
/// It is longer than 65,535 bytes.
pub(crate) fn text(payload: &[u8]) -> Result<Vec<u8>> {
    frame(0x81, payload)
}

/// The answer to a ping.
///
/// # Errors
/// It is longer than 65,535 bytes.
pub(crate) fn pong(payload: &[u8]) -> Result<Vec<u8>> {
    frame(0x8A, payload)
}

fn frame(head: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = vec![head];
    let length = u16::try_from(payload.len())?;
    match u8::try_from(length) {
        Ok(short @ 0..=125) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(length: usize) -> Vec<u8> {
        let mut bytes = vec![0x81];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => bytes.push(short),
            (_, Ok(medium)) => {
                bytes.push(126);
                bytes.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.resize(bytes.len() + length, b'x');
        bytes
    }

    #[test]
    fn frames_of_every_size_are_found_only_when_they_are_whole() {
        for length in [0, 1, 125, 126, 200, 65535, 65536, 70000] {
            let mut bytes = server_frame(length);
            let whole = bytes.len();
            for cut in [0, 1, 2, 3, 5, whole - 1] {
                assert_eq!(first(&bytes[..cut.min(whole - 1)]).unwrap(), None);
            }
            bytes.extend_from_slice(b"next");
            let frame = first(&bytes).unwrap().unwrap();
            assert_eq!((frame.payload.len(), frame.length), (length, whole));
        }
    }

    #[test]
    fn fragments_binary_and_masked_frames_are_refused() {
        for head in [[0x01, 0], [0x82, 0], [0x81, 0x80], [0x80, 0]] {
            first(&head).unwrap_err();
        }
    }

    #[test]
    fn what_is_sent_is_masked() {
        assert_eq!(text(b"{}").unwrap(), b"\x81\x82\0\0\0\0{}");
        assert_eq!(pong(b"").unwrap(), b"\x8A\x80\0\0\0\0");
        let long = text(&[b'x'; 300]).unwrap();
        assert_eq!(long[..8], [0x81, 0xFE, 1, 44, 0, 0, 0, 0]);
    }
}
