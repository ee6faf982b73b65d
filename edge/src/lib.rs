//! The Tidewire edge: clients hold connections and subscribe to channels, backends publish.
//!
//! Modules in reading order; ARCHITECTURE.md tells the way of a publication through them.

pub mod api;
pub mod auth;
pub mod broker;
pub mod config;
pub mod control;
pub mod delta;
pub mod demo;
pub mod filter;
pub mod front;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod internal;
pub mod metrics;
pub mod node;
pub mod refusals;
pub mod services;
pub mod session;
pub mod shard;
pub mod transport;

/// The version in connect replies, the status endpoint and the build metric.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " Tidewire");

/// An error with its sources, for a log line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
