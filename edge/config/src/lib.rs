//! Every option of the Tidewire edge, once: types, defaults, bounds, loader and checks.
//!
//! The shape of [`Config`] is the shape of the configuration file, and its schema is the only
//! table of options: the loader, the environment names, the printed documents and the operator's
//! resource definition all walk it. This crate knows neither Tokio nor Kubernetes, opens no
//! sockets and never prints a secret.

pub mod check;
pub mod document;
pub mod duration;
pub mod environment;
pub mod hash;
pub mod load;
pub mod namespaces;
pub mod options;
pub mod pem;
pub mod schema;
pub mod secret;

mod coerce;
mod file;
mod keys;
mod known;
mod layer;
mod scalar;
mod secrets_dir;

pub use check::Violation;
pub use duration::{Duration, DurationError};
pub use hash::{boot_hash, live_hash, split};
pub use layer::merge;
pub use namespaces::{Namespace, Namespaces};
pub use options::*;
pub use pem::{Pem, PemError};
pub use schema::{
    AllowedValue, Change, OptionInfo, ValueType, crd_schema, first_sentence, options, schema,
    secret_paths, without_effect,
};
pub use secret::Secret;
