//! WebSocket frames as the server sees them: client frames in, server frames out.
//!
//! [`Decoder`] unmasks in place and hands out slices of the caller's buffer, so
//! a message that arrives in one frame costs no allocation and no copy; only a
//! fragmented message is collected in memory of the decoder. A declared length
//! is compared with the limit as soon as it is read and never reserves memory.
//!
//! The encoder writes unmasked, unfragmented frames. Section numbers are those
//! of RFC 6455. The one extension is `permessage-deflate`: where it was negotiated,
//! the first frame of a message may have the RSV1 bit, which says that the message
//! is compressed (RFC 7692, 6). Every other reserved bit is an error.

use std::borrow::Cow;

pub use violation::Violation;

mod violation;

/// Longest payload of a control frame in bytes (5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// Longest close reason in bytes: a control payload less the two of the code.
pub const CLOSE_REASON_MAX: usize = CONTROL_PAYLOAD_MAX - 2;

/// Longest header of a client frame in bytes: two, eight of length, four of mask.
/// What a caller keeps of an unfinished frame is less than this plus its limit.
pub const CLIENT_HEADER_MAX: usize = 14;

/// Longest header of a server frame in bytes (no mask).
pub const SERVER_HEADER_MAX: usize = 10;

/// A ping frame without payload.
pub const PING: [u8; 2] = [FIN | 0x9, 0];

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// What a frame carries. Continuation is absent: the decoder joins fragments
/// and the encoder never makes them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcode {
    /// A message that is UTF-8 text.
    Text,
    /// A message of any bytes.
    Binary,
    /// End of the connection.
    Close,
    /// A request for a pong with the same payload.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    const fn wire(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }
}

/// Whether text messages are checked to be UTF-8.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Utf8 {
    /// Not checked: the command parser finds out (the protocol's answer to
    /// malformed text is a malformed command, not a close).
    #[default]
    Unchecked,
    /// Checked fragment by fragment: invalid text is [`Violation::InvalidUtf8`]. A
    /// compressed message can only be checked by whoever decompresses it.
    Check,
}

/// What [`Decoder::decode`] found.
#[derive(Debug, Eq, PartialEq)]
pub enum Event<'a> {
    /// The bytes end within a frame or a fragmented message, or there are none.
    Incomplete,
    /// A whole message.
    Message {
        /// [`Opcode::Text`] or [`Opcode::Binary`].
        opcode: Opcode,
        /// Borrowed from the input, owned when it was fragmented.
        payload: Cow<'a, [u8]>,
        /// The payload is for [`Inflater`](super::deflate::Inflater).
        compressed: bool,
    },
    /// A ping, to be answered with [`pong`].
    Ping(&'a [u8]),
    /// A pong. Nobody has to have asked for it.
    Pong(&'a [u8]),
    /// The client closes, to be answered with [`close_answer`]. Bytes after it
    /// are to be dropped.
    Close {
        /// The close code, if any: 1000–1003, 1007–1014 or 3000–4999.
        code: Option<u16>,
        /// The reason, possibly empty.
        reason: &'a str,
    },
}

/// Decoder of one connection's client frames.
///
/// 16 bytes; it owns memory only between the first and the last fragment of a
/// fragmented message.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    utf8: Utf8,
    /// Messages may have the RSV1 bit.
    compression: bool,
}

/// The fragments received so far.
#[derive(Debug)]
struct Partial {
    opcode: Opcode,
    compressed: bool,
    payload: Vec<u8>,
    /// How much of the payload is known to be valid UTF-8.
    valid: usize,
}

/// A complete frame header.
struct Header {
    kind: Kind,
    fin: bool,
    mask: [u8; 4],
    /// Length of the header itself in bytes.
    size: usize,
    payload_len: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A whole message or its first fragment.
    Data {
        opcode: Opcode,
        compressed: bool,
    },
    Continuation,
    Control(Opcode),
}

impl Decoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub const fn new(utf8: Utf8) -> Self {
        Self {
            partial: None,
            utf8,
            compression: false,
        }
    }

    /// This decoder, for a connection that negotiated `permessage-deflate`: messages may be
    /// compressed. The limit of [`Decoder::decode`] is then for the compressed form.
    #[must_use]
    pub const fn allow_compressed(mut self) -> Self {
        self.compression = true;
        self
    }

    /// Whether a fragmented message is unfinished.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        self.partial.is_some()
    }

    /// Decodes the first event of `input` and says how many bytes it consumed.
    ///
    /// Call it again with the rest until it answers [`Event::Incomplete`]; keep
    /// the bytes that are then unconsumed (always the beginning of one frame,
    /// still masked) and put what is received next behind them. `limit` is the
    /// greatest allowed length of a message in bytes.
    ///
    /// # Errors
    /// A [`Violation`] as soon as the bytes show it, independent of how they
    /// were split; the connection must then be closed.
    pub fn decode<'a>(
        &mut self,
        mut input: &'a mut [u8],
        limit: usize,
    ) -> Result<(usize, Event<'a>), Violation> {
        let mut consumed = 0;
        while let Some(header) = self.header(input, limit)? {
            let size = header.size.saturating_add(header.payload_len);
            let Some((frame, rest)) = std::mem::take(&mut input).split_at_mut_checked(size) else {
                break;
            };
            let (_, payload) = frame.split_at_mut(header.size);
            unmask(payload, header.mask);
            consumed += size;
            if let Some(event) = self.accept(&header, payload)? {
                return Ok((consumed, event));
            }
            input = rest;
        }
        Ok((consumed, Event::Incomplete))
    }

    /// Reads a header, checking each byte as it becomes known; `None` when it
    /// is incomplete.
    fn header(&self, input: &[u8], limit: usize) -> Result<Option<Header>, Violation> {
        let Some(&first) = input.first() else {
            return Ok(None);
        };
        let kind = self.kind(first)?;
        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & !MASKED;
        if matches!(kind, Kind::Control(_)) && usize::from(short) > CONTROL_PAYLOAD_MAX {
            return Err(Violation::ControlTooLong);
        }
        let (len, mask_at) = match short {
            126 => (array(input, 2).map(|b| u64::from(u16::from_be_bytes(b))), 4),
            127 => (array(input, 2).map(u64::from_be_bytes), 10),
            _ => (Some(u64::from(short)), 2),
        };
        let Some(len) = len else {
            return Ok(None);
        };
        let payload_len = self.check_length(kind, len, limit)?;
        Ok(array(input, mask_at).map(|mask| Header {
            kind,
            fin: first & FIN != 0,
            mask,
            size: mask_at + mask.len(),
            payload_len,
        }))
    }

    fn kind(&self, first: u8) -> Result<Kind, Violation> {
        let data = |opcode| Kind::Data {
            opcode,
            compressed: first & RSV1 != 0,
        };
        let kind = match first & 0x0F {
            0x0 => Kind::Continuation,
            0x1 => data(Opcode::Text),
            0x2 => data(Opcode::Binary),
            0x8 => Kind::Control(Opcode::Close),
            0x9 => Kind::Control(Opcode::Ping),
            0xA => Kind::Control(Opcode::Pong),
            _ if first & RESERVED != 0 => return Err(Violation::ReservedBits(first)),
            other => return Err(Violation::UnknownOpcode(other)),
        };
        let allowed = match kind {
            Kind::Data { .. } if self.compression => RSV1,
            Kind::Data { .. } | Kind::Continuation | Kind::Control(_) => 0,
        };
        if first & RESERVED & !allowed != 0 {
            return Err(Violation::ReservedBits(first));
        }
        match (kind, self.is_mid_message()) {
            (Kind::Control(_), _) if first & FIN == 0 => Err(Violation::FragmentedControl),
            (Kind::Continuation, false) => Err(Violation::UnexpectedContinuation),
            (Kind::Data { .. }, true) => Err(Violation::InterruptedMessage),
            (Kind::Control(_) | Kind::Continuation | Kind::Data { .. }, _) => Ok(kind),
        }
    }

    fn check_length(&self, kind: Kind, len: u64, limit: usize) -> Result<usize, Violation> {
        if len >> 63 != 0 {
            return Err(Violation::LengthOverflow);
        }
        let room = match kind {
            Kind::Control(_) => CONTROL_PAYLOAD_MAX,
            Kind::Data { .. } => limit,
            Kind::Continuation => {
                limit.saturating_sub(self.partial.as_ref().map_or(0, |p| p.payload.len()))
            }
        };
        match usize::try_from(len) {
            Ok(len) if len <= room => Ok(len),
            Ok(_) | Err(_) => Err(Violation::TooBig(limit)),
        }
    }

    /// Takes an unmasked frame; `None` when it is a fragment but the last.
    fn accept<'a>(
        &mut self,
        header: &Header,
        payload: &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        match header.kind {
            Kind::Control(opcode) => control(opcode, payload).map(Some),
            Kind::Data { opcode, compressed } => {
                if header.fin {
                    if self.checks(opcode, compressed) {
                        check_utf8(payload, 0, true)?;
                    }
                    let payload = Cow::Borrowed(payload);
                    return Ok(Some(Event::Message {
                        opcode,
                        payload,
                        compressed,
                    }));
                }
                let partial = Partial {
                    opcode,
                    compressed,
                    payload: Vec::new(),
                    valid: 0,
                };
                self.append(Box::new(partial), header.fin, payload)
            }
            Kind::Continuation => match self.partial.take() {
                Some(partial) => self.append(partial, header.fin, payload),
                None => Err(Violation::UnexpectedContinuation),
            },
        }
    }

    fn checks(&self, opcode: Opcode, compressed: bool) -> bool {
        self.utf8 == Utf8::Check && opcode == Opcode::Text && !compressed
    }

    fn append<'a>(
        &mut self,
        mut partial: Box<Partial>,
        fin: bool,
        payload: &[u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        partial.payload.extend_from_slice(payload);
        if self.checks(partial.opcode, partial.compressed) {
            partial.valid = check_utf8(&partial.payload, partial.valid, fin)?;
        }
        if fin {
            return Ok(Some(Event::Message {
                opcode: partial.opcode,
                payload: Cow::Owned(partial.payload),
                compressed: partial.compressed,
            }));
        }
        self.partial = Some(partial);
        Ok(None)
    }
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Violation> {
    match opcode {
        Opcode::Ping => Ok(Event::Ping(payload)),
        Opcode::Pong => Ok(Event::Pong(payload)),
        Opcode::Close | Opcode::Text | Opcode::Binary => close(payload),
    }
}

fn close(payload: &[u8]) -> Result<Event<'_>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            let (code, reason) = (None, "");
            Ok(Event::Close { code, reason })
        } else {
            Err(Violation::TruncatedCloseCode)
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::InvalidCloseCode(code));
    }
    let reason = str::from_utf8(reason).map_err(|_invalid| Violation::InvalidUtf8)?;
    let code = Some(code);
    Ok(Event::Close { code, reason })
}

/// Checks `payload` from `valid` on and returns up to where it is valid. A
/// character that is cut at the end is an error only when nothing follows.
fn check_utf8(payload: &[u8], valid: usize, fin: bool) -> Result<usize, Violation> {
    match str::from_utf8(payload.get(valid..).unwrap_or_default()) {
        Ok(text) => Ok(valid + text.len()),
        Err(cut) if cut.error_len().is_none() && !fin => Ok(valid + cut.valid_up_to()),
        Err(_) => Err(Violation::InvalidUtf8),
    }
}

/// Applies the mask, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, tail) = payload.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

fn array<const N: usize>(input: &[u8], at: usize) -> Option<[u8; N]> {
    input.get(at..)?.first_chunk().copied()
}

/// The header of an unfragmented server frame with a payload of `len` bytes:
/// the array's first bytes, and how many they are (2, 4 or 10).
#[must_use]
pub const fn header(opcode: Opcode, len: usize) -> ([u8; SERVER_HEADER_MAX], usize) {
    header_from(FIN | opcode.wire(), len)
}

const fn header_from(first: u8, len: usize) -> ([u8; SERVER_HEADER_MAX], usize) {
    // Lossless: usize has at most 64 bits here.
    let [a, b, c, d, e, f, g, h] = (len as u64).to_be_bytes();
    match len {
        0..=CONTROL_PAYLOAD_MAX => ([first, h, 0, 0, 0, 0, 0, 0, 0, 0], 2),
        126..=0xFFFF => ([first, 126, g, h, 0, 0, 0, 0, 0, 0], 4),
        _ => ([first, 127, a, b, c, d, e, f, g, h], SERVER_HEADER_MAX),
    }
}

/// Appends a whole server frame to `out`.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write(out, FIN | opcode.wire(), payload);
}

/// Appends a whole server frame with a compressed message, as
/// [`Deflater`](super::deflate::Deflater) makes it, to `out`. The opcode is
/// [`Opcode::Text`] or [`Opcode::Binary`].
pub fn write_compressed_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write(out, FIN | RSV1 | opcode.wire(), payload);
}

fn write(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    let (head, size) = header_from(first, payload.len());
    out.reserve(size + payload.len());
    out.extend(head.iter().take(size));
    out.extend_from_slice(payload);
}

/// A close frame. The reason is cut to [`CLOSE_REASON_MAX`] bytes at a
/// character boundary.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let (reason, _) = reason.split_at(reason.floor_char_boundary(CLOSE_REASON_MAX));
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    control_frame(Opcode::Close, &payload)
}

/// The answer to [`Event::Close`]: the same code, or none, and no reason.
#[must_use]
pub fn close_answer(code: Option<u16>) -> Vec<u8> {
    match code {
        Some(code) => close_frame(code, ""),
        None => control_frame(Opcode::Close, &[]),
    }
}

/// A pong frame with the payload of the ping it answers (at most
/// [`CONTROL_PAYLOAD_MAX`] bytes; more is cut).
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    control_frame(Opcode::Pong, payload)
}

/// A ping without payload; clients answer it by themselves.
#[must_use]
pub fn ping() -> Vec<u8> {
    control_frame(Opcode::Ping, &[])
}

fn control_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..CONTROL_PAYLOAD_MAX).unwrap_or(payload);
    let mut frame = Vec::new();
    write_frame(&mut frame, opcode, payload);
    frame
}

#[cfg(test)]
mod tests;
