//! Bodies of the fuzz targets in `edge/fuzz`, shared with the test that replays their corpus.
//!
//! Each takes any bytes, and panics where a promise of the code under it is broken. Built for tests and with the
//! feature `fuzzing` only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target fails by panicking"
)]

mod api;
mod bodies;
mod deltas;
mod filters;
mod frames;
mod session;
mod tape;
mod tokens;

#[cfg(test)]
mod tests;

pub use api::api;
pub use bodies::bodies;
pub use deltas::deltas;
pub use filters::filters;
pub use frames::frames;
pub use session::session;
pub use tokens::tokens;
