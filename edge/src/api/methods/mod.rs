//! The methods, one file each.

mod batch;
mod broadcast;
mod channels;
mod connections;
mod history;
mod info;
mod presence;
mod publish;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Api, ApiError, Fields};

/// The methods that this edge has, without `batch`, which is of another shape.
const METHODS: [&str; 13] = [
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "history",
    "history_remove",
    "presence",
    "presence_stats",
    "info",
    "rpc",
    "refresh",
    "channels",
];

/// Whether a method of this name exists.
pub(super) fn exists(method: &str) -> bool {
    METHODS.contains(&method)
}

pub(super) use batch::call as batch;

/// Runs a method that [`exists`].
pub(super) async fn call(
    api: &Api,
    method: &str,
    fields: Fields,
) -> Result<Box<RawValue>, ApiError> {
    match method {
        "publish" => raw(&publish::call(api, fields).await?),
        "broadcast" => raw(&broadcast::call(api, fields).await?),
        "history" => raw(&history::call(api, fields).await?),
        "history_remove" => raw(&history::remove(api, fields).await?),
        "presence" => raw(&presence::call(api, fields).await?),
        "presence_stats" => raw(&presence::stats(api, fields).await?),
        "info" => raw(&info::call(api).await?),
        "channels" => raw(&channels::call(api, fields).await?),
        "rpc" => rpc(fields),
        "subscribe" => raw(&connections::subscribe(api, fields).await?),
        "unsubscribe" => raw(&connections::unsubscribe(api, fields).await?),
        "disconnect" => raw(&connections::disconnect(api, fields).await?),
        "refresh" => raw(&connections::refresh(api, fields).await?),
        _ => Err(ApiError::NotFound),
    }
}

/// `rpc`: no method is registered (server-api.md section 5.11).
fn rpc(mut fields: Fields) -> Result<Box<RawValue>, ApiError> {
    let method: String = fields.take("method")?;
    Err(if method.is_empty() {
        ApiError::BadRequest
    } else {
        ApiError::NotFound
    })
}

fn raw(result: &impl Serialize) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(result).map_err(|error| {
        tracing::error!(%error, "an API result could not be written");
        ApiError::Internal
    })
}
