//! What can go wrong while one object is reconciled, each with a stable reason for events, conditions and metrics.

use std::time::Duration;

/// Why a reconcile stopped. All of them are retried; the spec's own faults are conditions, not errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading what the cluster refers to, or its children, failed.
    #[error("could not read {what}")]
    Fetch {
        /// Kind of object, or kind and name.
        what: String,
        /// The client's error.
        source: kube::Error,
    },
    /// Writing a child failed.
    #[error("could not apply {what}")]
    Apply {
        /// Kind and name.
        what: String,
        /// The client's error.
        source: kube::Error,
    },
    /// Deleting a child that is no longer wanted failed.
    #[error("could not delete {what}")]
    Prune {
        /// Kind and name.
        what: String,
        /// The client's error.
        source: kube::Error,
    },
    /// Writing the status failed.
    #[error("could not write the status")]
    Status {
        /// The client's error.
        source: kube::Error,
    },
    /// The object lacks a name, a namespace or a UID: it did not come from an API server.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// A child could not be written as JSON; a fault in this program.
    #[error("could not write {what} as JSON")]
    Render {
        /// What was rendered.
        what: &'static str,
        /// The serializer's error.
        source: serde_json::Error,
    },
}

impl Error {
    /// Stable word for events, conditions and the metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Fetch { .. } => "FetchFailed",
            Self::Apply { .. } => "ApplyFailed",
            Self::Prune { .. } => "PruneFailed",
            Self::Status { .. } => "StatusFailed",
            Self::Incomplete(_) => "ObjectIncomplete",
            Self::Render { .. } => "RenderFailed",
        }
    }

    /// Whether somebody else changed the object meanwhile, which is no fault and worth an early retry.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Fetch { source, .. }
            | Self::Apply { source, .. }
            | Self::Prune { source, .. }
            | Self::Status { source } => {
                matches!(source, kube::Error::Api(status) if status.code == 409)
            }
            Self::Incomplete(_) | Self::Render { .. } => false,
        }
    }

    /// The error and its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            // kube repeats its source in its own message; say each thing once.
            let next = error.to_string();
            if !text.contains(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}

/// Shortest and longest wait between two attempts after errors.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(120);

/// How long to wait after the `failures`th failure in a row (from 1): doubling, with up to a quarter of `jitter` (0 to 1).
#[must_use]
pub fn retry_after(failures: u32, jitter: f64) -> Duration {
    let doubled = RETRY_MIN
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(RETRY_MAX);
    doubled.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_up_to_the_limit_and_spread_by_jitter() {
        assert_eq!(retry_after(1, 0.0), Duration::from_secs(1));
        assert_eq!(retry_after(4, 0.0), Duration::from_secs(8));
        assert_eq!(retry_after(u32::MAX, 0.0), RETRY_MAX);
        assert_eq!(retry_after(3, 1.0), Duration::from_secs(5));
    }

    #[test]
    fn a_write_conflict_is_told_apart_from_other_refusals() {
        let with_code = |code| Error::Apply {
            what: "Service/blue".to_owned(),
            source: kube::Error::Api(Box::new(
                kube::core::Status::failure("no", "Reason").with_code(code),
            )),
        };
        assert!(with_code(409).is_conflict());
        assert!(!with_code(422).is_conflict());
        assert_eq!(with_code(422).reason(), "ApplyFailed");
    }
}
