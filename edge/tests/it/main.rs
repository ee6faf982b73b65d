//! The edge over real sockets: a whole node in this process, or the program itself in its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod api;
mod commands;
mod compression;
mod connections;
mod endpoints;
mod fanout;
mod frames;
mod handshake;
mod lifecycle;
mod process;
mod slow;
mod status;
mod timers;

#[path = "../support/mod.rs"]
mod support;
