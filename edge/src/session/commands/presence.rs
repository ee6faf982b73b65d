//! `presence` and `presence_stats`: who is in a channel, on all nodes (client-protocol, section 14).

use std::collections::{BTreeMap, BTreeSet};

use tidewire_protocol::{ClientInfo, ErrorCode, PresenceResult, PresenceStatsResult, Reply};

use super::{Feature, Right, permitted};
use crate::session::state::{Pending, Phase, bad_request, call, refuse};
use crate::session::{Ctx, Request, Session, Step};

pub(in crate::session) fn handle(
    session: &mut Session,
    id: u32,
    channel: String,
    ctx: &mut impl Ctx,
) -> Step {
    ask(session, (id, Pending::Presence { id }), channel, ctx)
}

pub(in crate::session) fn handle_stats(
    session: &mut Session,
    id: u32,
    channel: String,
    ctx: &mut impl Ctx,
) -> Step {
    ask(session, (id, Pending::PresenceStats { id }), channel, ctx)
}

fn ask(
    session: &mut Session,
    (id, pending): (u32, Pending),
    channel: String,
    ctx: &mut impl Ctx,
) -> Step {
    let Phase::Ready(identity) = &session.phase else {
        return bad_request();
    };
    if channel.is_empty() {
        return bad_request();
    }
    let feature = Feature {
        available: |options| options.presence,
        right: Right::presence,
    };
    if let Err(code) = permitted(ctx, &channel, &identity.user, feature) {
        return refuse(id, code, ctx);
    }
    let channel = channel.into_boxed_str();
    call(pending, Request::Presence { channel })
}

pub(in crate::session) fn found(
    id: u32,
    clients: Option<BTreeMap<String, ClientInfo>>,
    ctx: &mut impl Ctx,
) -> Step {
    let Some(presence) = clients else {
        return refuse(id, ErrorCode::Internal, ctx);
    };
    ctx.reply(Reply {
        id,
        presence: Some(PresenceResult { presence }),
        ..Reply::default()
    });
    Step::Idle
}

pub(in crate::session) fn counted(
    id: u32,
    clients: Option<BTreeMap<String, ClientInfo>>,
    ctx: &mut impl Ctx,
) -> Step {
    let Some(clients) = clients else {
        return refuse(id, ErrorCode::Internal, ctx);
    };
    let users: BTreeSet<&str> = clients.values().map(|info| info.user.as_str()).collect();
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let result = PresenceStatsResult {
        num_clients: count(clients.len()),
        num_users: count(users.len()),
    };
    ctx.reply(Reply {
        id,
        presence_stats: Some(result),
        ..Reply::default()
    });
    Step::Idle
}
