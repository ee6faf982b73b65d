//! From messages to bytes.
//!
//! Every function appends one message with its own delimiting: in Protobuf the length comes
//! first, in JSON the object stands alone and whoever builds the frame joins with
//! [`Encoding::separator`]. After an error the buffer is as it was.
//!
//! [`publication`], [`join`] and [`leave`] write the pushes that are sent to many; they yield the
//! same bytes as [`reply`] with that push, without building it first.

use prost::encoding::{encode_varint, encoded_len_varint};
use serde::Serialize;
use thiserror::Error;

use crate::codes::DisconnectCode;
use crate::encoding::Encoding;
use crate::json;
use crate::messages::{ClientInfo, Command, Join, Leave, Publication, Push, Reply};
use crate::raw;

/// Why a message cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A payload is not JSON, but the connection speaks JSON.
    #[error("payload is not JSON on a JSON connection")]
    PayloadNotJson,
}

impl EncodeError {
    /// How the connection ends that cannot get the message.
    #[must_use]
    pub const fn disconnect(self) -> DisconnectCode {
        match self {
            Self::PayloadNotJson => DisconnectCode::InappropriateProtocol,
        }
    }
}

/// Appends a reply, or a push in its reply.
///
/// # Errors
/// [`EncodeError::PayloadNotJson`]: close the connection with its code.
pub fn reply(encoding: Encoding, reply: &Reply, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    message(encoding, reply, out)
}

/// Appends a bare push, as unidirectional clients get it.
///
/// # Errors
/// [`EncodeError::PayloadNotJson`]: close the connection with its code.
pub fn push(encoding: Encoding, push: &Push, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    message(encoding, push, out)
}

/// The bare push in one message that [`reply`], [`publication`], [`join`] or [`leave`] wrote, delimited as the
/// message was; the same bytes as [`push`] writes. A message that is no push is returned as it is.
#[must_use]
pub fn bare_push(encoding: Encoding, message: &[u8]) -> &[u8] {
    let push = match encoding {
        Encoding::Json => message
            .strip_prefix(br#"{"push":"#)
            .and_then(|rest| rest.strip_suffix(b"}")),
        Encoding::Protobuf => {
            let length = message.iter().position(|byte| byte & 0x80 == 0);
            length
                .and_then(|last| message.get(last + 1..))
                .and_then(|reply| reply.strip_prefix(&[REPLY_PUSH]))
        }
    };
    push.unwrap_or(message)
}

/// Appends a command, as a client does.
///
/// # Errors
/// [`EncodeError::PayloadNotJson`]: the command cannot be sent in JSON.
pub fn command(
    encoding: Encoding,
    command: &Command,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    message(encoding, command, out)
}

fn message<T>(encoding: Encoding, message: &T, out: &mut Vec<u8>) -> Result<(), EncodeError>
where
    T: prost::Message + Serialize,
{
    match encoding {
        Encoding::Json => whole(out, |out| {
            json::write(message, out).map_err(|_not_json| EncodeError::PayloadNotJson)
        }),
        Encoding::Protobuf => {
            delimited(message, out);
            Ok(())
        }
    }
}

/// Runs `write`; if it fails, the buffer is as before.
fn whole(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write(out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends the length and the message. (prost can fail here only for lack of room, and a vector
/// has always room; so the infallible parts are used.)
fn delimited(message: &impl prost::Message, out: &mut Vec<u8>) {
    let length = message.encoded_len();
    out.reserve(length.saturating_add(10));
    encode_varint(length as u64, out);
    message.encode_raw(out);
}

/// Appends the push of a publication: `{"push":{"channel":…,"pub":{…}}}`.
///
/// # Errors
/// [`EncodeError::PayloadNotJson`]: close the connections that speak JSON with its code.
pub fn publication(
    encoding: Encoding,
    channel: &str,
    publication: &Publication,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match encoding {
        Encoding::Json => channel_push_json(channel, "pub", out, |out| {
            publication_json(publication, out)
        }),
        Encoding::Protobuf => {
            channel_push_protobuf(channel, PUB, publication, out);
            Ok(())
        }
    }
}

/// Appends the push that somebody subscribed: `{"push":{"channel":…,"join":{"info":{…}}}}`.
///
/// # Errors
/// [`EncodeError::PayloadNotJson`]: close the connections that speak JSON with its code.
pub fn join(
    encoding: Encoding,
    channel: &str,
    join: &Join,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match encoding {
        Encoding::Json => channel_push_json(channel, "join", out, |out| {
            presence_json(join.info.as_ref(), out)
        }),
        Encoding::Protobuf => {
            channel_push_protobuf(channel, JOIN, join, out);
            Ok(())
        }
    }
}

/// Appends the push that somebody's subscription ended:
/// `{"push":{"channel":…,"leave":{"info":{…}}}}`.
///
/// # Errors
/// [`EncodeError::PayloadNotJson`]: close the connections that speak JSON with its code.
pub fn leave(
    encoding: Encoding,
    channel: &str,
    leave: &Leave,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match encoding {
        Encoding::Json => channel_push_json(channel, "leave", out, |out| {
            presence_json(leave.info.as_ref(), out)
        }),
        Encoding::Protobuf => {
            channel_push_protobuf(channel, LEAVE, leave, out);
            Ok(())
        }
    }
}

// Keys of length-delimited Protobuf fields: number << 3 | 2. Each is one byte.
const REPLY_PUSH: u8 = 4 << 3 | 2;
const PUSH_CHANNEL: u8 = 2 << 3 | 2;
const PUB: u8 = 4 << 3 | 2;
const JOIN: u8 = 5 << 3 | 2;
const LEAVE: u8 = 6 << 3 | 2;

/// Length of a length-delimited field: its key, its length and its content.
const fn field_len(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

/// The lengths are all known before the first byte is written, so nothing is written twice.
fn channel_push_protobuf(channel: &str, key: u8, message: &impl prost::Message, out: &mut Vec<u8>) {
    let message_len = message.encoded_len();
    let channel_len = if channel.is_empty() {
        0
    } else {
        field_len(channel.len())
    };
    let push_len = channel_len + field_len(message_len);
    let reply_len = field_len(push_len);

    out.reserve(reply_len.saturating_add(10));
    encode_varint(reply_len as u64, out);
    out.push(REPLY_PUSH);
    encode_varint(push_len as u64, out);
    if !channel.is_empty() {
        out.push(PUSH_CHANNEL);
        encode_varint(channel.len() as u64, out);
        out.extend_from_slice(channel.as_bytes());
    }
    out.push(key);
    encode_varint(message_len as u64, out);
    message.encode_raw(out);
}

fn channel_push_json(
    channel: &str,
    name: &str,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    whole(out, |out| {
        out.extend_from_slice(b"{\"push\":{");
        if !channel.is_empty() {
            out.extend_from_slice(b"\"channel\":");
            json::write_str(channel, out);
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        body(out)?;
        out.extend_from_slice(b"}}");
        Ok(())
    })
}

fn publication_json(publication: &Publication, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut object = Object::begin(out);
    object.payload("data", &publication.data)?;
    if let Some(info) = &publication.info {
        client_info_json(info, object.key("info"))?;
    }
    object.u64("offset", publication.offset);
    if !publication.tags.is_empty() {
        let mut tags = Object::begin(object.key("tags"));
        for (key, value) in &publication.tags {
            tags.escaped_key(key);
            json::write_str(value, tags.out);
        }
        tags.end();
    }
    object.flag("delta", publication.delta);
    object.i64("time", publication.time);
    object.text("channel", &publication.channel);
    object.text("key", &publication.key);
    object.flag("removed", publication.removed);
    object.i64("score", publication.score);
    object.text("epoch", &publication.epoch);
    object.payload("prev_data", &publication.prev_data)?;
    object.u64("version", publication.version);
    object.end();
    Ok(())
}

fn presence_json(info: Option<&ClientInfo>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut object = Object::begin(out);
    if let Some(info) = info {
        client_info_json(info, object.key("info"))?;
    }
    object.end();
    Ok(())
}

fn client_info_json(info: &ClientInfo, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut object = Object::begin(out);
    json::write_str(&info.user, object.key("user"));
    json::write_str(&info.client, object.key("client"));
    object.payload("conn_info", &info.conn_info)?;
    object.payload("chan_info", &info.chan_info)?;
    object.end();
    Ok(())
}

/// A JSON object being written. Zero values are left out, except after [`Object::key`].
struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn comma(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    /// Writes a name that needs no escapes; the value goes to the buffer returned.
    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn escaped_key(&mut self, name: &str) {
        self.comma();
        json::write_str(name, self.out);
        self.out.push(b':');
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.key(name).extend_from_slice(b"true");
        }
    }

    fn u64(&mut self, name: &str, value: u64) {
        if value != 0 {
            json::write_u64(value, self.key(name));
        }
    }

    fn i64(&mut self, name: &str, value: i64) {
        if value != 0 {
            json::write_i64(value, self.key(name));
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            json::write_str(value, self.key(name));
        }
    }

    fn payload(&mut self, name: &str, value: &[u8]) -> Result<(), EncodeError> {
        if value.is_empty() {
            return Ok(());
        }
        let value = raw::parse(value).ok_or(EncodeError::PayloadNotJson)?;
        let out = self.key(name);
        out.extend_from_slice(&raw::without_newlines(value.get().as_bytes()));
        Ok(())
    }
}
