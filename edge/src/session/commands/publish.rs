//! `publish`: the order of channels-and-auth section 6.

use tidewire_config::ChannelOptions;
use tidewire_protocol::{ErrorCode, Publication, PublishRequest, PublishResult, Reply};

use super::options;
use crate::broker::{BrokerError, Position};
use crate::config::accepts_data;
use crate::session::state::{Pending, Phase, bad_request, refuse};
use crate::session::{Ctx, Request, Session, Step, Subscribed};

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    request: PublishRequest,
    ctx: &mut impl Ctx,
) -> Step {
    let Phase::Ready(identity) = &session.phase else {
        return bad_request();
    };
    if request.channel.is_empty() {
        return bad_request();
    }
    if let Err(code) = check(&request, &identity.user, ctx) {
        return refuse(id, code, ctx);
    }
    let publication = Publication {
        data: request.data,
        info: Some(session.client_info()),
        ..Publication::default()
    };
    session.pending = Some(Box::new(Pending::Publish { id }));
    Step::Call(Box::new(Request::Publish {
        channel: request.channel.into_boxed_str(),
        publication: Box::new(publication),
    }))
}

fn check(request: &PublishRequest, user: &str, ctx: &impl Ctx) -> Result<(), ErrorCode> {
    let live = ctx.live();
    let options = options(live, &request.channel)?;
    if request.r#type != 0 || !accepts_data(options, &request.data) {
        return Err(ErrorCode::BadRequest);
    }
    if may_publish(options, user, ctx.subscribed(&request.channel)) || live.config.client.insecure {
        return Ok(());
    }
    Err(ErrorCode::PermissionDenied)
}

fn may_publish(options: &ChannelOptions, user: &str, subscribed: Subscribed) -> bool {
    let known = !user.is_empty() || options.allow_publish_for_anonymous;
    let subscriber = options.allow_publish_for_subscriber && subscribed == Subscribed::Yes;
    known && (options.allow_publish_for_client || subscriber)
}

pub(in crate::session) fn published(
    id: u32,
    position: Result<Position, BrokerError>,
    ctx: &mut impl Ctx,
) -> Step {
    match position {
        Ok(_) => {
            ctx.reply(Reply {
                id,
                publish: Some(PublishResult::default()),
                ..Reply::default()
            });
            Step::Idle
        }
        Err(BrokerError::BadChannel | BrokerError::TooLarge) => {
            refuse(id, ErrorCode::BadRequest, ctx)
        }
        Err(error @ (BrokerError::Full | BrokerError::Disconnected)) => {
            tracing::debug!(%error, "a client's publication was not accepted");
            refuse(id, ErrorCode::Internal, ctx)
        }
    }
}
