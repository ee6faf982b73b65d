//! `connect`: who the client is (channels-and-auth, section 10).

use bytes::Bytes;
use tidewire_protocol::{ConnectRequest, ConnectResult, DisconnectCode, Error, ErrorCode, Reply};

use crate::VERSION;
use crate::auth::{ConnectClaims, TokenError};
use crate::session::state::{Identity, Pending, Phase};
use crate::session::{Ctx, Request, Session, Step};

/// An expiring connection ends after at most a year, whatever its token says.
const LIFETIME_MAX_SECS: u64 = 365 * 24 * 3600;

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    request: ConnectRequest,
    ctx: &mut impl Ctx,
) -> Step {
    session.phase = Phase::Closed;
    if !request.token.is_empty() {
        session.pending = Some(Box::new(Pending::Connect { id }));
        return Step::Call(Box::new(Request::Verify {
            token: request.token,
        }));
    }
    let client = &ctx.live().config.client;
    if client.insecure || client.allow_anonymous_connect_without_token {
        return accept(
            session,
            id,
            Identity {
                user: "".into(),
                info: Bytes::new(),
            },
            None,
            ctx,
        );
    }
    Step::Close(DisconnectCode::BadRequest.into())
}

pub(in crate::session) fn verified(
    session: &mut Session,
    id: u32,
    claims: Result<Box<ConnectClaims>, TokenError>,
    ctx: &mut impl Ctx,
) -> Step {
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
    if !claims.subscriptions.is_empty() {
        tracing::info!(client = %session.client, "a token grants server-side subscriptions, which are not available yet");
        return fail(id, ErrorCode::NotAvailable, ctx);
    }
    let expire_at = if client.insecure {
        None
    } else {
        expiry(&claims)
    };
    let identity = Identity {
        user: claims.user.into_boxed_str(),
        info: claims.info.unwrap_or_default(),
    };
    accept(session, id, identity, expire_at, ctx)
}

fn accept(
    session: &mut Session,
    id: u32,
    identity: Identity,
    expire_at: Option<u64>,
    ctx: &mut impl Ctx,
) -> Step {
    let now = ctx.unix_time();
    if expire_at.is_some_and(|expire_at| expire_at <= now) {
        return fail(id, ErrorCode::Expired, ctx);
    }
    ctx.identified(&identity.user);
    ctx.expire_at(expire_at);
    session.phase = Phase::Ready(Box::new(identity));
    let client = &ctx.boot().client;
    let result = ConnectResult {
        client: session.client.to_string(),
        version: VERSION.to_owned(),
        expires: expire_at.is_some(),
        ttl: expire_at.map_or(0, |expire_at| ttl(expire_at, now)),
        ping: u32::try_from(client.ping_interval.get().as_secs())
            .unwrap_or(u32::MAX)
            .max(1),
        pong: true,
        time: if client.connect_include_server_time {
            unix_ms(now)
        } else {
            0
        },
        ..ConnectResult::default()
    };
    ctx.reply(Reply {
        id,
        connect: Some(result),
        ..Reply::default()
    });
    Step::Idle
}

/// A refused connect leaves the connection unusable.
fn fail(id: u32, code: ErrorCode, ctx: &mut impl Ctx) -> Step {
    ctx.reply(Reply {
        id,
        error: Some(Error::from(code)),
        ..Reply::default()
    });
    Step::Dead
}

/// When a connection with these claims expires, in seconds since the Unix epoch.
pub(in crate::session) fn expiry(claims: &ConnectClaims) -> Option<u64> {
    claims
        .expire_at
        .map(|expire_at| u64::try_from(expire_at).unwrap_or(0))
}

/// Seconds until `expire_at`: at least 1 (some SDKs require it), at most a year.
pub(in crate::session) fn ttl(expire_at: u64, now: u64) -> u32 {
    u32::try_from(expire_at.saturating_sub(now).clamp(1, LIFETIME_MAX_SECS)).unwrap_or(u32::MAX)
}

fn unix_ms(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}
