//! From events and replies to writes: encoding once, dirty connections, vectored writes, slow clients, closing.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use tidewire_protocol::{Disconnect, DisconnectCode, DisconnectReason, Error, Push, Reply, encode};
use tokio::time::{Instant, sleep_until, timeout};

use super::conn::{Conn, Ending, NEVER, Phase};
use super::counters::Counters;
use super::flush::{self, Flush};
use super::outbox::Frame;
use super::stream::Stream;
use super::turn::Turn;
use super::{ConnKey, Shard, State};
use crate::session::Link;
use crate::transport::Variant;
use crate::transport::websocket::frame as websocket;

/// Frames in one system call.
const SLICES: usize = 64;

/// How long the peer may take to answer a close frame; also how long a refused connect stays open.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How far a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    All,
    Blocked,
    Broken,
}

impl Turn<'_> {
    /// Queues a reply.
    pub(super) fn reply(&mut self, key: ConnKey, reply: &Reply) {
        let conn = self.state.get(key);
        // Nothing follows a close frame.
        let conn = conn.filter(|conn| conn.phase != Phase::Closing);
        let Some(variant) = conn.map(|conn| conn.variant) else {
            return;
        };
        if let Some(Error { code, .. }) = &reply.error {
            self.shard.handle.counters.error(*code);
        }
        let mut encoded = std::mem::take(&mut self.state.encoded);
        encoded.clear();
        match encode::reply(variant.encoding, reply, &mut encoded) {
            Ok(()) => {
                let frame = variant.frame(&encoded, self.state.compression.deflater(variant));
                self.push_frame(key, frame);
            }
            Err(error) => {
                tracing::debug!(%error, "a reply does not fit the connection's encoding");
                self.close(key, &DisconnectCode::InappropriateProtocol.into());
            }
        }
        self.state.encoded = encoded;
    }

    /// Queues bytes of this connection alone.
    pub(super) fn push_frame(&mut self, key: ConnKey, bytes: Vec<u8>) {
        self.push(key, Frame::new(bytes));
    }

    /// Queues the close frame.
    fn push_last(&mut self, key: ConnKey, bytes: Vec<u8>) {
        let State { conns, dirty, .. } = &mut *self.state;
        if let Some(conn) = conns.get_mut(key.index as usize) {
            queue(conn, key.index, Frame::new(bytes), dirty);
        }
    }

    /// Queues a shared frame; nothing follows a close frame.
    pub(super) fn push(&mut self, key: ConnKey, frame: Rc<Frame>) {
        let limit = self.shard.services.settings.boot.client.queue_max_size as usize;
        let State { conns, dirty, .. } = &mut *self.state;
        let Some(conn) = conns
            .get_mut(key.index as usize)
            .filter(|conn| conn.generation == key.generation && conn.phase != Phase::Closing)
            .filter(|conn| !conn.is_overfull(limit))
        else {
            return;
        };
        if queue(conn, key.index, frame, dirty) > limit {
            self.closes.push((key, DisconnectCode::Slow));
        }
    }

    /// Closes a connection: what is queued goes out first, then the reason, in the way of the transport.
    pub(super) fn close(&mut self, key: ConnKey, reason: &DisconnectReason) {
        let Some(conn) = self.state.get(key) else {
            return;
        };
        let variant = conn.variant;
        let refused = (!conn.session.is_ready()).then(|| Rc::clone(&conn.stream));
        if !self.begin_closing(key, reason.code) {
            return;
        }
        if let Some(stream) = refused {
            stream.refuse(reason.code, &reason.reason);
        }
        let uni = &self.shard.services.settings.boot.uni_websocket;
        let (pushes, closes) = match (variant.framing.is_websocket(), variant.unidirectional) {
            (true, false) => (false, true),
            (true, true) => (!uni.disable_disconnect_push, !uni.disable_closing_handshake),
            (false, _) => (true, false),
        };
        // "Connection closed", or no code at all, is never said: the stream just ends.
        let is_said = reason.code != 0 && reason.code != DisconnectCode::ConnectionClosed.code();
        if pushes && is_said {
            self.push_disconnect(key, variant, reason);
        }
        let code = u16::try_from(reason.code).unwrap_or_default();
        let has_frame = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
            && reason.reason.len() <= websocket::CLOSE_REASON_MAX;
        if closes && is_said && has_frame {
            self.push_last(key, websocket::close_frame(code, &reason.reason));
        } else if variant.framing.is_websocket() {
            self.cut(key);
        } else {
            self.flush(key);
        }
    }

    /// Queues the push that says why the stream ends.
    fn push_disconnect(&mut self, key: ConnKey, variant: Variant, reason: &DisconnectReason) {
        let push = Push {
            disconnect: Some(Disconnect::from(reason.clone())),
            ..Push::default()
        };
        let reply = Reply {
            push: Some(push),
            ..Reply::default()
        };
        let mut encoded = Vec::new();
        if encode::reply(variant.encoding, &reply, &mut encoded).is_ok() {
            self.push_last(key, variant.frame(&encoded, None));
        }
    }

    /// Closes a WebSocket with a close frame and nothing else.
    pub(super) fn close_websocket(&mut self, key: ConnKey, code: u16, reason: &str) {
        if self.begin_closing(key, u32::from(code)) {
            self.push_last(key, websocket::close_frame(code, reason));
        }
    }

    /// Closes a connection; if its client does not read, its queue is dropped.
    pub(super) fn close_with(&mut self, key: ConnKey, code: DisconnectCode) {
        let conn = self
            .state
            .get_mut(key)
            .filter(|conn| code == DisconnectCode::Slow && conn.phase != Phase::Closing);
        if let Some(conn) = conn {
            conn.outbox.drop_unwritten();
        }
        self.close(key, &code.into());
    }

    /// Closes every connection of the shard.
    pub(super) fn close_all(&mut self, reason: &DisconnectReason) {
        let key = |(index, conn): (usize, &Conn)| ConnKey {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: conn.generation,
        };
        let keys: Vec<ConnKey> = self.state.conns.iter().map(key).collect();
        for key in keys {
            self.close(key, reason);
        }
    }

    /// A refused connect: the reply goes out, nothing is read any more, a socket is cut off later (or closed as
    /// stale, if that comes first). A response ends only as stale.
    pub(super) fn bury(&mut self, key: ConnKey) {
        self.retire(key);
        let now = self.state.wheel.now();
        let cut = now.saturating_add(self.shard.ticks(CLOSE_TIMEOUT));
        if let Some(conn) = self.state.get_mut(key) {
            let stale = conn.deadlines.end;
            let cut = match &*conn.stream {
                Stream::Tcp(_) => cut,
                Stream::Pipe(_) => NEVER,
            };
            conn.phase = Phase::Dead(if stale < cut {
                Ending::Stale
            } else {
                Ending::Cut
            });
            self.state.set_end(key, stale.min(cut));
        }
    }

    /// Ends a connection's stream at once; its driver sees that and removes it.
    pub(super) fn cut(&mut self, key: ConnKey) {
        self.flush(key);
        if let Some(conn) = self.state.get(key) {
            conn.stream.shutdown();
        }
    }

    /// The end of a connection: gives back its place.
    pub(super) fn remove(&mut self, key: ConnKey) {
        self.flush(key);
        self.retire(key);
        if self.state.get(key).is_some() {
            let conn = self.state.conns.remove(key.index as usize);
            if let Link::Emulated(session) = &conn.link {
                self.state.sessions.remove(&**session);
            }
            conn.stream.finish();
            self.shard.handle.counters.connections.sub(1);
        }
    }

    fn begin_closing(&mut self, key: ConnKey, code: u32) -> bool {
        if self
            .state
            .get(key)
            .is_none_or(|conn| conn.phase == Phase::Closing)
        {
            return false;
        }
        self.shard.handle.counters.disconnect(code);
        self.wait_for_end(key);
        true
    }

    /// Nothing more is said to the client: its stream ends soon, or is cut.
    pub(super) fn wait_for_end(&mut self, key: ConnKey) {
        self.retire(key);
        let end = self
            .state
            .wheel
            .now()
            .saturating_add(self.shard.ticks(CLOSE_TIMEOUT));
        if let Some(conn) = self.state.get_mut(key) {
            conn.phase = Phase::Closing;
            conn.deadlines.ping = NEVER;
            conn.deadlines.pong = NEVER;
        }
        self.state.set_end(key, end);
    }

    /// Writes every dirty connection.
    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.state.dirty);
        for key in dirty.drain(..) {
            self.flush(key);
        }
        self.state.dirty = dirty;
    }

    /// Writes what one connection has queued; a drainer takes over if its socket is full.
    fn flush(&mut self, key: ConnKey) {
        let counters = &self.shard.handle.counters;
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        conn.dirty = false;
        if conn.draining {
            return;
        }
        match write(conn, counters) {
            Written::All => {}
            Written::Broken => conn.stream.shutdown(),
            Written::Blocked => {
                conn.draining = true;
                let stream = Rc::clone(&conn.stream);
                if let Some(shard) = super::current() {
                    tokio::task::spawn_local(shard.drain(stream, key));
                }
            }
        }
    }
}

impl Shard {
    /// Writes the dirty connections once per turn of the runtime, or less often on a busy shard.
    pub(super) async fn flusher(self: Rc<Self>) {
        let mut last = Instant::now();
        loop {
            self.dirty.notified().await;
            let (dirty, load) = {
                let state = self.state.borrow();
                (state.dirty.len(), state.load.percent())
            };
            match flush::decide(dirty, load) {
                Flush::Paced(spacing) => sleep_until(last + spacing).await,
                Flush::Inline | Flush::NextTurn => tokio::task::yield_now().await,
            }
            last = Instant::now();
            let mut state = self.state.borrow_mut();
            let mut turn = Turn::new(&self, &mut state);
            turn.flush_dirty();
            turn.worked(last);
            self.handle.counters.flushes.add(1);
        }
    }

    /// Writes one slow connection whenever its socket takes something, until nothing is left.
    async fn drain(self: Rc<Self>, stream: Rc<Stream>, key: ConnKey) {
        let boot = &self.services.settings.boot;
        let variant = self.state.borrow().get(key).map(|conn| conn.variant);
        let is_uni_websocket =
            variant.is_some_and(|it| it.unidirectional && it.framing.is_websocket());
        let patience = if is_uni_websocket {
            &boot.uni_websocket.write_timeout
        } else {
            &boot.websocket.write_timeout
        };
        loop {
            let writable = timeout(patience.get(), stream.writable()).await;
            let mut state = self.state.borrow_mut();
            let Some(conn) = state.get_mut(key) else {
                return;
            };
            let written = match writable {
                Ok(Ok(())) => write(conn, &self.handle.counters),
                Ok(Err(_)) => Written::Broken,
                Err(_) => {
                    // One that is being closed was counted with the code of its close frame.
                    if conn.phase != Phase::Closing {
                        let code = DisconnectCode::WriteError.code();
                        self.handle.counters.disconnect(code);
                    }
                    Written::Broken
                }
            };
            match written {
                Written::Blocked => continue,
                Written::All => conn.draining = false,
                Written::Broken => conn.stream.shutdown(),
            }
            return;
        }
    }
}

/// Puts a frame into a connection's outbox and the connection onto the dirty list; the bytes now queued.
pub(super) fn queue(
    conn: &mut Conn,
    index: u32,
    frame: Rc<Frame>,
    dirty: &mut Vec<ConnKey>,
) -> usize {
    if !conn.dirty && !conn.draining {
        conn.dirty = true;
        dirty.push(ConnKey {
            index,
            generation: conn.generation,
        });
    }
    conn.outbox.push(frame)
}

/// Writes until the outbox is empty or the socket is full.
fn write(conn: &mut Conn, counters: &Counters) -> Written {
    while !conn.outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = conn.outbox.slices(&mut slices);
        let slices = slices.get(..used).unwrap_or_default();
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let count = match conn.stream.try_write_vectored(slices) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Blocked,
            Err(_) => return Written::Broken,
        };
        counters.writes.add(1);
        counters.bytes.add(count as u64);
        counters.frames.add(conn.outbox.advance(count) as u64);
        if count < offered {
            return Written::Blocked;
        }
    }
    if conn.phase == Phase::Closing {
        conn.stream.finish();
    }
    Written::All
}
