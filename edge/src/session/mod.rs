//! One client's session: which commands are allowed when, and what they answer. Synchronous and without I/O.
//!
//! A command either finishes at once, or gives a [`Request`] that somebody awaits; its [`Answer`] comes back
//! through [`Session::resume`]. What a session needs from its surroundings is the [`Ctx`] trait, so tests run
//! it without sockets and without a runtime. Of the broker and the token verifier it knows the values that travel
//! in requests and answers, never the services themselves.

mod commands;
mod grant;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewire_protocol::{ClientInfo, DisconnectReason, ErrorCode, Publication, Reply};
use uuid::Uuid;

use crate::auth::{ConnectClaims, SubscribeClaims, TokenError};
use crate::broker::{
    AttachOptions, Attached, BrokerError, HistoryFilter, HistoryPage, Outcome, PublishOptions,
    StreamOptions,
};
use crate::config::Live;

pub use commands::connect::{LIFETIME_MAX_SECS, ttl};
pub use grant::{Delta, Grant, ServerPlan, Who, with_delta};
pub use state::{Session, Then};

/// Something a session must wait for.
#[derive(Debug)]
pub enum Request {
    /// Verify a connection token.
    Verify {
        /// The JWT.
        token: String,
    },
    /// Verify a subscription token.
    VerifySubscription {
        /// The JWT.
        token: String,
    },
    /// Make a channel's events reach this client's shard.
    Attach {
        /// The channel's full name.
        channel: Box<str>,
        /// Its stream, and what to read of it.
        options: AttachOptions,
    },
    /// Publish for the client.
    Publish {
        /// The channel's full name.
        channel: Box<str>,
        /// What to publish.
        publication: Box<Publication>,
        /// How.
        options: Box<PublishOptions>,
    },
    /// Read a channel's stream.
    History {
        /// The channel's full name.
        channel: Box<str>,
        /// What to read.
        filter: HistoryFilter,
        /// How the stream is kept.
        options: StreamOptions,
    },
    /// Who is in a channel, on all nodes.
    Presence {
        /// The channel's full name.
        channel: Box<str>,
    },
    /// Disconnect every client of a user, on all nodes.
    DisconnectUser {
        /// The user.
        user: Box<str>,
    },
}

impl Request {
    /// Whether it belongs to a subscribe; its answer is [`Answer::Attached`] or [`Answer::VerifiedSubscription`].
    #[must_use]
    pub fn is_of_subscribe(&self) -> bool {
        matches!(self, Self::Attach { .. } | Self::VerifySubscription { .. })
    }

    /// The channel to which it attaches the shard.
    #[must_use]
    pub fn attaches(&self) -> Option<&str> {
        match self {
            Self::Attach { channel, .. } => Some(channel),
            Self::Verify { .. }
            | Self::VerifySubscription { .. }
            | Self::Publish { .. }
            | Self::History { .. }
            | Self::Presence { .. }
            | Self::DisconnectUser { .. } => None,
        }
    }
}

/// The answer to a [`Request`], in the same order.
#[derive(Debug)]
pub enum Answer {
    /// A connection token's claims.
    Verified(Result<Box<ConnectClaims>, TokenError>),
    /// A subscription token's claims.
    VerifiedSubscription(Result<Box<SubscribeClaims>, TokenError>),
    /// The stream's position at the moment of the attach, and what was read.
    Attached(Result<Attached, BrokerError>),
    /// The publication's position.
    Published(Result<Outcome, BrokerError>),
    /// Part of the stream.
    History(Result<HistoryPage, BrokerError>),
    /// Clients by id; `None` if a node could not be asked.
    Presence(Option<BTreeMap<String, ClientInfo>>),
    /// Whether all nodes did it.
    DisconnectedUser(bool),
}

/// A command that waits.
#[derive(Debug)]
pub struct Call {
    /// What for.
    pub request: Box<Request>,
    /// How it goes on with the answer, for [`Session::resume`].
    pub then: Then,
}

/// How a client's commands come, and what follows from that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// On the stream that its replies take.
    Duplex {
        /// The pings are frames of the transport instead of messages.
        frame_pings: bool,
    },
    /// By requests of their own, to the session of this secret id.
    Emulated(Box<Uuid>),
    /// Only `connect` came; the session of this id gets pushes.
    Unidirectional(Box<Uuid>),
}

impl Link {
    /// One stream for both directions, pings by messages.
    pub const PLAIN: Self = Self::Duplex { frame_pings: false };

    /// The session's id, where there is one.
    #[must_use]
    pub fn session(&self) -> Option<Uuid> {
        match self {
            Self::Duplex { .. } => None,
            Self::Emulated(id) | Self::Unidirectional(id) => Some(**id),
        }
    }
}

/// What a command led to.
#[derive(Debug)]
pub enum Step {
    /// It is done; the next one may run.
    Idle,
    /// It waits for an answer.
    Call(Call),
    /// The connection is closed with this reason.
    Close(DisconnectReason),
    /// The connection is unusable after a refused connect: nothing is read any more, and it is cut off later.
    Dead,
    /// The connect of a client that cannot be told an error was refused with this one.
    Refused(ErrorCode),
}

/// How far a channel's subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// Not subscribed.
    No,
    /// The subscribe of this number waits for the broker.
    Opening(u32),
    /// Replied to; publications flow.
    Yes,
}

/// How a subscription goes on.
#[derive(Debug)]
pub enum Settle {
    /// The opening subscription is live; its reply is queued.
    Live(Grant),
    /// A new token for the live subscription was accepted.
    Refreshed(Refreshed),
    /// The time of the live subscription is over, and the client is told: it will come with a new token.
    Expired,
    /// The subscription is over, or never came about.
    Ended,
}

/// What a new token says about a live subscription.
#[derive(Debug)]
pub struct Refreshed {
    /// The client as others see it in this channel.
    pub member: Arc<ClientInfo>,
    /// It ends some time after this, in seconds since the Unix epoch.
    pub expire_at: Option<u64>,
}

/// What a session needs from its shard.
pub trait Ctx {
    /// The configuration: one snapshot for the whole command.
    fn live(&self) -> &Live;
    /// Seconds since the Unix epoch.
    fn unix_time(&self) -> u64;
    /// How its commands come.
    fn link(&self) -> &Link;
    /// The id of this node.
    fn node(&self) -> &str;
    /// Queues a reply.
    fn reply(&mut self, reply: Reply);
    /// The client is authenticated: count it, start its pings, end the stale timer. False if the user has too
    /// many connections; then nothing has changed.
    fn identified(&mut self, user: &str) -> bool;
    /// Closes the connection at this time unless it is moved; `None` = never.
    fn expire_at(&mut self, unix_time: Option<u64>);
    /// How far a channel's subscription is.
    fn subscribed(&self, channel: &str) -> Subscribed;
    /// Subscriptions of this client, opening ones included.
    fn subscriptions(&self) -> usize;
    /// What a live subscription was granted, unless that is only publications.
    fn grant(&self, channel: &str) -> Option<&Grant>;
    /// Registers an opening subscription; its number, which none that opened lately has.
    fn open(&mut self, channel: &str) -> u32;
    /// Settles an opening subscription, or changes or ends a live one.
    fn settle(&mut self, channel: &str, to: Settle);
}
