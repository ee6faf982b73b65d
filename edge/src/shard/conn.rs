//! One client connection: its stream, its queues, its subscriptions, its deadlines.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::session::{Grant, Link, Session};
use crate::transport::Variant;
use crate::transport::websocket::frame::Decoder;

use super::hub::{ChannelId, DeltaState, Kind, Place};
use super::outbox::Outbox;
use super::stream::Stream;
use super::wheel::Tick;

/// No deadline.
pub(super) const NEVER: Tick = Tick::MAX;

/// A connection's place in the slab, safe against reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnKey {
    /// Slab index.
    pub index: u32,
    /// The index's use count when the connection was opened.
    pub generation: u32,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) generation: u32,
    pub(super) stream: Rc<Stream>,
    pub(super) variant: Variant,
    pub(super) link: Link,
    pub(super) phase: Phase,
    /// Commands that wait for an answer.
    pub(super) calls: u32,
    /// Those among them that may become a subscription.
    pub(super) subscribing: u32,
    pub(super) decoder: Decoder,
    pub(super) outbox: Outbox,
    pub(super) session: Session,
    pub(super) subscriptions: Subscriptions,
    pub(super) deadlines: Deadlines,
    /// Input that must wait: absent in an idle connection.
    pub(super) backlog: Option<Box<Backlog>>,
    /// On the dirty list.
    pub(super) dirty: bool,
    /// A drainer task waits for the socket to take more.
    pub(super) draining: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Commands run.
    Open,
    /// As many commands as may wait for their answers; messages are parked.
    Calling,
    /// A connect was refused: nothing is read, and it ends at the deadline.
    Dead(Ending),
    /// The close frame is queued; only the peer's close matters.
    Closing,
}

/// How a refused connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The socket is cut off.
    Cut,
    /// Its time to connect is over first: a close frame says so.
    Stale,
}

/// What was received but not processed yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// A frame that is not complete.
    pub(super) partial: Vec<u8>,
    /// Whole messages behind a command that waits.
    pub(super) parked: VecDeque<Vec<u8>>,
    pub(super) parked_bytes: usize,
}

/// Bytes of messages that may be parked before reading stops.
pub(super) const PARKED_MAX: usize = 64 * 1024;

/// Counted for each parked message beside its bytes: an empty one costs memory too.
const PARKED_ENTRY_BYTES: usize = 64;

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.parked.is_empty()
    }

    pub(super) fn park_back(&mut self, message: Vec<u8>) {
        self.parked_bytes += message.len() + PARKED_ENTRY_BYTES;
        self.parked.push_back(message);
    }

    pub(super) fn park_front(&mut self, message: Vec<u8>) {
        self.parked_bytes += message.len() + PARKED_ENTRY_BYTES;
        self.parked.push_front(message);
    }

    pub(super) fn unpark(&mut self) -> Option<Vec<u8>> {
        let message = self.parked.pop_front()?;
        self.parked_bytes -= message.len() + PARKED_ENTRY_BYTES;
        Some(message)
    }
}

/// A connection's subscriptions: few, so a list searched from the front.
pub(super) type Subscriptions = Vec<Subscription>;

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: ChannelId,
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// What it was granted, unless that is only publications.
    pub(super) grant: Option<Box<Grant>>,
}

/// A connection's deadlines, in wheel ticks; [`NEVER`] = not set.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// The tick of the one wheel entry that counts.
    pub(super) armed: Tick,
    pub(super) ping: Tick,
    /// A pong must be here by then; set means that one is awaited.
    pub(super) pong: Tick,
    /// Not authenticated by then, or expired by then.
    pub(super) end: Tick,
    /// Expiring subscriptions are looked at then.
    pub(super) check: Tick,
}

impl Deadlines {
    pub(super) fn next(&self) -> Tick {
        self.ping.min(self.pong).min(self.end).min(self.check)
    }
}

impl Conn {
    /// Whether more is queued than may be: it is closed as slow at the end of the turn, and gets nothing until then.
    pub(super) fn is_overfull(&self, limit: usize) -> bool {
        self.outbox.bytes() > limit
    }

    pub(super) fn subscription(&self, channel: ChannelId) -> Option<&Subscription> {
        self.subscriptions.iter().find(|it| it.channel == channel)
    }

    pub(super) fn subscription_mut(&mut self, channel: ChannelId) -> Option<&mut Subscription> {
        self.subscriptions
            .iter_mut()
            .find(|it| it.channel == channel)
    }

    /// Adds an opening subscription. Most clients have one: no room for more is taken in advance.
    pub(super) fn open(&mut self, channel: ChannelId, number: u32) {
        if self.subscriptions.is_empty() {
            self.subscriptions.reserve_exact(1);
        }
        self.subscriptions.push(Subscription {
            channel,
            kind: Kind {
                variant: self.variant,
                delta: DeltaState::Off,
                filtered: false,
                joins: false,
            },
            place: Place::Opening(number),
            grant: None,
        });
    }
}
