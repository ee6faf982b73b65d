//! `refresh`: a new token for an expiring connection (client-protocol, section 8).

use tidewire_protocol::{DisconnectCode, RefreshRequest, RefreshResult, Reply};

use super::connect::{expiry, ttl};
use crate::auth::{ConnectClaims, TokenError};
use crate::session::state::{Pending, Phase, bad_request, call};
use crate::session::{Ctx, Request, Session, Step, Subscribed};

pub(in crate::session) fn handle(id: u32, request: RefreshRequest) -> Step {
    if request.token.is_empty() {
        return bad_request();
    }
    let token = request.token;
    call(Pending::Refresh { id }, Request::Verify { token })
}

pub(in crate::session) fn verified(
    session: &mut Session,
    id: u32,
    claims: Result<Box<ConnectClaims>, TokenError>,
    ctx: &mut impl Ctx,
) -> Step {
    let now = ctx.unix_time();
    let claims = match claims {
        Ok(claims) if expiry(&claims, now).is_none_or(|expire_at| expire_at > now) => claims,
        Ok(_) | Err(TokenError::Expired) => {
            return Step::Close(DisconnectCode::ConnectionExpired.into());
        }
        Err(TokenError::Invalid(reason)) => {
            tracing::info!(client = %session.client, %reason, "a refresh token is invalid");
            return Step::Close(DisconnectCode::InvalidToken.into());
        }
    };
    let Phase::Ready(identity) = &mut session.phase else {
        return bad_request();
    };
    if *claims.user != *identity.user {
        return Step::Close(DisconnectCode::InvalidToken.into());
    }
    let subscribed = |channel: &String| ctx.subscribed(channel) == Subscribed::Yes;
    // A channel that was unsubscribed meanwhile may be missing from the token.
    let kept =
        |channel: &String| claims.subscriptions.contains_key(channel) || !subscribed(channel);
    if !claims.subscriptions.keys().all(subscribed) || !identity.token_channels.iter().all(kept) {
        return Step::Close(DisconnectCode::InsufficientState.into());
    }
    let expire_at = expiry(&claims, now);
    identity.info = claims.info.unwrap_or_default();
    ctx.expire_at(expire_at);
    let result = RefreshResult {
        expires: expire_at.is_some(),
        ttl: expire_at.map_or(0, |expire_at| ttl(expire_at, now)),
        ..RefreshResult::default()
    };
    ctx.reply(Reply {
        id,
        refresh: Some(result),
        ..Reply::default()
    });
    Step::Idle
}
