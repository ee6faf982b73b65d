//! `sub_refresh`: a new token for an expiring subscription (client-protocol, section 8).

use std::sync::Arc;

use tidewire_protocol::{
    ClientInfo, DisconnectCode, ErrorCode, Reply, SubRefreshRequest, SubRefreshResult,
};

use super::connect::ttl;
use super::subscribe::{belongs, expiry};
use crate::auth::{SubscribeClaims, TokenError};
use crate::session::state::{Pending, bad_request, call, refuse};
use crate::session::{Ctx, Refreshed, Request, Session, Settle, Step, Subscribed};

/// A refresh whose token is being verified.
#[derive(Debug)]
pub(in crate::session) struct Verifying {
    id: u32,
    channel: String,
}

pub(in crate::session) fn handle(id: u32, request: SubRefreshRequest, ctx: &mut impl Ctx) -> Step {
    let SubRefreshRequest { channel, token, .. } = request;
    // A Python SDK sends no channel: then the token's counts.
    if !channel.is_empty() && ctx.subscribed(&channel) != Subscribed::Yes {
        return refuse(id, ErrorCode::PermissionDenied, ctx);
    }
    if token.is_empty() {
        return if channel.is_empty() {
            bad_request()
        } else {
            refuse(id, ErrorCode::BadRequest, ctx)
        };
    }
    let verifying = Verifying { id, channel };
    call(
        Pending::SubRefresh(verifying),
        Request::VerifySubscription { token },
    )
}

impl Verifying {
    pub(in crate::session) fn verified(
        self,
        session: &mut Session,
        claims: Result<Box<SubscribeClaims>, TokenError>,
        ctx: &mut impl Ctx,
    ) -> Step {
        let Self { id, channel } = self;
        let claims = match claims {
            Ok(claims) => claims,
            Err(TokenError::Expired) => return expired(id, &channel, ctx),
            Err(TokenError::Invalid(reason)) => {
                tracing::info!(client = %session.client, %reason, "a subscription token is invalid");
                return Step::Close(DisconnectCode::InvalidToken.into());
            }
        };
        let channel = if channel.is_empty() {
            claims.channel.clone()
        } else {
            channel
        };
        if !belongs(&claims, session, &channel) {
            return Step::Close(DisconnectCode::InvalidToken.into());
        }
        let now = ctx.unix_time();
        let expire_at = expiry(&claims);
        if ctx.subscribed(&channel) != Subscribed::Yes {
            return refuse(id, ErrorCode::PermissionDenied, ctx);
        }
        if expire_at.is_some_and(|expire_at| expire_at <= now) {
            return expired(id, &channel, ctx);
        }
        let member = Arc::new(ClientInfo {
            chan_info: claims.options.info.unwrap_or_default(),
            ..session.client_info()
        });
        let refreshed = Refreshed { member, expire_at };
        ctx.settle(&channel, Settle::Refreshed(refreshed));
        let result = SubRefreshResult {
            expires: expire_at.is_some(),
            ttl: expire_at.map_or(0, |expire_at| ttl(expire_at, now)),
            ..SubRefreshResult::default()
        };
        ctx.reply(Reply {
            id,
            sub_refresh: Some(result),
            ..Reply::default()
        });
        Step::Idle
    }
}

/// A refresh that came too late is not an error, which would end the subscription for good in some SDKs: the
/// client is unsubscribed and comes back with a new token (client-protocol, section 21).
fn expired(id: u32, channel: &str, ctx: &mut impl Ctx) -> Step {
    if ctx.subscribed(channel) != Subscribed::Yes {
        return refuse(id, ErrorCode::TokenExpired, ctx);
    }
    if ctx.grant(channel).is_some_and(|grant| grant.server_side) {
        return Step::Close(DisconnectCode::SubscriptionExpired.into());
    }
    ctx.settle(channel, Settle::Expired);
    ctx.reply(Reply {
        id,
        sub_refresh: Some(SubRefreshResult::default()),
        ..Reply::default()
    });
    Step::Idle
}
