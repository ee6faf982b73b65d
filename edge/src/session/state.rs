//! A session's states and what each accepts.

use bytes::Bytes;
use tidewire_protocol::{
    ClientInfo, Command, DisconnectCode, Encoding, Error, ErrorCode, Reply, Request as Wire,
};
use uuid::Uuid;

use super::commands::{
    connect, history, presence, publish, refresh, rpc, sub_refresh, subscribe, unsubscribe,
};
use super::{Answer, Call, Ctx, Request, Step, Who};

/// A client's session.
#[derive(Debug)]
pub struct Session {
    pub(super) client: Uuid,
    pub(super) encoding: Encoding,
    pub(super) phase: Phase,
}

/// How a command goes on once its answer is here.
#[derive(Debug)]
pub struct Then(Box<Pending>);

/// How far a session is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Only `connect` is accepted.
    New,
    /// The same, and a header that the operator trusts names the user.
    Known(Box<str>),
    /// `connect` waits for its answer, or was answered with an error: nothing is accepted.
    Closed,
    /// Authenticated.
    Ready(Box<Identity>),
}

/// Who an authenticated client is.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub(super) user: Box<str>,
    /// `conn_info`: raw JSON, or empty.
    pub(super) info: Bytes,
    /// The channels that its token subscribed it to, sorted.
    pub(super) token_channels: Box<[String]>,
}

/// A command between its request and its answer.
#[derive(Debug)]
pub(super) enum Pending {
    Connect(connect::Verifying),
    Alone(connect::Subscribing),
    ServerSide(connect::Subscribing),
    Refresh { id: u32 },
    SubscribeToken(subscribe::Verifying),
    Subscribe(subscribe::Attaching),
    SubRefresh(sub_refresh::Verifying),
    Publish { id: u32 },
    History { id: u32 },
    Presence { id: u32 },
    PresenceStats { id: u32 },
}

impl Default for Session {
    fn default() -> Self {
        Self {
            client: Uuid::nil(),
            encoding: Encoding::Json,
            phase: Phase::New,
        }
    }
}

impl Session {
    /// A session with a fresh random client id. `user` is known from a trusted header.
    #[must_use]
    pub fn new(encoding: Encoding, user: Option<Box<str>>) -> Self {
        Self {
            client: Uuid::new_v4(),
            encoding,
            phase: user.map_or(Phase::New, Phase::Known),
        }
    }

    /// Whether `connect` came and is not answered: no other command may run.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether `connect` did not come yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self.phase, Phase::New | Phase::Known(_))
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
            Phase::New | Phase::Known(_) | Phase::Closed => None,
        }
    }

    /// Runs one command. The caller has sorted out pongs.
    pub fn handle(&mut self, command: Command, ctx: &mut impl Ctx) -> Step {
        let (id, request) = command.into_request();
        match (&self.phase, request) {
            (Phase::New | Phase::Known(_), Wire::Connect(request)) => {
                connect::handle(self, id, request, ctx)
            }
            (Phase::New | Phase::Known(_) | Phase::Closed, _)
            | (_, Wire::Connect(_) | Wire::Bad | Wire::Pong) => bad_request(),
            (_, Wire::Subscribe(request)) => subscribe::handle(self, id, request, ctx),
            (_, Wire::Unsubscribe(request)) => unsubscribe::handle(id, &request, ctx),
            (_, Wire::Publish(request)) => publish::handle(self, id, request, ctx),
            (_, Wire::Refresh(request)) => refresh::handle(id, request),
            (_, Wire::SubRefresh(request)) => sub_refresh::handle(id, request, ctx),
            (_, Wire::History(request)) => history::handle(self, id, request, ctx),
            (_, Wire::Presence(request)) => presence::handle(self, id, request.channel, ctx),
            (_, Wire::PresenceStats(request)) => {
                presence::handle_stats(self, id, request.channel, ctx)
            }
            (_, Wire::Rpc(request)) => rpc::handle(id, &request, ctx),
            (_, Wire::Send(_)) => Step::Close(DisconnectCode::NotAvailable.into()),
        }
    }

    /// Goes on with a command that waited.
    pub fn resume(&mut self, then: Then, answer: Answer, ctx: &mut impl Ctx) -> Step {
        match (*then.0, answer) {
            (Pending::Connect(connect), Answer::Verified(claims)) => {
                connect.verified(self, claims, ctx)
            }
            (Pending::Alone(connect), Answer::DisconnectedUser(done)) => {
                connect.alone(self, done, ctx)
            }
            (Pending::ServerSide(connect), Answer::Attached(attached)) => {
                connect.attached(self, attached, ctx)
            }
            (Pending::Refresh { id }, Answer::Verified(claims)) => {
                refresh::verified(self, id, claims, ctx)
            }
            (Pending::SubscribeToken(subscribe), Answer::VerifiedSubscription(claims)) => {
                subscribe.verified(self, claims, ctx)
            }
            (Pending::Subscribe(subscribe), Answer::Attached(attached)) => {
                subscribe.attached(self, attached, ctx)
            }
            (Pending::SubRefresh(refresh), Answer::VerifiedSubscription(claims)) => {
                refresh.verified(self, claims, ctx)
            }
            (Pending::Publish { id }, Answer::Published(outcome)) => {
                publish::published(id, outcome, ctx)
            }
            (Pending::History { id }, Answer::History(page)) => history::read(id, page, ctx),
            (Pending::Presence { id }, Answer::Presence(clients)) => {
                presence::found(id, clients, ctx)
            }
            (Pending::PresenceStats { id }, Answer::Presence(clients)) => {
                presence::counted(id, clients, ctx)
            }
            (pending, answer) => {
                tracing::error!(?pending, ?answer, "an answer does not fit its command");
                Step::Close(DisconnectCode::Internal.into())
            }
        }
    }

    /// The client's id.
    #[must_use]
    pub fn client(&self) -> Uuid {
        self.client
    }

    /// Changes what an authenticated client is known as.
    pub fn set_info(&mut self, info: Bytes) {
        if let Phase::Ready(identity) = &mut self.phase {
            identity.info = info;
        }
    }

    /// The client as a subscription needs it.
    #[must_use]
    pub fn who(&self) -> Who {
        Who {
            info: self.client_info(),
            encoding: self.encoding,
        }
    }

    /// The client as others see it, without `chan_info`.
    #[must_use]
    pub fn client_info(&self) -> ClientInfo {
        match &self.phase {
            Phase::Ready(identity) => identity.client_info(self.client),
            Phase::New | Phase::Known(_) | Phase::Closed => ClientInfo::default(),
        }
    }
}

impl Identity {
    /// The client of this id as others see it, without `chan_info`.
    pub(super) fn client_info(&self, client: Uuid) -> ClientInfo {
        ClientInfo {
            user: self.user.to_string(),
            client: client.to_string(),
            conn_info: self.info.clone(),
            ..ClientInfo::default()
        }
    }
}

/// Waits for the answer to a request.
pub(super) fn call(then: Pending, request: Request) -> Step {
    Step::Call(Call {
        request: Box::new(request),
        then: Then(Box::new(then)),
    })
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
