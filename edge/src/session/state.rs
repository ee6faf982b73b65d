//! A session's states and what each accepts.

use bytes::Bytes;
use tidewire_protocol::{
    ClientInfo, Command, DisconnectCode, Error, ErrorCode, Reply, Request as Wire,
};
use uuid::Uuid;

use super::commands::{connect, publish, refresh, subscribe, unsubscribe};
use super::{Answer, Ctx, Step};

/// A client's session.
#[derive(Debug)]
pub struct Session {
    pub(super) client: Uuid,
    pub(super) phase: Phase,
    /// The command that waits for an answer.
    pub(super) pending: Option<Box<Pending>>,
}

/// How far a session is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Only `connect` is accepted.
    New,
    /// `connect` waits for its answer, or was answered with an error: nothing is accepted.
    Closed,
    /// Authenticated.
    Ready(Box<Identity>),
}

/// Who an authenticated client is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) user: Box<str>,
    /// `conn_info`: raw JSON, or empty.
    pub(super) info: Bytes,
}

/// A command between its request and its answer.
#[derive(Debug)]
pub(super) enum Pending {
    Connect {
        id: u32,
    },
    Refresh {
        id: u32,
    },
    Subscribe {
        id: u32,
        channel: Box<str>,
        recovering: bool,
    },
    Publish {
        id: u32,
    },
}

impl Default for Session {
    fn default() -> Self {
        Self {
            client: Uuid::nil(),
            phase: Phase::New,
            pending: None,
        }
    }
}

impl Session {
    /// A session with a fresh random client id.
    #[must_use]
    pub fn new() -> Self {
        Self {
            client: Uuid::new_v4(),
            ..Self::default()
        }
    }

    /// Whether `connect` succeeded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }

    /// The user of an authenticated client; "" is anonymous.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match &self.phase {
            Phase::Ready(identity) => Some(&identity.user),
            Phase::New | Phase::Closed => None,
        }
    }

    /// Runs one command. The caller has sorted out pongs.
    pub fn handle(&mut self, command: Command, ctx: &mut impl Ctx) -> Step {
        let (id, request) = command.into_request();
        match (&self.phase, request) {
            (Phase::New, Wire::Connect(request)) => connect::handle(self, id, request, ctx),
            (Phase::New | Phase::Closed, _) | (_, Wire::Connect(_) | Wire::Bad | Wire::Pong) => {
                bad_request()
            }
            (_, Wire::Subscribe(request)) => subscribe::handle(self, id, request, ctx),
            (_, Wire::Unsubscribe(request)) => unsubscribe::handle(id, &request, ctx),
            (_, Wire::Publish(request)) => publish::handle(self, id, request, ctx),
            (_, Wire::Refresh(request)) => refresh::handle(self, id, request),
            (
                _,
                Wire::Presence(_)
                | Wire::PresenceStats(_)
                | Wire::History(_)
                | Wire::Rpc(_)
                | Wire::SubRefresh(_),
            ) => refuse(id, ErrorCode::NotAvailable, ctx),
            (_, Wire::Send(_)) => Step::Close(DisconnectCode::NotAvailable.into()),
        }
    }

    /// Finishes the command that waited.
    pub fn resume(&mut self, answer: Answer, ctx: &mut impl Ctx) -> Step {
        let Some(pending) = self.pending.take() else {
            return Step::Idle;
        };
        match (*pending, answer) {
            (Pending::Connect { id }, Answer::Verified(claims)) => {
                connect::verified(self, id, claims, ctx)
            }
            (Pending::Refresh { id }, Answer::Verified(claims)) => {
                refresh::verified(self, id, claims, ctx)
            }
            (
                Pending::Subscribe {
                    id,
                    channel,
                    recovering,
                },
                Answer::Attached(position),
            ) => subscribe::attached(id, &channel, recovering, position, ctx),
            (Pending::Publish { id }, Answer::Published(position)) => {
                publish::published(id, position, ctx)
            }
            (pending, answer) => {
                tracing::error!(?pending, ?answer, "an answer does not fit its command");
                Step::Close(DisconnectCode::Internal.into())
            }
        }
    }

    /// The client as others see it.
    pub(super) fn client_info(&self) -> ClientInfo {
        let (user, conn_info) = match &self.phase {
            Phase::Ready(identity) => (identity.user.to_string(), identity.info.clone()),
            Phase::New | Phase::Closed => (String::new(), Bytes::new()),
        };
        ClientInfo {
            user,
            client: self.client.to_string(),
            conn_info,
            ..ClientInfo::default()
        }
    }
}

/// Breaks the protocol: terminal.
pub(super) fn bad_request() -> Step {
    Step::Close(DisconnectCode::BadRequest.into())
}

/// Answers a command with an error; the session goes on.
pub(super) fn refuse(id: u32, code: ErrorCode, ctx: &mut impl Ctx) -> Step {
    ctx.reply(Reply {
        id,
        error: Some(Error::from(code)),
        ..Reply::default()
    });
    Step::Idle
}
