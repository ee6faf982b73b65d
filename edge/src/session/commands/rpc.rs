//! `rpc`: only the built-in ping has an answer as long as there are no proxies (client-protocol, section 14).

use tidewire_protocol::{ErrorCode, RPCRequest, RPCResult, Reply};

use crate::session::state::refuse;
use crate::session::{Ctx, Step};

pub(in crate::session) fn handle(id: u32, request: &RPCRequest, ctx: &mut impl Ctx) -> Step {
    let rpc = &ctx.live().config.rpc;
    let code = if !rpc.knows_namespace_of(&request.method) {
        ErrorCode::MethodNotFound
    } else if !rpc.ping.enabled {
        ErrorCode::NotAvailable
    } else if request.method != rpc.ping.method {
        ErrorCode::MethodNotFound
    } else {
        ctx.reply(Reply {
            id,
            rpc: Some(RPCResult::default()),
            ..Reply::default()
        });
        return Step::Idle;
    };
    refuse(id, code, ctx)
}
