//! `rpc`: no method is registered (server-api.md section 5.11).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Api, ApiError};
use crate::api::lenient::Payload;

/// A call of an extension.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["method"]))]
pub(super) struct RpcRequest {
    /// The extension's method.
    method: String,
    /// What it gets: JSON of any kind.
    params: Payload,
}

/// What an extension answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RpcResult {
    /// JSON of any kind.
    data: serde_json::Value,
}

pub(super) async fn call(_api: &Api, request: RpcRequest) -> Result<RpcResult, ApiError> {
    Err(if request.method.is_empty() {
        ApiError::BadRequest
    } else {
        ApiError::NotFound
    })
}
