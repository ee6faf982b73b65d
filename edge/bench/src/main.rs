//! The load generator: starts a server that speaks the protocol, loads it over the loopback, and says what
//! each connection, delivery and request cost it.
//!
//! One thread, one core, no async runtime: the generator must cost less than what it measures. A run whose
//! deliveries are not exactly right is void, whatever its figures.

mod check;
mod cli;
mod clock;
mod cores;
mod fan;
mod floor;
mod frame;
mod http;
mod payload;
mod report;
mod server;
mod swarm;
mod usage;
mod workloads;

use std::process::ExitCode;

/// 0: every run counts. 1: a run is void. 2: it could not be measured.
fn main() -> ExitCode {
    match cli::run() {
        Ok(report::Verdict::Valid) => ExitCode::SUCCESS,
        Ok(report::Verdict::Void) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
