//! From bytes to commands: reading, WebSocket frames, and what must wait behind a running command.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use tidewire_protocol::DisconnectCode;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::conn::{NEVER, Phase};
use super::pipe::{Message, Pipe};
use super::stream::{self, ReadOutcome, Stream};
use super::turn::Turn;
use super::{ConnKey, Next};
use crate::session::Link;
use crate::transport::Variant;
use crate::transport::websocket::frame::{self, Event};

/// Full buffers, or messages, that one connection may read in one turn; then others get theirs.
const READS_MAX: usize = 4;

impl Turn<'_> {
    /// Reads what is there and acts on it.
    pub(super) fn input(&mut self, key: ConnKey) -> Next {
        let Some(conn) = self.state.get(key) else {
            return Next::End;
        };
        match &*Rc::clone(&conn.stream) {
            Stream::Tcp(socket) => self.input_bytes(key, socket),
            Stream::Pipe(pipe) => self.input_messages(key, pipe),
        }
    }

    /// Hands commands that came by a request of their own to the connection with this session, if it is here.
    pub(super) fn emulated(&mut self, session: Uuid, commands: Bytes) {
        let Some(key) = self.state.sessions.get(&session).copied() else {
            return;
        };
        let Some(conn) = self.state.get(key) else {
            return;
        };
        // The driver wakes and reads it.
        if let Stream::Pipe(pipe) = &*conn.stream
            && pipe.feed(commands).is_err()
        {
            self.close(key, &DisconnectCode::TooManyRequests.into());
        }
    }

    fn input_messages(&mut self, key: ConnKey, pipe: &Pipe) -> Next {
        for _ in 0..READS_MAX {
            let next = match pipe.read() {
                Message::Some(message) => self.message(key, Cow::Borrowed(&message)),
                Message::Empty => break,
                Message::Ended => Next::End,
            };
            if !matches!(next, Next::Read) {
                return next;
            }
        }
        Next::Read
    }

    fn input_bytes(&mut self, key: ConnKey, socket: &TcpStream) -> Next {
        let mut buffer = std::mem::take(&mut self.state.read);
        let mut next = Next::Read;
        for _ in 0..READS_MAX {
            let (count, more) = match stream::try_read(socket, &mut buffer) {
                ReadOutcome::More(count) => (count, true),
                ReadOutcome::Last(count) => (count, false),
                ReadOutcome::Empty => break,
                ReadOutcome::Ended => {
                    next = Next::End;
                    break;
                }
            };
            next = self.received(key, buffer.get_mut(..count).unwrap_or_default());
            if !more || !matches!(next, Next::Read) {
                break;
            }
        }
        self.state.read = buffer;
        next
    }

    /// Goes on with what was received earlier: parked messages, then the beginning of a frame.
    pub(super) fn input_parked(&mut self, key: ConnKey) -> Next {
        let limit = self.shard.services.settings.boot.client.queue_max_size as usize;
        while let Some(conn) = self.state.get_mut(key) {
            if conn.phase == Phase::Calling
                && let Some(backlog) = &mut conn.backlog
                && !backlog.partial.is_empty()
            {
                // Messages are parked behind the others, but control frames must not wait for an answer.
                let mut partial = std::mem::take(&mut backlog.partial);
                return self.frames(key, &mut partial);
            }
            if conn.phase != Phase::Open || conn.is_overfull(limit) {
                return Next::Read;
            }
            let Some(backlog) = &mut conn.backlog else {
                return Next::Read;
            };
            let Some(message) = backlog.unpark() else {
                let mut partial = std::mem::take(&mut backlog.partial);
                conn.backlog = None;
                return if partial.is_empty() {
                    Next::Read
                } else {
                    self.frames(key, &mut partial)
                };
            };
            let next = self.run(key, &message);
            if !matches!(next, Next::Read) {
                return next;
            }
        }
        Next::End
    }

    fn received(&mut self, key: ConnKey, bytes: &mut [u8]) -> Next {
        let Some(conn) = self.state.get_mut(key) else {
            return Next::End;
        };
        if matches!(conn.phase, Phase::Dead(_)) {
            return Next::Read;
        }
        let Some(backlog) = conn
            .backlog
            .as_mut()
            .filter(|backlog| !backlog.partial.is_empty())
        else {
            return self.frames(key, bytes);
        };
        backlog.partial.extend_from_slice(bytes);
        let mut partial = std::mem::take(&mut backlog.partial);
        self.frames(key, &mut partial)
    }

    /// Decodes frames and runs, or parks, their messages. An incomplete frame is kept.
    fn frames(&mut self, key: ConnKey, bytes: &mut [u8]) -> Next {
        let Some(variant) = self.state.get(key).map(|conn| conn.variant) else {
            return Next::End;
        };
        let limit = self.message_limits(variant).0;
        let Some(conn) = self.state.get_mut(key) else {
            return Next::End;
        };
        let mut decoder = std::mem::take(&mut conn.decoder);
        let mut at = 0;
        let mut result = Next::Read;
        while let Some(rest) = bytes.get_mut(at..) {
            let event = match decoder.decode(rest, limit) {
                Ok((consumed, event)) => {
                    at += consumed;
                    event
                }
                Err(violation) => {
                    tracing::debug!(%violation, "a client broke the WebSocket protocol");
                    self.close_websocket(key, violation.close_code(), "");
                    return result;
                }
            };
            self.heard(key, &event);
            match event {
                Event::Incomplete => break,
                Event::Message {
                    payload,
                    compressed,
                    ..
                } => {
                    let message = if compressed {
                        self.inflate(key, &payload)
                    } else {
                        Some(payload)
                    };
                    if let Some(message) = message
                        && let Next::Call(call) = self.message(key, message)
                    {
                        result = Next::Call(call);
                        // More commands may run: the driver comes back for them, behind the rest of this message.
                        let conn = self.state.get(key);
                        if conn.is_some_and(|conn| conn.phase == Phase::Open) {
                            break;
                        }
                    }
                }
                Event::Ping(payload) => {
                    let pong = frame::pong(payload);
                    self.push_frame(key, pong);
                }
                Event::Pong(_) => {}
                Event::Close { code, .. } => {
                    // To a close of ours it is the answer, and gets none.
                    let conn = self.state.get(key);
                    if conn.is_some_and(|conn| conn.phase != Phase::Closing) {
                        self.push_frame(key, frame::close_answer(code));
                    }
                    // What the client asked for before it left is still done.
                    if let Next::Call(_) = result {
                        self.wait_for_end(key);
                        return result;
                    }
                    return Next::End;
                }
            }
        }
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some(conn) = self.state.get_mut(key) {
            conn.decoder = decoder;
            if !rest.is_empty() && !matches!(conn.phase, Phase::Dead(_)) {
                conn.backlog.get_or_insert_default().partial = rest.to_vec();
            } else if conn
                .backlog
                .as_ref()
                .is_some_and(|backlog| backlog.is_empty())
            {
                conn.backlog = None;
            }
        }
        result
    }

    /// Decompresses a message; `None` closes the connection.
    fn inflate(&mut self, key: ConnKey, payload: &[u8]) -> Option<Cow<'static, [u8]>> {
        let limit = self.message_limits(self.state.get(key)?.variant).1;
        match self.state.compression.inflater()?.inflate(payload, limit) {
            Ok(message) => Some(Cow::Owned(message)),
            Err(error) => {
                tracing::debug!(%error, "a client sent a message that cannot be decompressed");
                self.close_websocket(key, error.close_code(), error.close_reason());
                None
            }
        }
    }

    /// Where pings are frames, their pongs are too; a debug tool may also send anything else.
    fn heard(&mut self, key: ConnKey, event: &Event<'_>) {
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        let is_alive = match conn.link {
            Link::Duplex { frame_pings } => frame_pings,
            Link::Unidirectional(_) => matches!(event, Event::Pong(_)),
            Link::Emulated(_) => false,
        };
        if is_alive && !matches!(event, Event::Incomplete) {
            conn.deadlines.pong = NEVER;
        }
    }

    /// The size limits of a message as received and after decompression.
    fn message_limits(&self, variant: Variant) -> (usize, usize) {
        let boot = &self.shard.services.settings.boot;
        let (received, decompressed) = if variant.unidirectional {
            let uni = &boot.uni_websocket;
            (uni.message_size_limit, uni.decompressed_limit())
        } else {
            let both = &boot.websocket;
            (both.message_size_limit, both.decompressed_limit())
        };
        (received as usize, decompressed as usize)
    }

    fn message(&mut self, key: ConnKey, payload: Cow<'_, [u8]>) -> Next {
        if self.is_closing(key) {
            return Next::Read;
        }
        let Some(conn) = self.state.get_mut(key) else {
            return Next::End;
        };
        match conn.phase {
            Phase::Open => self.run(key, &payload),
            Phase::Calling => {
                conn.backlog
                    .get_or_insert_default()
                    .park_back(payload.into_owned());
                Next::Read
            }
            Phase::Dead(_) | Phase::Closing => Next::Read,
        }
    }
}
