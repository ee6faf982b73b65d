//! `history`: part of a channel's stream (client-protocol, section 14).

use tidewire_protocol::{ErrorCode, HistoryRequest, HistoryResult, Reply};

use super::{Feature, Right, broker_error, options, permitted};
use crate::broker::{BrokerError, HistoryFilter, HistoryPage, Position, StreamOptions};
use crate::session::state::{Pending, Phase, bad_request, call, refuse};
use crate::session::{Ctx, Request, Session, Step};

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    request: HistoryRequest,
    ctx: &mut impl Ctx,
) -> Step {
    let Phase::Ready(identity) = &session.phase else {
        return bad_request();
    };
    if request.channel.is_empty() {
        return bad_request();
    }
    let feature = Feature {
        available: |options| StreamOptions::of(options).is_some(),
        right: Right::history,
    };
    if let Err(code) = permitted(ctx, &request.channel, &identity.user, feature) {
        return refuse(id, code, ctx);
    }
    let max = ctx.live().boot.client.history_max_publication_limit as usize;
    let limit = usize::try_from(request.limit).map_or(max, |limit| limit.min(max));
    let filter = HistoryFilter {
        since: request.since.map(|since| Position {
            offset: since.offset,
            epoch: since.epoch.into(),
        }),
        limit: Some(limit),
        reverse: request.reverse,
    };
    if filter.check().is_err() {
        return refuse(id, ErrorCode::BadRequest, ctx);
    }
    let Some(options) = options(ctx.live(), &request.channel)
        .ok()
        .and_then(StreamOptions::of)
    else {
        return refuse(id, ErrorCode::NotAvailable, ctx);
    };
    let channel = request.channel.into_boxed_str();
    let request = Request::History {
        channel,
        filter,
        options,
    };
    call(Pending::History { id }, request)
}

pub(in crate::session) fn read(
    id: u32,
    page: Result<HistoryPage, BrokerError>,
    ctx: &mut impl Ctx,
) -> Step {
    let page = match page {
        Ok(page) => page,
        Err(error) => return refuse(id, broker_error(&error), ctx),
    };
    let result = HistoryResult {
        publications: page
            .publications
            .iter()
            .map(|it| it.publication.clone())
            .collect(),
        epoch: page.top.epoch.to_string(),
        offset: page.top.offset,
    };
    ctx.reply(Reply {
        id,
        history: Some(result),
        ..Reply::default()
    });
    Step::Idle
}
