//! `subscribe`: the checks of client-protocol section 9 and channels-and-auth section 5, in their order.

use tidewire_protocol::{ErrorCode, Reply, SubscribeRequest, SubscribeResult};

use super::options;
use crate::broker::{BrokerError, Position};
use crate::session::state::{Pending, Phase, bad_request, refuse};
use crate::session::{Ctx, Request, Session, Step, Subscribed};

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    request: SubscribeRequest,
    ctx: &mut impl Ctx,
) -> Step {
    let Phase::Ready(identity) = &session.phase else {
        return bad_request();
    };
    if request.channel.is_empty() || !matches!(request.delta.as_str(), "" | "fossil") {
        return bad_request();
    }
    if let Err(code) = check(&request, &identity.user, ctx) {
        return refuse(id, code, ctx);
    }
    ctx.open(&request.channel);
    let channel = request.channel.into_boxed_str();
    session.pending = Some(Box::new(Pending::Subscribe {
        id,
        channel: channel.clone(),
        recovering: request.recover,
    }));
    Step::Call(Box::new(Request::Attach { channel }))
}

fn check(request: &SubscribeRequest, user: &str, ctx: &impl Ctx) -> Result<(), ErrorCode> {
    let live = ctx.live();
    let channel = request.channel.as_str();
    if channel.len() > live.config.channel.max_length as usize {
        return Err(ErrorCode::BadRequest);
    }
    if ctx.subscribed(channel) != Subscribed::No {
        return Err(ErrorCode::AlreadySubscribed);
    }
    if ctx.subscriptions() >= ctx.boot().client.channel_limit as usize {
        return Err(ErrorCode::LimitExceeded);
    }
    let options = options(live, channel)?;
    if request.r#type != 0 {
        return Err(ErrorCode::PermissionDenied);
    }
    if !request.token.is_empty() {
        // Subscription tokens are not understood yet: refusing is the only safe answer.
        return Err(ErrorCode::NotAvailable);
    }
    if live.config.is_private(channel) {
        return Err(ErrorCode::PermissionDenied);
    }
    let limited =
        options.allow_user_limited_channels && live.config.user_limited_users(channel).is_some();
    let listed = limited && live.config.channel.lists_user(channel, user);
    let open = options.allow_subscribe_for_client
        && (!user.is_empty() || options.allow_subscribe_for_anonymous)
        && !limited;
    if !listed && !open && !live.config.client.insecure {
        return Err(ErrorCode::PermissionDenied);
    }
    if request.tf.is_some() {
        return Err(ErrorCode::BadRequest);
    }
    Ok(())
}

pub(in crate::session) fn attached(
    id: u32,
    channel: &str,
    recovering: bool,
    position: Result<Position, BrokerError>,
    ctx: &mut impl Ctx,
) -> Step {
    match position {
        Ok(_) => {
            let result = SubscribeResult {
                was_recovering: recovering,
                ..SubscribeResult::default()
            };
            ctx.reply(Reply {
                id,
                subscribe: Some(result),
                ..Reply::default()
            });
            ctx.settle(channel, Subscribed::Yes);
            Step::Idle
        }
        Err(error) => {
            tracing::debug!(%error, "a subscribe failed at the broker");
            ctx.settle(channel, Subscribed::No);
            let code = match error {
                BrokerError::BadChannel | BrokerError::TooLarge => ErrorCode::BadRequest,
                BrokerError::Full | BrokerError::Disconnected => ErrorCode::Internal,
            };
            refuse(id, code, ctx)
        }
    }
}
