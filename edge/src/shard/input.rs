//! From bytes to commands: reading, WebSocket frames, and what must wait behind a running command.

use std::borrow::Cow;

use super::conn::Phase;
use super::stream::ReadOutcome;
use super::turn::Turn;
use super::{ConnKey, Next};
use crate::transport::websocket::deflate::decompressed_limit;
use crate::transport::websocket::frame::{self, Event};

/// Full buffers that one connection may read in one turn; then others get theirs.
const READS_MAX: usize = 4;

impl Turn<'_> {
    /// Reads what is there and acts on it.
    pub(super) fn input(&mut self, key: ConnKey) -> Next {
        let mut buffer = std::mem::take(&mut self.state.read);
        let mut next = Next::Read;
        for _ in 0..READS_MAX {
            let Some(conn) = self.state.get(key) else {
                next = Next::End;
                break;
            };
            let (count, more) = match conn.stream.try_read(&mut buffer) {
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
        while let Some(conn) = self.state.get_mut(key) {
            if conn.phase != Phase::Open {
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
        let limit = self
            .shard
            .services
            .settings
            .boot
            .websocket
            .message_size_limit as usize;
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
                        && let Next::Call(request) = self.message(key, message)
                    {
                        result = Next::Call(request);
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
        let websocket = &self.shard.services.settings.boot.websocket;
        let limit = decompressed_limit(
            websocket.decompressed_message_size_limit as usize,
            websocket.message_size_limit as usize,
        );
        match self.state.inflater.as_mut()?.inflate(payload, limit) {
            Ok(message) => Some(Cow::Owned(message)),
            Err(error) => {
                tracing::debug!(%error, "a client sent a message that cannot be decompressed");
                self.close_websocket(key, error.close_code(), error.close_reason());
                None
            }
        }
    }

    fn message(&mut self, key: ConnKey, payload: Cow<'_, [u8]>) -> Next {
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
