//! Every option of the Tidewire edge, once: types, defaults, bounds, loader and checks.
//!
//! The shape of [`Config`] is the shape of the configuration file, and its schema is the only
//! table of options: the loader, the environment names, the printed documents and the operator's
//! resource definition all walk it. This crate knows neither Tokio nor Kubernetes, opens no
//! sockets and never prints a secret.

pub mod duration;
pub mod options;
pub mod secret;

pub use duration::{Duration, DurationError};
pub use options::*;
pub use secret::Secret;
