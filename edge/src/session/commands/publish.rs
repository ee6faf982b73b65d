//! `publish`: the order of channels-and-auth section 6.

use bytes::Bytes;
use tidewire_protocol::{ClientInfo, ErrorCode, Publication, PublishRequest, PublishResult, Reply};

use super::{Right, broker_error, options};
use crate::broker::{BrokerError, Outcome, PublishOptions, StreamOptions, WhenFull};
use crate::config::accepts_data;
use crate::session::state::{Pending, Phase, bad_request, call, refuse};
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
    let options = match check(&request, &identity.user, ctx) {
        Ok(options) => options,
        Err(code) => return refuse(id, code, ctx),
    };
    let member = ctx
        .grant(&request.channel)
        .and_then(|grant| grant.member.as_ref());
    let info = ClientInfo {
        chan_info: member.map_or_else(Bytes::new, |member| member.chan_info.clone()),
        ..session.client_info()
    };
    let publication = Publication {
        data: request.data,
        info: Some(info),
        ..Publication::default()
    };
    let request = Request::Publish {
        channel: request.channel.into_boxed_str(),
        publication: Box::new(publication),
        options: Box::new(options),
    };
    call(Pending::Publish { id }, request)
}

fn check(
    request: &PublishRequest,
    user: &str,
    ctx: &impl Ctx,
) -> Result<PublishOptions, ErrorCode> {
    let live = ctx.live();
    let options = options(live, &request.channel)?;
    let is_stream = request.r#type == 0 && options.subscription_type.is_stream();
    if !is_stream || !accepts_data(options, &request.data) {
        return Err(ErrorCode::BadRequest);
    }
    let subscribed = ctx.subscribed(&request.channel) == Subscribed::Yes;
    if !Right::publish(options).allows(user, subscribed) && !live.config.client.insecure {
        return Err(ErrorCode::PermissionDenied);
    }
    Ok(PublishOptions {
        stream: StreamOptions::of(options),
        delta: options.delta_publish,
        when_full: WhenFull::Refuse,
        ..PublishOptions::default()
    })
}

pub(in crate::session) fn published(
    id: u32,
    outcome: Result<Outcome, BrokerError>,
    ctx: &mut impl Ctx,
) -> Step {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a client's publication was not accepted");
        return refuse(id, broker_error(&error), ctx);
    }
    ctx.reply(Reply {
        id,
        publish: Some(PublishResult::default()),
        ..Reply::default()
    });
    Step::Idle
}
