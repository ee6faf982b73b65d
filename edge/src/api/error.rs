//! What an API call can fail with (server-api.md section 3).

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::broker::BrokerError;
use crate::control::ControlError;

/// A failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// 100: the broker or another node failed; try again.
    Internal,
    /// 102: the channel's namespace is not configured.
    UnknownChannel,
    /// 104: no such method.
    NotFound,
    /// 108: the namespace does not have the feature.
    NotAvailable,
    /// 112: the position belongs to another epoch.
    UnrecoverablePosition,
    /// The result holds what JSON cannot carry; not an API error but HTTP 500.
    Unwritable,
    /// 107: a required field is missing, or a value is not acceptable.
    BadRequest,
}

/// An error as callers see it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, PartialEq, Eq)]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// Stable code: 100 internal, 102 unknown channel, 104 not found, 107 bad request, 108 not available, 112
    /// unrecoverable position.
    pub code: u32,
    /// The code in words.
    pub message: &'static str,
}

impl ApiError {
    /// Code and message.
    #[must_use]
    pub fn body(self) -> ErrorBody {
        let (code, message) = match self {
            Self::Internal | Self::Unwritable => (100, "internal server error"),
            Self::NotFound => (104, "not found"),
            Self::NotAvailable => (108, "not available"),
            Self::UnrecoverablePosition => (112, "unrecoverable position"),
            Self::UnknownChannel => (102, "unknown channel"),
            Self::BadRequest => (107, "bad request"),
        };
        ErrorBody { code, message }
    }

    /// The HTTP status in transport mode.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Internal | Self::Unwritable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownChannel | Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest | Self::NotAvailable => StatusCode::BAD_REQUEST,
            Self::UnrecoverablePosition => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }
}

impl From<BrokerError> for ApiError {
    fn from(error: BrokerError) -> Self {
        tracing::debug!(%error, "the broker refused an API call");
        match error {
            BrokerError::UnknownEpoch => Self::UnrecoverablePosition,
            BrokerError::NoHistory => Self::NotAvailable,
            BrokerError::Full
            | BrokerError::Disconnected
            | BrokerError::BadChannel
            | BrokerError::TooLarge
            | BrokerError::BadFilter => Self::Internal,
        }
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let error_chain = crate::chain(&error);
        match error {
            // The caller's mistake.
            ControlError::Pattern(_) => {
                tracing::debug!(error = error_chain, "the nodes were not asked");
            }
            // One line would follow another; the caller is told to come again.
            ControlError::Busy | ControlError::Disconnected => {
                tracing::info!(error = error_chain, "the nodes were not asked");
            }
            ControlError::Failed { .. } | ControlError::Timeout(_) => {
                tracing::warn!(error = error_chain, "the nodes could not be asked");
            }
        }
        Self::Internal
    }
}
