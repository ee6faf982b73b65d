//! A shard: one thread with its own runtime, its connections, its part of the hub and its timers.
//!
//! Rules:
//! - Every entry point borrows the state once and awaits nothing while it is borrowed; code below an entry
//!   point gets `&mut State` and never calls out.
//! - Drivers wait, the shard acts: an entry point tells the driver what is next.
//! - A publication is encoded once per variant, and its frame is shared by all connections it goes to.
//! - Nothing is written where it is queued: connections become dirty, and `flush.rs` decides when they are
//!   written.

pub mod ask;
pub mod counters;
pub mod flush;
pub mod hub;
pub mod inbox;
pub mod outbox;
pub mod pipe;
pub mod stream;
pub mod wheel;

mod commands;
mod compress;
mod conn;
mod ctx;
mod driver;
mod fanout;
mod input;
mod output;
mod run;
mod timers;
mod turn;
mod users;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use slab::Slab;
use tidewire_protocol::DisconnectReason;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::ShardId;
use crate::services::Services;
use crate::session::{Answer, Call, Link, Session, Then};
use crate::transport::websocket::frame::Decoder;
use crate::transport::{Framing, Variant};

use compress::Compression;
pub use conn::ConnKey;
use conn::{Backlog, Conn, Deadlines, NEVER, Phase};
use counters::Counters;
use flush::Load;
use hub::Hub;
use inbox::{Event, Inbox};
use outbox::Frame;
use stream::Stream;
use users::Users;
use wheel::Wheel;

/// Bytes read at once, into one buffer per shard.
const READ_BYTES: usize = 64 * 1024;

/// What a driver does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Wait until the stream is readable.
    Read,
    /// Await the answer to this, and see what is next meanwhile.
    Call(Call),
    /// The connection is over.
    End,
}

/// A client whose handshake or request was accepted.
#[derive(Debug)]
pub struct Arrival {
    /// Where its bytes go.
    pub stream: Stream,
    /// How its messages look.
    pub variant: Variant,
    /// How its commands come.
    pub link: Link,
    /// The user that a trusted header of the request names.
    pub user: Option<Box<str>>,
    /// The first message, where it came with the request.
    pub message: Option<Vec<u8>>,
    /// Bytes that were received behind a WebSocket handshake.
    pub received: Vec<u8>,
}

/// What a shard shares with other threads.
#[derive(Debug, Default)]
pub struct Handle {
    /// Its queue.
    pub inbox: Inbox,
    /// Its figures.
    pub counters: Counters,
    /// Sockets that were handed to it and that it has not taken yet.
    pub handed: AtomicU64,
}

/// A shard, seen from its own thread.
#[derive(Debug)]
pub struct Shard {
    pub(crate) id: ShardId,
    pub(crate) handle: Arc<Handle>,
    pub(crate) services: Services,
    state: RefCell<State>,
    /// Wakes the flusher.
    dirty: Notify,
    tick: Duration,
}

#[derive(Debug)]
struct State {
    conns: Slab<Conn>,
    generation: u32,
    /// Subscriptions ever opened.
    openings: u32,
    hub: Hub,
    wheel: Wheel,
    dirty: Vec<ConnKey>,
    /// Connections by user.
    users: Users,
    /// Emulated connections by session id.
    sessions: HashMap<Uuid, ConnKey>,
    read: Vec<u8>,
    /// The node shuts down: who still comes is closed with this.
    closing: Option<DisconnectReason>,
    compression: Compression,
    encoded: Vec<u8>,
    /// The pings that were sent before: few, so a list.
    pings: Vec<(timers::Pings, Rc<Frame>)>,
    load: Load,
    window: Instant,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
}

/// The shard of this thread.
#[must_use]
pub fn current() -> Option<Rc<Shard>> {
    CURRENT.with_borrow(Clone::clone)
}

impl Shard {
    /// Makes a shard the one of this thread.
    #[must_use]
    pub fn install(id: ShardId, handle: Arc<Handle>, services: Services) -> Rc<Self> {
        let tick = timers::tick(&services.settings.boot.client);
        let compression = Compression::new(&services.settings.boot);
        let state = State {
            conns: Slab::new(),
            generation: 0,
            openings: 0,
            hub: Hub::default(),
            wheel: Wheel::default(),
            dirty: Vec::new(),
            users: Users::default(),
            sessions: HashMap::new(),
            read: vec![0; READ_BYTES],
            closing: None,
            compression,
            encoded: Vec::new(),
            pings: Vec::new(),
            load: Load::default(),
            window: Instant::now(),
        };
        let shard = Rc::new(Self {
            id,
            handle,
            services,
            state: RefCell::new(state),
            dirty: Notify::new(),
            tick,
        });
        CURRENT.set(Some(Rc::clone(&shard)));
        shard
    }

    /// Starts the shard's own tasks: inbox, flusher, wheel. They end with `stop`.
    ///
    /// `serve` is given the accepted sockets.
    pub fn start(self: &Rc<Self>, stop: &CancellationToken, serve: impl Fn(Event) + 'static) {
        let spawn = |future: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
            let stop = stop.clone();
            tokio::task::spawn_local(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = future => {}
                }
            });
        };
        spawn(Box::pin(Rc::clone(self).pump(serve)));
        spawn(Box::pin(Rc::clone(self).flusher()));
        spawn(Box::pin(Rc::clone(self).ticker()));
    }

    async fn pump(self: Rc<Self>, serve: impl Fn(Event)) {
        let mut batch = Vec::new();
        loop {
            self.handle.inbox.filled().await;
            self.handle.inbox.take(&mut batch);
            let sockets = self.process(&mut batch);
            for socket in sockets {
                serve(socket);
            }
        }
    }

    /// Takes over a client and starts its driver.
    pub fn accept(self: &Rc<Self>, arrival: Arrival) {
        let (key, stream) = {
            let mut state = self.state.borrow_mut();
            let variant = arrival.variant;
            let (key, stream) = state.insert(arrival);
            let due = state.wheel.now().saturating_add(
                self.ticks(self.services.settings.boot.client.stale_close_delay.get()),
            );
            state.set_end(key, due);
            self.handle.counters.connections.add(1);
            self.handle.counters.accept(variant);
            (key, stream)
        };
        let closing = self.state.borrow().closing.clone();
        if let Some(reason) = closing {
            self.turn(|turn| turn.close(key, &reason));
        }
        tokio::task::spawn_local(driver::drive(Rc::clone(self), stream, key));
    }

    /// Input that was received already: with the handshake, or behind a command that waits.
    pub(crate) fn received(&self, key: ConnKey) -> Next {
        self.enter(key, |turn, key| turn.input_parked(key))
    }

    /// The stream is readable.
    pub(crate) fn readable(&self, key: ConnKey) -> Next {
        self.enter(key, |turn, key| turn.input(key))
    }

    /// An answer is here.
    pub(crate) fn resume(&self, key: ConnKey, then: Then, answer: Answer) -> Next {
        self.enter(key, |turn, key| turn.resume(key, then, answer))
    }

    /// The broker was asked to attach these channels and asks no more: whoever wanted one may have given it up.
    pub(crate) fn attached(&self, channels: &[Arc<str>]) {
        let state = self.state.borrow();
        for channel in channels {
            if state.hub.id(channel).is_none() {
                self.services.broker.detach(channel, self.id);
            }
        }
    }

    /// A new session's id: random, but for the number of the shard that has it.
    #[must_use]
    pub fn session_id(&self) -> Uuid {
        let mut bytes = Uuid::new_v4().into_bytes();
        let [first, ..] = &mut bytes;
        *first = u8::try_from(self.id).unwrap_or_default();
        Uuid::from_bytes(bytes)
    }

    /// Whether a driver that awaits an answer may read on.
    pub(crate) fn may_read(&self, key: ConnKey) -> bool {
        let state = self.state.borrow();
        state.get(key).is_some_and(|conn| {
            conn.backlog
                .as_ref()
                .is_none_or(|backlog| backlog.parked_bytes < conn::PARKED_MAX)
        })
    }

    /// The connection is over: its subscriptions end, its memory is given back.
    pub(crate) fn remove(&self, key: ConnKey) {
        let mut state = self.state.borrow_mut();
        let mut turn = turn::Turn::new(self, &mut state);
        turn.remove(key);
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.borrow().conns.len()
    }

    fn enter(&self, key: ConnKey, act: impl FnOnce(&mut turn::Turn<'_>, ConnKey) -> Next) -> Next {
        self.turn(|turn| act(turn, key))
    }

    /// One turn: the state is borrowed for its length, and what became dirty is written at its end.
    fn turn<R>(&self, act: impl FnOnce(&mut turn::Turn<'_>) -> R) -> R {
        let began = Instant::now();
        let mut state = self.state.borrow_mut();
        let mut turn = turn::Turn::new(self, &mut state);
        let result = act(&mut turn);
        turn.finish(began);
        result
    }

    /// Handles a batch of the inbox and returns the sockets in it, which need the HTTP layer.
    fn process(&self, batch: &mut Vec<Event>) -> Vec<Event> {
        let began = Instant::now();
        let mut sockets = Vec::new();
        let mut state = self.state.borrow_mut();
        let mut turn = turn::Turn::new(self, &mut state);
        for event in batch.drain(..) {
            match event {
                Event::Delivery(delivery) => turn.deliver(&delivery),
                Event::Emulated(session, commands) => turn.emulated(session, commands),
                Event::Socket(..) => {
                    turn.shard.handle.handed.fetch_sub(1, Ordering::Relaxed);
                    sockets.push(event);
                }
                Event::Ask(ask, reply) => {
                    if reply.send(turn.told(&ask)).is_err() {
                        tracing::debug!("whoever asked a shard has gone");
                    }
                }
                Event::CloseAll(reason) => {
                    turn.close_all(&reason);
                    turn.state.closing = Some(reason);
                }
            }
        }
        turn.finish(began);
        sockets
    }

    fn ticks(&self, duration: Duration) -> wheel::Tick {
        timers::ticks(duration, self.tick)
    }
}

impl State {
    fn insert(&mut self, arrival: Arrival) -> (ConnKey, Rc<Stream>) {
        let Arrival {
            stream,
            variant,
            link,
            user,
            message,
            received,
        } = arrival;
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let backlog = (message.is_some() || !received.is_empty()).then(|| {
            let mut backlog = Box::new(Backlog {
                partial: received,
                ..Backlog::default()
            });
            if let Some(message) = message {
                backlog.park_back(message);
            }
            backlog
        });
        let decoder = match variant.framing {
            Framing::WebSocketDeflate => Decoder::default().allow_compressed(),
            Framing::WebSocket | Framing::HttpStream | Framing::Sse => Decoder::default(),
        };
        let stream = Rc::new(stream);
        let session_id = match &link {
            Link::Emulated(id) => Some(**id),
            Link::Duplex { .. } | Link::Unidirectional(_) => None,
        };
        let conn = Conn {
            generation,
            stream: Rc::clone(&stream),
            variant,
            link,
            phase: Phase::Open,
            calls: 0,
            subscribing: 0,
            decoder,
            outbox: Default::default(),
            session: Session::new(variant.encoding, user),
            subscriptions: Vec::new(),
            deadlines: Deadlines {
                armed: NEVER,
                ping: NEVER,
                pong: NEVER,
                end: NEVER,
                check: NEVER,
            },
            backlog,
            dirty: false,
            draining: false,
        };
        let index = u32::try_from(self.conns.insert(conn)).unwrap_or(u32::MAX);
        let key = ConnKey { index, generation };
        if let Some(id) = session_id {
            self.sessions.insert(id, key);
        }
        (key, stream)
    }

    fn get(&self, key: ConnKey) -> Option<&Conn> {
        self.conns
            .get(key.index as usize)
            .filter(|conn| conn.generation == key.generation)
    }

    fn get_mut(&mut self, key: ConnKey) -> Option<&mut Conn> {
        self.conns
            .get_mut(key.index as usize)
            .filter(|conn| conn.generation == key.generation)
    }
}
