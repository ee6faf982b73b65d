//! The Tidewire edge.

pub mod broker;
pub mod control;
