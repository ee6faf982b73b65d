//! `connect`: who the client is (channels-and-auth, section 10), and what the server subscribes it to.

use std::collections::{BTreeMap, VecDeque};

use tidewire_protocol::{
    ConnectRequest, ConnectResult, DisconnectCode, Error, ErrorCode, Push, Reply, SubscribeRequest,
    SubscribeResult,
};

use super::options;
use super::subscribe::{may_subscribe, rights};
use crate::VERSION;
use crate::auth::{ConnectClaims, SubscriptionOptions, TokenError};
use crate::broker::{Attached, BrokerError};
use crate::session::grant::{Grant, Plan, TokenGrant, Unrecoverable};
use crate::session::state::{Identity, Pending, Phase, call};
use crate::session::{Ctx, Link, Request, Session, Settle, Step, Who};

/// An expiring connection ends after at most a year, whatever its token says.
pub const LIFETIME_MAX_SECS: u64 = 365 * 24 * 3600;

/// A connect whose token is being verified.
#[derive(Debug)]
pub(in crate::session) struct Verifying {
    id: u32,
    /// Positions to recover server-side subscriptions from, and channels that the client wants.
    subs: BTreeMap<String, SubscribeRequest>,
}

/// An accepted connect whose server-side subscriptions are made one after the other.
#[derive(Debug)]
pub(in crate::session) struct Subscribing {
    id: u32,
    identity: Identity,
    expire_at: Option<u64>,
    todo: VecDeque<(String, Plan)>,
    done: BTreeMap<String, SubscribeResult>,
    grants: Vec<(String, Grant)>,
}

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    request: ConnectRequest,
    ctx: &mut impl Ctx,
) -> Step {
    let known = match std::mem::replace(&mut session.phase, Phase::Closed) {
        Phase::Known(user) => user.into(),
        Phase::New | Phase::Closed | Phase::Ready(_) => String::new(),
    };
    if !request.token.is_empty() {
        let verifying = Verifying {
            id,
            subs: request.subs,
        };
        let token = request.token;
        return call(Pending::Connect(verifying), Request::Verify { token });
    }
    let client = &ctx.live().config.client;
    if known.is_empty() && !client.insecure && !client.allow_anonymous_connect_without_token {
        tracing::debug!(client = %session.client, "a client brought no token");
        return Step::Close(DisconnectCode::BadRequest.into());
    }
    let accepted = Accepted {
        id,
        subs: request.subs,
        claims: ConnectClaims {
            user: known,
            ..ConnectClaims::default()
        },
    };
    accepted.plan(session, ctx)
}

impl Verifying {
    pub(in crate::session) fn verified(
        self,
        session: &mut Session,
        claims: Result<Box<ConnectClaims>, TokenError>,
        ctx: &mut impl Ctx,
    ) -> Step {
        let Self { id, subs } = self;
        let claims = match claims {
            Ok(claims) => claims,
            Err(TokenError::Expired) => return fail(id, ErrorCode::TokenExpired, ctx),
            Err(TokenError::Invalid(reason)) => {
                tracing::info!(client = %session.client, %reason, "a connection token is invalid");
                return Step::Close(DisconnectCode::InvalidToken.into());
            }
        };
        let client = &ctx.live().config.client;
        if claims.user.is_empty() && client.disallow_anonymous_connection_tokens {
            return Step::Close(DisconnectCode::PermissionDenied.into());
        }
        let accepted = Accepted {
            id,
            subs,
            claims: *claims,
        };
        accepted.plan(session, ctx)
    }
}

/// A client that may connect.
struct Accepted {
    id: u32,
    subs: BTreeMap<String, SubscribeRequest>,
    claims: ConnectClaims,
}

impl Accepted {
    /// Works out the server-side subscriptions and begins to make them.
    fn plan(self, session: &mut Session, ctx: &mut impl Ctx) -> Step {
        let Self {
            id,
            mut subs,
            claims,
        } = self;
        let live = ctx.live();
        let expire_at = if live.config.client.insecure {
            None
        } else {
            expiry(&claims, ctx.unix_time())
        };
        if expire_at.is_some_and(|expire_at| expire_at <= ctx.unix_time()) {
            return fail(id, ErrorCode::Expired, ctx);
        }
        let token_channels = claims.subscriptions.keys().cloned().collect();
        let mut todo = VecDeque::new();
        for (channel, granted) in claims.subscriptions {
            let asked = subs.remove(&channel).unwrap_or_default();
            match server_side(live, &channel, &asked, granted, &claims.user) {
                Some(plan) => todo.push_back((channel, plan)),
                None => return fail(id, ErrorCode::UnknownChannel, ctx),
            }
        }
        let personal = personal_channel(live, &claims.user);
        let has_personal = personal.is_some();
        if let Some(channel) = personal.filter(|channel| !todo.iter().any(|(it, _)| it == channel))
        {
            let asked = subs.remove(&channel).unwrap_or_default();
            let granted = SubscriptionOptions::default();
            match server_side(live, &channel, &asked, granted, &claims.user) {
                Some(plan) => todo.push_back((channel, plan)),
                None => return fail(id, ErrorCode::UnknownChannel, ctx),
            }
        }
        for (channel, asked) in subs {
            let Some(namespace) = live.namespace(&channel) else {
                return Step::Close(DisconnectCode::BadRequest.into());
            };
            if wanted(live, &channel, &namespace.options, &claims.user) {
                let granted = SubscriptionOptions::default();
                todo.extend(
                    server_side(live, &channel, &asked, granted, &claims.user)
                        .map(|plan| (channel, plan)),
                );
            }
        }
        if todo.len() > live.boot.client.channel_limit as usize {
            return Step::Close(DisconnectCode::ChannelLimit.into());
        }
        let subscribing = Subscribing {
            id,
            identity: Identity {
                user: claims.user.into_boxed_str(),
                info: claims.info.unwrap_or_default(),
                token_channels,
            },
            expire_at,
            todo,
            done: BTreeMap::new(),
            grants: Vec::new(),
        };
        if has_personal && is_single(ctx.live()) {
            let user = subscribing.identity.user.clone();
            return call(
                Pending::Alone(subscribing),
                Request::DisconnectUser { user },
            );
        }
        subscribing.next(session, ctx)
    }
}

/// The plan of a server-side subscription; `None` if the namespace is unknown.
fn server_side(
    live: &crate::config::Live,
    channel: &str,
    asked: &SubscribeRequest,
    granted: SubscriptionOptions,
    user: &str,
) -> Option<Plan> {
    let namespace = live.namespace(channel)?;
    let token = TokenGrant::new(granted, None);
    let rights = rights(&namespace.options, user, live.config.client.insecure);
    // The client may say from where to recover; what it gets is the server's decision.
    let asked = SubscribeRequest {
        recover: asked.recover,
        offset: asked.offset,
        delta: asked.delta.clone(),
        epoch: asked.epoch.clone(),
        ..SubscribeRequest::default()
    };
    Some(Plan::new(&asked, &namespace.options, token, rights).server_side())
}

/// The channel of a user's own (channels-and-auth, section 9).
fn personal_channel(live: &crate::config::Live, user: &str) -> Option<String> {
    let options = &live.config.client.subscribe_to_user_personal_channel;
    if !options.enabled || user.is_empty() {
        return None;
    }
    let channel = &live.config.channel;
    let namespace = &options.personal_channel_namespace;
    let own = format!("{}{user}", channel.user_boundary);
    Some(if namespace.is_empty() {
        own
    } else {
        format!("{namespace}{}{own}", channel.namespace_boundary)
    })
}

/// Whether a user with a personal channel has one connection at most.
fn is_single(live: &crate::config::Live) -> bool {
    let client = &live.config.client;
    client.subscribe_to_user_personal_channel.single_connection
}

/// Whether a channel that the client itself wants in its connect is granted (channels-and-auth, section 10).
fn wanted(
    live: &crate::config::Live,
    channel: &str,
    namespace: &tidewire_config::ChannelOptions,
    user: &str,
) -> bool {
    if live.config.is_private(channel) || options(live, channel).is_err() {
        return false;
    }
    may_subscribe(live, namespace, channel, user)
}

impl Subscribing {
    /// The user's older connections were closed.
    pub(in crate::session) fn alone(
        self,
        session: &mut Session,
        done: bool,
        ctx: &mut impl Ctx,
    ) -> Step {
        if done {
            self.next(session, ctx)
        } else {
            // Not all nodes could be told: there might be two. The client tries again.
            Step::Close(DisconnectCode::Internal.into())
        }
    }

    /// The next server-side subscription, or the reply.
    fn next(self, session: &mut Session, ctx: &mut impl Ctx) -> Step {
        let Some((channel, plan)) = self.todo.front() else {
            return self.reply(session, ctx);
        };
        let limit = ctx.live().boot.client.recovery_max_publication_limit;
        let request = Request::Attach {
            channel: channel.as_str().into(),
            options: plan.attach_options(limit),
        };
        ctx.open(channel);
        call(Pending::ServerSide(self), request)
    }

    pub(in crate::session) fn attached(
        mut self,
        session: &mut Session,
        attached: Result<Attached, BrokerError>,
        ctx: &mut impl Ctx,
    ) -> Step {
        let Some((channel, plan)) = self.todo.pop_front() else {
            return self.reply(session, ctx);
        };
        let who = Who {
            info: self.identity.client_info(session.client),
            encoding: session.encoding,
        };
        let finished = attached.map(|attached| plan.finish(attached, ctx.unix_time(), who));
        match finished {
            Ok(Ok((result, grant))) => {
                self.done.insert(channel.clone(), result);
                self.grants.push((channel, grant));
                self.next(session, ctx)
            }
            Ok(Err(Unrecoverable)) => fail(self.id, ErrorCode::UnrecoverablePosition, ctx),
            Err(error) => {
                tracing::warn!(%error, "a server-side subscription failed at the broker");
                fail(self.id, super::broker_error(&error), ctx)
            }
        }
    }

    /// The connect reply, and after it everything that waited for it.
    fn reply(self, session: &mut Session, ctx: &mut impl Ctx) -> Step {
        let Self {
            id,
            identity,
            expire_at,
            done,
            grants,
            ..
        } = self;
        let now = ctx.unix_time();
        if !ctx.identified(&identity.user) {
            return Step::Close(DisconnectCode::ConnectionLimit.into());
        }
        ctx.expire_at(expire_at);
        session.phase = Phase::Ready(Box::new(identity));
        let client = &ctx.live().boot.client;
        let ping = u32::try_from(client.ping_interval.get().as_secs()).unwrap_or(u32::MAX);
        let (ping, pong) = match ctx.link() {
            Link::Duplex { frame_pings: true } => (0, false),
            Link::Duplex { .. } | Link::Emulated(_) => (ping.max(1), true),
            Link::Unidirectional(_) => (ping.max(1), false),
        };
        let result = ConnectResult {
            client: session.client.to_string(),
            version: VERSION.to_owned(),
            expires: expire_at.is_some(),
            ttl: expire_at.map_or(0, |expire_at| ttl(expire_at, now)),
            ping,
            pong,
            session: ctx
                .link()
                .session()
                .map_or_else(String::new, |id| id.to_string()),
            node: match ctx.link() {
                Link::Emulated(_) => ctx.node().to_owned(),
                Link::Duplex { .. } | Link::Unidirectional(_) => String::new(),
            },
            time: if client.connect_include_server_time {
                unix_ms(now)
            } else {
                0
            },
            subs: done,
            ..ConnectResult::default()
        };
        ctx.reply(match ctx.link() {
            Link::Unidirectional(_) => Reply {
                push: Some(Push {
                    connect: Some(result.into()),
                    ..Push::default()
                }),
                ..Reply::default()
            },
            Link::Duplex { .. } | Link::Emulated(_) => Reply {
                id,
                connect: Some(result),
                ..Reply::default()
            },
        });
        for (channel, grant) in grants {
            ctx.settle(&channel, Settle::Live(grant));
        }
        Step::Idle
    }
}

/// A refused connect leaves the connection unusable.
fn fail(id: u32, code: ErrorCode, ctx: &mut impl Ctx) -> Step {
    if let Link::Unidirectional(_) = ctx.link() {
        return Step::Refused(code);
    }
    ctx.reply(Reply {
        id,
        error: Some(Error::from(code)),
        ..Reply::default()
    });
    Step::Dead
}

/// When a connection with these claims expires, in seconds since the Unix epoch.
pub(in crate::session) fn expiry(claims: &ConnectClaims, now: u64) -> Option<u64> {
    let latest = now.saturating_add(LIFETIME_MAX_SECS);
    claims
        .expire_at
        .map(|expire_at| u64::try_from(expire_at).unwrap_or(0).min(latest))
}

/// Seconds until `expire_at`: at least 1 (some SDKs require it), at most a year.
pub fn ttl(expire_at: u64, now: u64) -> u32 {
    u32::try_from(expire_at.saturating_sub(now).clamp(1, LIFETIME_MAX_SECS)).unwrap_or(u32::MAX)
}

fn unix_ms(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}
