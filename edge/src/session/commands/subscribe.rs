//! `subscribe`: the checks of client-protocol section 9 and channels-and-auth section 5, in their order.

use tidewire_config::ChannelOptions;
use tidewire_protocol::{DisconnectCode, Error, ErrorCode, Reply, SubscribeRequest};

use super::{Right, broker_error, options};
use crate::auth::{SubscribeClaims, TokenError};
use crate::broker::{Attached, BrokerError};
use crate::config::Live;
use crate::filter::{Filter, InvalidFilter};
use crate::session::grant::{Plan, TokenGrant, Unrecoverable};
use crate::session::state::{Pending, Phase, bad_request, call, refuse};
use crate::session::{Ctx, Request, Session, Settle, Step, Subscribed};

/// The `type` of a subscribe to a shared poll: no channel is of that kind here.
const SHARED_POLL: i32 = 4;

/// A subscribe whose token is being verified.
#[derive(Debug)]
pub(in crate::session) struct Verifying {
    id: u32,
    request: SubscribeRequest,
}

/// A subscribe that waits for the broker.
#[derive(Debug)]
pub(in crate::session) struct Attaching {
    id: u32,
    channel: Box<str>,
    opening: u32,
    plan: Plan,
}

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    request: SubscribeRequest,
    ctx: &mut impl Ctx,
) -> Step {
    let Phase::Ready(identity) = &session.phase else {
        return bad_request();
    };
    if request.channel.is_empty() {
        return bad_request();
    }
    if request.r#type == SHARED_POLL {
        return refuse(id, ErrorCode::NotAvailable, ctx);
    }
    if !matches!(request.delta.as_str(), "" | "fossil") {
        return bad_request();
    }
    match check(&request, &identity.user, ctx) {
        Err(code) => refuse(id, code, ctx),
        Ok(Permission::Granted) => attach(session, id, request, TokenGrant::default(), ctx),
        Ok(Permission::ByToken) => {
            let token = request.token.clone();
            let verifying = Verifying { id, request };
            call(
                Pending::SubscribeToken(verifying),
                Request::VerifySubscription { token },
            )
        }
    }
}

/// How a client may subscribe.
enum Permission {
    Granted,
    /// If its token is good.
    ByToken,
}

fn check(request: &SubscribeRequest, user: &str, ctx: &impl Ctx) -> Result<Permission, ErrorCode> {
    let live = ctx.live();
    let channel = request.channel.as_str();
    if channel.len() > live.config.channel.max_length as usize {
        return Err(ErrorCode::BadRequest);
    }
    room(channel, ctx)?;
    let options = options(live, channel)?;
    let kind = options.subscription_type;
    if request.r#type != kind.number() {
        return Err(ErrorCode::PermissionDenied);
    }
    if !kind.is_stream() {
        return Err(ErrorCode::NotAvailable);
    }
    if !request.token.is_empty() {
        return Ok(Permission::ByToken);
    }
    if live.config.is_private(channel) {
        return Err(ErrorCode::PermissionDenied);
    }
    if !may_subscribe(live, options, channel, user) {
        return Err(ErrorCode::PermissionDenied);
    }
    Ok(Permission::Granted)
}

/// Whether the client may have one more subscription, to this channel. Asked again after a token was verified: other
/// commands may have run meanwhile.
fn room(channel: &str, ctx: &impl Ctx) -> Result<(), ErrorCode> {
    if ctx.subscribed(channel) != Subscribed::No {
        return Err(ErrorCode::AlreadySubscribed);
    }
    if ctx.subscriptions() >= ctx.live().boot.client.channel_limit as usize {
        return Err(ErrorCode::LimitExceeded);
    }
    Ok(())
}

impl Verifying {
    pub(in crate::session) fn verified(
        self,
        session: &mut Session,
        claims: Result<Box<SubscribeClaims>, TokenError>,
        ctx: &mut impl Ctx,
    ) -> Step {
        let Self { id, request } = self;
        let claims = match claims {
            Ok(claims) => claims,
            Err(TokenError::Expired) => return refuse(id, ErrorCode::TokenExpired, ctx),
            Err(TokenError::Invalid(reason)) => {
                tracing::info!(client = %session.client, %reason, "a subscription token is invalid");
                return refuse(id, ErrorCode::PermissionDenied, ctx);
            }
        };
        if !belongs(&claims, session, &request.channel) {
            return Step::Close(DisconnectCode::InvalidToken.into());
        }
        let expire_at = expiry(&claims);
        if expire_at.is_some_and(|expire_at| expire_at <= ctx.unix_time()) {
            return refuse(id, ErrorCode::Expired, ctx);
        }
        let token = TokenGrant::new(claims.options, expire_at);
        attach(session, id, request, token, ctx)
    }
}

/// Whether a subscription token is for this client and this channel.
pub(super) fn belongs(claims: &SubscribeClaims, session: &Session, channel: &str) -> bool {
    claims.channel == channel
        && session.user() == Some(&claims.user)
        && (claims.client.is_empty() || claims.client == session.client.to_string())
}

/// When a subscription with these claims expires, in seconds since the Unix epoch.
pub(super) fn expiry(claims: &SubscribeClaims) -> Option<u64> {
    claims
        .expire_at
        .map(|expire_at| u64::try_from(expire_at).unwrap_or(0))
}

fn attach(
    session: &mut Session,
    id: u32,
    request: SubscribeRequest,
    token: TokenGrant,
    ctx: &mut impl Ctx,
) -> Step {
    if let Err(code) = room(&request.channel, ctx) {
        return refuse(id, code, ctx);
    }
    let live = ctx.live();
    let options = match options(live, &request.channel) {
        Ok(options) => options,
        Err(code) => return refuse(id, code, ctx),
    };
    let rights = rights(
        options,
        session.user().unwrap_or_default(),
        live.config.client.insecure,
    );
    let filter = match filter(&request, options) {
        Ok(filter) => filter,
        Err(code) => return refuse(id, code, ctx),
    };
    let plan = Plan::new(&request, options, token, rights).filtered(filter);
    let limit = live.boot.client.recovery_max_publication_limit;
    let attach = plan.attach_options(limit);
    let opening = ctx.open(&request.channel);
    let channel = request.channel.into_boxed_str();
    let attaching = Attaching {
        id,
        channel: channel.clone(),
        opening,
        plan,
    };
    call(
        Pending::Subscribe(attaching),
        Request::Attach {
            channel,
            options: attach,
        },
    )
}

/// Whether a user may subscribe without a token: rules 6, 9 and 10 of channels-and-auth, section 5.
pub(super) fn may_subscribe(
    live: &Live,
    options: &ChannelOptions,
    channel: &str,
    user: &str,
) -> bool {
    let limited =
        options.allow_user_limited_channels && live.config.user_limited_users(channel).is_some();
    let listed = limited && live.config.channel.lists_user(channel, user);
    let open = options.allow_subscribe_for_client
        && (!user.is_empty() || options.allow_subscribe_for_anonymous)
        && !limited;
    listed || open || live.config.client.insecure
}

/// The tag filter that a client asks for (client-protocol, section 12).
fn filter(
    request: &SubscribeRequest,
    options: &ChannelOptions,
) -> Result<Option<Filter>, ErrorCode> {
    match &request.tf {
        None => Ok(None),
        Some(_) if !options.allow_tags_filter => Err(ErrorCode::BadRequest),
        Some(node) => Filter::new(node).map(Some).map_err(InvalidFilter::code),
    }
}

/// Whether a subscriber may read the history, and see the presence.
pub(super) fn rights(options: &ChannelOptions, user: &str, insecure: bool) -> (bool, bool) {
    (
        insecure || Right::history(options).allows(user, true),
        insecure || Right::presence(options).allows(user, true),
    )
}

impl Attaching {
    pub(in crate::session) fn attached(
        self,
        session: &Session,
        attached: Result<Attached, BrokerError>,
        ctx: &mut impl Ctx,
    ) -> Step {
        let Self {
            id,
            channel,
            opening,
            plan,
        } = self;
        if ctx.subscribed(&channel) != Subscribed::Opening(opening) {
            // The backend or the client ended it while the broker was asked.
            return refuse(id, ErrorCode::PermissionDenied, ctx);
        }
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                tracing::debug!(%error, "a subscribe failed at the broker");
                ctx.settle(&channel, Settle::Ended);
                return refuse(id, broker_error(&error), ctx);
            }
        };
        match plan.finish(attached, ctx.unix_time(), session.who()) {
            Ok((result, grant)) => {
                ctx.reply(Reply {
                    id,
                    subscribe: Some(result),
                    ..Reply::default()
                });
                ctx.settle(&channel, Settle::Live(grant));
            }
            Err(Unrecoverable) => {
                ctx.settle(&channel, Settle::Ended);
                ctx.reply(Reply {
                    id,
                    error: Some(Error::from(ErrorCode::UnrecoverablePosition)),
                    ..Reply::default()
                });
            }
        }
        Step::Idle
    }
}
