//! The Tidewire operator: turns one `RealtimeCluster` into edge nodes, NATS, keys and Services.
//!
//! Modules in reading order: [`api`] is what users write, [`controller`] decides when an object is looked at,
//! [`reconcile`] is one look, and the modules after it are its five steps.

pub mod api;
pub mod controller;
pub mod reconcile;

pub mod apply;
pub mod fetch;
pub mod nodes;
pub mod reminder;
pub mod resources;
pub mod rollout;
pub mod status;
pub mod validate;

pub mod conditions;
pub mod context;
pub mod error;
pub mod leader;
pub mod metrics;

#[cfg(test)]
mod test_support;
