//! `info`: the nodes of the cluster (server-api.md section 5.10).

use serde::Serialize;

use super::{Api, ApiError};
use crate::control::NodeInfo;

/// The nodes, in no order.
#[derive(Debug, Serialize)]
pub(super) struct InfoResult {
    nodes: Vec<NodeInfo>,
}

pub(super) async fn call(api: &Api) -> Result<InfoResult, ApiError> {
    Ok(InfoResult {
        nodes: api.control.info().await?,
    })
}
