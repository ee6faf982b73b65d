//! One file per command: its checks, its effect, its reply.

pub(in crate::session) mod connect;
pub(super) mod history;
pub(super) mod presence;
pub(super) mod publish;
pub(super) mod refresh;
pub(super) mod rpc;
pub(super) mod sub_refresh;
pub(super) mod subscribe;
pub(super) mod unsubscribe;

use tidewire_config::ChannelOptions;
use tidewire_protocol::ErrorCode;

use crate::broker::BrokerError;
use crate::config::Live;
use crate::session::{Ctx, Subscribed};

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

/// One of the three permissions with the same shape: publish, presence, history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right {
    client: bool,
    subscriber: bool,
    anonymous: bool,
}

impl Right {
    pub(super) fn publish(options: &ChannelOptions) -> Self {
        Self {
            client: options.allow_publish_for_client,
            subscriber: options.allow_publish_for_subscriber,
            anonymous: options.allow_publish_for_anonymous,
        }
    }

    pub(super) fn presence(options: &ChannelOptions) -> Self {
        Self {
            client: options.allow_presence_for_client,
            subscriber: options.allow_presence_for_subscriber,
            anonymous: options.allow_presence_for_anonymous,
        }
    }

    pub(super) fn history(options: &ChannelOptions) -> Self {
        Self {
            client: options.allow_history_for_client,
            subscriber: options.allow_history_for_subscriber,
            anonymous: options.allow_history_for_anonymous,
        }
    }

    /// Whether this user has it (channels-and-auth, sections 6 and 7).
    pub(super) fn allows(self, user: &str, subscribed: bool) -> bool {
        let known = !user.is_empty() || self.anonymous;
        known && (self.client || self.subscriber && subscribed)
    }
}

/// Something that a namespace may have, and that needs a right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feature {
    /// Whether the namespace has it.
    pub(super) available: fn(&ChannelOptions) -> bool,
    /// Who may use it.
    pub(super) right: fn(&ChannelOptions) -> Right,
}

/// The right to use a feature of a channel, in the order of channels-and-auth section 7.
///
/// # Errors
/// The code to answer with.
pub(super) fn permitted(
    ctx: &impl Ctx,
    channel: &str,
    user: &str,
    feature: Feature,
) -> Result<(), ErrorCode> {
    let live = ctx.live();
    let options = options(live, channel)?;
    if !(feature.available)(options) {
        return Err(ErrorCode::NotAvailable);
    }
    let subscribed = ctx.subscribed(channel) == Subscribed::Yes;
    if (feature.right)(options).allows(user, subscribed) || live.config.client.insecure {
        return Ok(());
    }
    Err(ErrorCode::PermissionDenied)
}

/// What a client is told when the broker refuses.
pub(super) fn broker_error(error: &BrokerError) -> ErrorCode {
    match error {
        BrokerError::BadChannel | BrokerError::TooLarge | BrokerError::BadFilter => {
            ErrorCode::BadRequest
        }
        BrokerError::NoHistory => ErrorCode::NotAvailable,
        BrokerError::UnknownEpoch => ErrorCode::UnrecoverablePosition,
        BrokerError::Full | BrokerError::Disconnected => ErrorCode::Internal,
    }
}
