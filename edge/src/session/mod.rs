//! One client's session: which commands are allowed when, and what they answer. Synchronous and without I/O.
//!
//! A command either finishes at once, or gives a [`Request`] that somebody awaits; its [`Answer`] comes back
//! through [`Session::resume`]. What a session needs from its surroundings is the [`Ctx`] trait, so tests run
//! it without sockets and without a runtime.

mod commands;
mod state;
#[cfg(test)]
mod tests;

use tidewire_config::Config;
use tidewire_protocol::{DisconnectReason, Publication, Reply};

use crate::auth::{ConnectClaims, TokenError};
use crate::broker::{BrokerError, Position};
use crate::config::Live;

pub use state::Session;

/// Something a session must wait for.
#[derive(Debug)]
pub enum Request {
    /// Verify a connection token.
    Verify {
        /// The JWT.
        token: String,
    },
    /// Make a channel's publications reach this client's shard.
    Attach {
        /// The channel's full name.
        channel: Box<str>,
    },
    /// Publish for the client.
    Publish {
        /// The channel's full name.
        channel: Box<str>,
        /// What to publish.
        publication: Box<Publication>,
    },
}

/// The answer to a [`Request`], in the same order.
#[derive(Debug)]
pub enum Answer {
    /// The token's claims.
    Verified(Result<Box<ConnectClaims>, TokenError>),
    /// The stream's position at the moment of the attach.
    Attached(Result<Position, BrokerError>),
    /// The publication's position.
    Published(Result<Position, BrokerError>),
}

/// What a command led to.
#[derive(Debug)]
pub enum Step {
    /// It is done; the next one may run.
    Idle,
    /// It waits; no other command of this session runs until its answer is here.
    Call(Box<Request>),
    /// The connection is closed with this reason.
    Close(DisconnectReason),
    /// The connection is unusable after a refused connect: nothing is read any more, and it is cut off later.
    Dead,
}

/// How far a channel's subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// Not subscribed.
    No,
    /// A subscribe waits for the broker.
    Opening,
    /// Replied to; publications flow.
    Yes,
}

/// What a session needs from its shard.
pub trait Ctx {
    /// The live configuration: one snapshot for the whole command.
    fn live(&self) -> &Live;
    /// The configuration that this process started with.
    fn boot(&self) -> &Config;
    /// Seconds since the Unix epoch.
    fn unix_time(&self) -> u64;
    /// Queues a reply.
    fn reply(&mut self, reply: Reply);
    /// The client is authenticated: count it, start its pings, end the stale timer.
    fn identified(&mut self, user: &str);
    /// Closes the connection at this time unless it is moved; `None` = never.
    fn expire_at(&mut self, unix_time: Option<u64>);
    /// How far a channel's subscription is.
    fn subscribed(&self, channel: &str) -> Subscribed;
    /// Subscriptions of this client, opening ones included.
    fn subscriptions(&self) -> usize;
    /// Registers an opening subscription.
    fn open(&mut self, channel: &str);
    /// Settles an opening subscription: live after its reply is queued, or given up; or ends a live one.
    fn settle(&mut self, channel: &str, to: Subscribed);
}
