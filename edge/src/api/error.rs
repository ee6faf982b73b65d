//! What an API call can fail with (server-api.md section 3).

use axum::http::StatusCode;
use serde::Serialize;

use super::fields::BadBody;
use crate::broker::BrokerError;
use crate::control::ControlError;

/// A failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The body is not the JSON object that the method takes; not an API error but HTTP 400.
    BadBody,
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
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct ErrorBody {
    /// Stable code.
    pub code: u32,
    /// Its name.
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
            Self::BadRequest | Self::BadBody => (107, "bad request"),
        };
        ErrorBody { code, message }
    }

    /// The HTTP status in transport mode.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Internal | Self::Unwritable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownChannel | Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest | Self::BadBody | Self::NotAvailable => StatusCode::BAD_REQUEST,
            Self::UnrecoverablePosition => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }
}

impl From<BadBody> for ApiError {
    fn from(_: BadBody) -> Self {
        Self::BadBody
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
        tracing::warn!(error = crate::chain(&error), "the nodes could not be asked");
        Self::Internal
    }
}
