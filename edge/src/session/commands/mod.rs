//! One file per command: its checks, its effect, its reply.

pub(super) mod connect;
pub(super) mod publish;
pub(super) mod refresh;
pub(super) mod subscribe;
pub(super) mod unsubscribe;

use tidewire_config::ChannelOptions;
use tidewire_protocol::ErrorCode;

use crate::config::Live;

/// The options of a channel that a client names.
///
/// # Errors
/// 102 if its namespace is unknown, 107 if the name is invalid there (channels-and-auth, section 1).
pub(super) fn options<'a>(live: &'a Live, channel: &str) -> Result<&'a ChannelOptions, ErrorCode> {
    let namespace = live.namespace(channel).ok_or(ErrorCode::UnknownChannel)?;
    if !live.accepts_name(namespace, channel) {
        return Err(ErrorCode::BadRequest);
    }
    Ok(&namespace.options)
}
