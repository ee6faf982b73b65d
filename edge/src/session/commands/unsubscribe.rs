//! `unsubscribe`: the state is gone before the reply; unsubscribing twice is fine.

use tidewire_protocol::{Reply, UnsubscribeRequest, UnsubscribeResult};

use crate::session::state::bad_request;
use crate::session::{Ctx, Settle, Step};

pub(in crate::session) fn handle(
    id: u32,
    request: &UnsubscribeRequest,
    ctx: &mut impl Ctx,
) -> Step {
    if request.channel.is_empty() {
        return bad_request();
    }
    ctx.settle(&request.channel, Settle::Ended);
    ctx.reply(Reply {
        id,
        unsubscribe: Some(UnsubscribeResult::default()),
        ..Reply::default()
    });
    Step::Idle
}
