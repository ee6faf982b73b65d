//! `permessage-deflate` (RFC 7692), always without context takeover in either direction.
//!
//! A message is compressed on its own, so one compressed form serves every connection, and no
//! connection owns a window: a shard has one [`Deflater`] and one [`Inflater`] for all. Section
//! numbers are those of RFC 7692.
//!
//! [`negotiate`] answers the handshake. Then [`Decoder::allow_compressed`] lets the decoder accept
//! messages with the RSV1 bit, [`Inflater::inflate`] opens those, and what [`Deflater::deflate`]
//! gives goes out by [`write_compressed_frame`].
//!
//! [`Decoder::allow_compressed`]: super::frame::Decoder::allow_compressed
//! [`write_compressed_frame`]: super::frame::write_compressed_frame

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use hyper::http::HeaderMap;
use hyper::http::header::SEC_WEBSOCKET_EXTENSIONS;

/// Value of `Sec-WebSocket-Extensions` in the 101 response when compression was negotiated.
pub const ANSWER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Reason of the close frame after [`InflateError::TooBig`].
pub const TOO_BIG: &str = "message too big after decompression";

/// What a sender cuts off the end of a message: an empty stored block less its first bits (7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// What the receiver puts behind a message: the tail, and an empty last block, which only fits
/// where a block has just ended.
const END: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];

/// Least memory in bytes that a decompressed message begins with.
const ROOM_MIN: usize = 512;

/// The answer to a handshake's extension offers: [`ANSWER`] if one of them can be accepted,
/// otherwise `None`, and the header is omitted.
///
/// An offer that demands a smaller window of the server (`server_max_window_bits`) is declined,
/// because accepting it would have to be said in the answer (7.1.2.1); so is one with unknown,
/// repeated or malformed parameters (5.1).
#[must_use]
pub fn negotiate(headers: &HeaderMap) -> Option<&'static str> {
    headers
        .get_all(SEC_WEBSOCKET_EXTENSIONS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ','))
        .any(is_acceptable)
        .then_some(ANSWER)
}

fn is_acceptable(offer: &str) -> bool {
    let mut parts = split(offer, ';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return false;
    }
    let mut seen = [false; 3];
    parts.all(|parameter| {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (parameter, None),
        };
        let (index, valid) = match name {
            "server_no_context_takeover" => (0, value.is_none()),
            "client_no_context_takeover" => (1, value.is_none()),
            "client_max_window_bits" => (2, value.is_none_or(is_window_bits)),
            _ => return false,
        };
        let repeated = seen
            .get_mut(index)
            .is_none_or(|seen| std::mem::replace(seen, true));
        valid && !repeated
    })
}

fn is_window_bits(value: &str) -> bool {
    matches!(value, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// The parts between separators that are not in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

/// Compresses messages, each on its own. About 300 KB; make one per shard.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    min_size: usize,
}

impl Deflater {
    /// A compressor of `level` (1 fastest to 9 smallest; 0 stores only; more is 9) for messages
    /// longer than `min_size` bytes.
    #[must_use]
    pub fn new(level: u32, min_size: usize) -> Self {
        Self {
            compress: Compress::new(Compression::new(level.min(9)), false),
            min_size,
        }
    }

    /// The payload of the message's frame with the RSV1 bit. `None`: send the message as it is,
    /// because it is not longer than the least size or would not become shorter.
    pub fn deflate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() <= self.min_size {
            return None;
        }
        self.compress.reset();
        // The tail may be written in part before there is seen to be no gain.
        let mut payload = Vec::with_capacity(message.len() + TAIL.len());
        let status = self
            .compress
            .compress_vec(message, &mut payload, FlushCompress::Sync);
        if status.is_err() || self.compress.total_in() != message.len() as u64 {
            return None;
        }
        let shortened = payload.strip_suffix(&TAIL)?.len();
        payload.truncate(shortened);
        (shortened < message.len()).then_some(payload)
    }
}

/// Why a message cannot be decompressed. The connection is to be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InflateError {
    /// The message would exceed this limit in bytes.
    #[error("message is longer than {0} bytes after decompression")]
    TooBig(usize),
    /// The payload is not a sequence of whole DEFLATE blocks.
    #[error("message is not compressed data")]
    Malformed,
}

impl InflateError {
    /// The code to close with: 1009 too big, 1007 invalid data.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::TooBig(_) => 1009,
            Self::Malformed => 1007,
        }
    }

    /// The reason to close with.
    #[must_use]
    pub const fn close_reason(self) -> &'static str {
        match self {
            Self::TooBig(_) => TOO_BIG,
            Self::Malformed => "",
        }
    }
}

/// Decompresses messages, each on its own. About 50 KB; make one per shard.
#[derive(Debug)]
pub struct Inflater {
    decompress: Decompress,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// A decompressor.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decompress: Decompress::new(false),
        }
    }

    /// The message in the payload of a frame with the RSV1 bit, all fragments joined. It takes no
    /// more memory than `limit` bytes and little else, whatever the payload claims to be. Text is
    /// not checked to be UTF-8: the decoder could not do it either.
    ///
    /// # Errors
    /// [`InflateError`]: close the connection with its code and reason. The inflater stays usable.
    pub fn inflate(&mut self, payload: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
        self.decompress.reset(false);
        let room = payload.len().saturating_mul(4).max(ROOM_MIN);
        let mut message = Vec::with_capacity(room.min(limit.saturating_add(1)));
        let mut input = payload;
        while !input.is_empty() {
            let (rest, status) = self.step(input, &mut message, limit)?;
            input = rest;
            // A last block may end the message, or be followed by another sequence (7.2.3.4).
            match status {
                Status::StreamEnd if input.is_empty() => return Ok(message),
                Status::StreamEnd => self.decompress.reset(false),
                Status::Ok | Status::BufError => {}
            }
        }
        let mut end = END.as_slice();
        while !end.is_empty() {
            let (rest, status) = self.step(end, &mut message, limit)?;
            end = rest;
            match status {
                Status::StreamEnd if end.is_empty() => return Ok(message),
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => {}
            }
        }
        Err(InflateError::Malformed)
    }

    /// Decompresses some of the input and returns the rest of it. There is room in the message
    /// before and after.
    fn step<'a>(
        &mut self,
        input: &'a [u8],
        message: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(&'a [u8], Status), InflateError> {
        let (before, length) = (self.decompress.total_in(), message.len());
        let status = self
            .decompress
            .decompress_vec(input, message, FlushDecompress::Sync)
            .map_err(|_bad_data| InflateError::Malformed)?;
        if message.len() > limit {
            return Err(InflateError::TooBig(limit));
        }
        let used = self.decompress.total_in().saturating_sub(before);
        let rest = usize::try_from(used)
            .ok()
            .and_then(|used| input.get(used..))
            .unwrap_or_default();
        if used == 0 && message.len() == length {
            return Err(InflateError::Malformed);
        }
        if message.len() == message.capacity() {
            let more = limit.saturating_add(1) - message.len();
            message.reserve_exact(more.min(message.len().max(ROOM_MIN)));
        }
        Ok((rest, status))
    }
}

#[cfg(test)]
mod tests;
