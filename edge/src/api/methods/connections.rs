//! `subscribe`, `unsubscribe`, `disconnect`, `refresh`: what a backend does to a user's connections, on all nodes
//! (server-api.md sections 5.3 to 5.6).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tidewire_protocol::DisconnectCode;

use super::history::Empty;
use super::{Api, ApiError, Fields};
use crate::control::{NodeCommand, ServerOverrides, ServerSubscription, Target};
use crate::services::unix_time;

/// A value that may be given.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Overridden {
    value: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Override {
    presence: Option<Overridden>,
    join_leave: Option<Overridden>,
    force_push_join_leave: Option<Overridden>,
    force_recovery: Option<Overridden>,
    force_positioning: Option<Overridden>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disconnect {
    code: u32,
    reason: String,
}

pub(super) async fn subscribe(api: &Api, mut fields: Fields) -> Result<Empty, ApiError> {
    let channel: String = fields.take("channel")?;
    known(api, &channel)?;
    let overridden: Override = fields.take("override")?;
    let expire_at: i64 = fields.take("expire_at")?;
    if expire_at != 0 && u64::try_from(expire_at).unwrap_or(0) <= unix_time() {
        return Err(ApiError::Internal);
    }
    let value = |given: Option<Overridden>| given.map(|given| given.value);
    let subscription = ServerSubscription {
        channel,
        info: payload(&mut fields, "info", "b64info")?,
        data: payload(&mut fields, "data", "b64data")?,
        expire_at,
        overrides: ServerOverrides {
            presence: value(overridden.presence),
            join_leave: value(overridden.join_leave),
            force_push_join_leave: value(overridden.force_push_join_leave),
            force_recovery: value(overridden.force_recovery),
            force_positioning: value(overridden.force_positioning),
        },
    };
    let target = target(&mut fields)?;
    act(
        api,
        NodeCommand::Subscribe {
            target,
            subscription,
        },
    )
    .await
}

pub(super) async fn unsubscribe(api: &Api, mut fields: Fields) -> Result<Empty, ApiError> {
    let channel: String = fields.take("channel")?;
    if !channel.is_empty() {
        known(api, &channel)?;
    }
    let target = target(&mut fields)?;
    act(api, NodeCommand::Unsubscribe { target, channel }).await
}

pub(super) async fn disconnect(api: &Api, mut fields: Fields) -> Result<Empty, ApiError> {
    let given: Option<Disconnect> = fields.take("disconnect")?;
    let Disconnect { code, reason } = given.unwrap_or_else(|| Disconnect {
        code: DisconnectCode::ForceDisconnect.code(),
        reason: DisconnectCode::ForceDisconnect.reason().to_owned(),
    });
    let command = NodeCommand::Disconnect {
        target: target(&mut fields)?,
        whitelist: fields.take("whitelist")?,
        code,
        reason,
    };
    act(api, command).await
}

pub(super) async fn refresh(api: &Api, mut fields: Fields) -> Result<Empty, ApiError> {
    let command = NodeCommand::Refresh {
        target: target(&mut fields)?,
        expired: fields.take("expired")?,
        expire_at: fields.take("expire_at")?,
        info: fields.payload("info").to_vec(),
    };
    act(api, command).await
}

async fn act(api: &Api, command: NodeCommand) -> Result<Empty, ApiError> {
    api.control.act(command).await?;
    Ok(Empty {})
}

fn target(fields: &mut Fields) -> Result<Target, ApiError> {
    Ok(Target {
        user: fields.take("user")?,
        client: fields.take("client")?,
        session: fields.take("session")?,
    })
}

/// Refuses an empty channel and one of an unknown namespace.
fn known(api: &Api, channel: &str) -> Result<(), ApiError> {
    if channel.is_empty() {
        return Err(ApiError::BadRequest);
    }
    let live = api.services.settings.live();
    live.namespace(channel)
        .map(|_| ())
        .ok_or(ApiError::UnknownChannel)
}

/// A payload, or its Base64 twin, which wins.
fn payload(fields: &mut Fields, plain: &str, base64: &str) -> Result<Vec<u8>, ApiError> {
    let twin: String = fields.take(base64)?;
    let plain = fields.payload(plain);
    if twin.is_empty() {
        return Ok(plain.to_vec());
    }
    STANDARD
        .decode(twin)
        .map_err(|_not_base64| ApiError::BadRequest)
}
