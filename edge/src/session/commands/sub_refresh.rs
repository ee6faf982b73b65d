//! `sub_refresh`: a new token for an expiring subscription (client-protocol, section 8).

use std::sync::Arc;

use tidewire_protocol::{
    ClientInfo, DisconnectCode, ErrorCode, Reply, SubRefreshRequest, SubRefreshResult,
};

use super::connect::ttl;
use super::subscribe::{belongs, expiry};
use crate::auth::{SubscribeClaims, TokenError};
use crate::session::state::{Pending, bad_request, refuse};
use crate::session::{Ctx, Request, Session, Step, Subscribed};

/// A refresh whose token is being verified.
#[derive(Debug)]
pub(in crate::session) struct Verifying {
    id: u32,
    channel: String,
}

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    request: SubRefreshRequest,
    ctx: &mut impl Ctx,
) -> Step {
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
    session.pending = Some(Box::new(Pending::SubRefresh(Verifying { id, channel })));
    Step::Call(Box::new(Request::VerifySubscription { token }))
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
            Err(TokenError::Expired) => return refuse(id, ErrorCode::TokenExpired, ctx),
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
        if expire_at.is_some_and(|expire_at| expire_at <= now) {
            return refuse(id, ErrorCode::TokenExpired, ctx);
        }
        let Some(grant) = ctx.grant(&channel) else {
            return refuse(id, ErrorCode::PermissionDenied, ctx);
        };
        grant.member = Some(Arc::new(ClientInfo {
            chan_info: claims.options.info.unwrap_or_default(),
            ..session.client_info()
        }));
        grant.expire_at = expire_at;
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
