//! `subscribe`, `unsubscribe`, `disconnect`, `refresh`: what a backend does to a user's connections, on all nodes
//! (server-api.md sections 5.3 to 5.6).

use schemars::JsonSchema;
use serde::Deserialize;
use tidewire_protocol::DisconnectCode;

use super::history::{Empty, StreamPosition};
use super::{Api, ApiError};
use crate::api::lenient::Payload;
use crate::control::{NodeCommand, ServerOverrides, ServerSubscription, Since, Target};
use crate::services::unix_time;

/// Whose connections, to what, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["channel"]))]
pub(super) struct SubscribeRequest {
    /// The user; empty is every anonymous connection.
    user: String,
    /// The channel.
    channel: String,
    /// Only this client id; empty is all of the user's.
    client: String,
    /// Only this session; empty is all of the user's.
    session: String,
    /// Information about the client in this channel, for presence, joins and leaves: JSON of any kind.
    info: Payload,
    /// `info` in Base64; it wins.
    b64info: String,
    /// Data for the client, delivered with the subscription: JSON of any kind.
    data: Payload,
    /// `data` in Base64; it wins.
    b64data: String,
    /// Unix time in seconds when the subscription ends; 0 is never.
    expire_at: i64,
    /// Deliver what was published since, if the channel recovers and still has all of it.
    recover_since: Option<StreamPosition>,
    /// Options of the namespace that are different for this subscription.
    r#override: SubscribeOptionOverride,
}

/// Options of a namespace; what is left out stays as it is there.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct SubscribeOptionOverride {
    /// Take part in presence.
    presence: Option<BoolValue>,
    /// Tell others of joins and leaves.
    join_leave: Option<BoolValue>,
    /// Get joins and leaves of others.
    force_push_join_leave: Option<BoolValue>,
    /// Recover missed publications after a reconnect.
    force_recovery: Option<BoolValue>,
    /// Notice lost publications.
    force_positioning: Option<BoolValue>,
}

/// Whose connections, and of what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["channel"]))]
pub(super) struct UnsubscribeRequest {
    /// The user; empty is every anonymous connection.
    user: String,
    /// The channel.
    channel: String,
    /// Only this client id; empty is all of the user's.
    client: String,
    /// Only this session; empty is all of the user's.
    session: String,
}

/// Whose connections, and how they end.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct DisconnectRequest {
    /// The user; empty is every anonymous connection.
    user: String,
    /// Only this client id; empty is all of the user's.
    client: String,
    /// Only this session; empty is all of the user's.
    session: String,
    /// Client ids to spare.
    whitelist: Vec<String>,
    /// Code and reason; without them 3503, `force disconnect`.
    disconnect: Option<Disconnect>,
}

/// How a connection ends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Disconnect {
    /// Close code. Clients do not come back after 3500 to 3999 and 4500 to 4999.
    code: u32,
    /// The code in words, at most 123 bytes.
    reason: String,
}

/// Whose connections, and when they expire.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RefreshRequest {
    /// The user; empty is every anonymous connection.
    user: String,
    /// Only this client id; empty is all of the user's.
    client: String,
    /// Only this session; empty is all of the user's.
    session: String,
    /// Close the connections as expired.
    expired: bool,
    /// Unix time in seconds when the connections expire; the past closes them, 0 is never.
    expire_at: i64,
    /// Information about the client from now on: JSON of any kind. It counts with an `expire_at` in the future.
    info: Payload,
}

/// A value that may be left out.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BoolValue {
    /// The value.
    value: bool,
}

pub(super) async fn subscribe(api: &Api, request: SubscribeRequest) -> Result<Empty, ApiError> {
    if request.channel.is_empty() {
        return Err(ApiError::BadRequest);
    }
    known(api, &request.channel)?;
    let expire_at = request.expire_at;
    if expire_at != 0 && u64::try_from(expire_at).unwrap_or(0) <= unix_time() {
        return Err(ApiError::Internal);
    }
    let value = |given: Option<BoolValue>| given.map(|given| given.value);
    let overridden = request.r#override;
    let subscription = ServerSubscription {
        channel: request.channel,
        info: request.info.or_base64(&request.b64info)?.to_vec(),
        data: request.data.or_base64(&request.b64data)?.to_vec(),
        expire_at,
        overrides: ServerOverrides {
            presence: value(overridden.presence),
            join_leave: value(overridden.join_leave),
            force_push_join_leave: value(overridden.force_push_join_leave),
            force_recovery: value(overridden.force_recovery),
            force_positioning: value(overridden.force_positioning),
        },
        recover_since: request.recover_since.map(|since| Since {
            offset: since.offset,
            epoch: since.epoch,
        }),
    };
    let target = target(request.user, request.client, request.session);
    act(
        api,
        NodeCommand::Subscribe {
            target,
            subscription,
        },
    )
    .await
}

pub(super) async fn unsubscribe(api: &Api, request: UnsubscribeRequest) -> Result<Empty, ApiError> {
    if !request.channel.is_empty() {
        known(api, &request.channel)?;
    }
    let command = NodeCommand::Unsubscribe {
        target: target(request.user, request.client, request.session),
        channel: request.channel,
    };
    act(api, command).await
}

pub(super) async fn disconnect(api: &Api, request: DisconnectRequest) -> Result<Empty, ApiError> {
    let Disconnect { code, reason } = request.disconnect.unwrap_or_else(|| Disconnect {
        code: DisconnectCode::ForceDisconnect.code(),
        reason: DisconnectCode::ForceDisconnect.reason().to_owned(),
    });
    let command = NodeCommand::Disconnect {
        target: target(request.user, request.client, request.session),
        whitelist: request.whitelist,
        code,
        reason,
    };
    act(api, command).await
}

pub(super) async fn refresh(api: &Api, request: RefreshRequest) -> Result<Empty, ApiError> {
    let command = NodeCommand::Refresh {
        target: target(request.user, request.client, request.session),
        expired: request.expired,
        expire_at: request.expire_at,
        info: request.info.0.to_vec(),
    };
    act(api, command).await
}

async fn act(api: &Api, command: NodeCommand) -> Result<Empty, ApiError> {
    api.control.act(command).await?;
    Ok(Empty {})
}

fn target(user: String, client: String, session: String) -> Target {
    Target {
        user,
        client,
        session,
    }
}

/// Refuses a channel of an unknown namespace.
fn known(api: &Api, channel: &str) -> Result<(), ApiError> {
    let live = api.services.settings.live();
    live.namespace(channel)
        .map(|_| ())
        .ok_or(ApiError::UnknownChannel)
}
