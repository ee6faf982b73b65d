//! The methods, one file each.

mod broadcast;
mod channels;
mod info;
mod publish;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Api, ApiError, Fields};

/// The methods that this edge has.
const METHODS: [&str; 4] = ["publish", "broadcast", "channels", "info"];

/// Whether a method of this name exists.
pub(super) fn exists(method: &str) -> bool {
    METHODS.contains(&method)
}

/// Runs a method that [`exists`].
pub(super) async fn call(
    api: &Api,
    method: &str,
    fields: Fields,
) -> Result<Box<RawValue>, ApiError> {
    match method {
        "publish" => raw(&publish::call(api, fields).await?),
        "broadcast" => raw(&broadcast::call(api, fields).await?),
        "channels" => raw(&channels::call(api, fields).await?),
        "info" => raw(&info::call(api).await?),
        _ => Err(ApiError::BadRequest),
    }
}

fn raw(result: &impl Serialize) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(result).map_err(|error| {
        tracing::error!(%error, "an API result could not be written");
        ApiError::Internal
    })
}
