//! The edge over real sockets: a whole node in this process, or the program itself in its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod api;
mod calls;
mod channels;
mod commands;
mod compression;
mod connections;
mod delta;
mod endpoints;
mod fanout;
mod frames;
mod handshake;
mod jwks;
mod legacy;
mod lifecycle;
mod nats;
mod openapi;
mod presence;
mod process;
mod publishing;
mod recovery;
mod server_side;
mod slow;
mod status;
mod streams;
mod subscriptions;
mod timers;
mod tokens;
mod unidirectional;

#[path = "../support/mod.rs"]
mod support;
