//! Abuse of the program itself: each kind gets its code, memory stays within the bound that the test states, and a
//! well-behaved client beside it gets every publication in order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bombs;
mod edge;
mod floods;
mod garbage;
mod half_open;
mod limits;
mod parked;
#[path = "../it/process.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod process;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod witness;
