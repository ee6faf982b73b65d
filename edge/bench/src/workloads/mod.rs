//! The workloads, one file each: how the server is loaded, what is measured, what it must reach.

mod api_pub;
mod fan_load;
mod fan_low;
mod idle;
mod ramp;

use anyhow::Result;

use crate::cli::Size;
use crate::report::Outcome;
use crate::server::Launch;

/// Clients that connect at the same time.
pub(crate) const IN_FLIGHT: usize = 64;

/// What every workload is given.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The server to start.
    pub(crate) launch: Launch,
    /// What the command line says about the size of the load.
    pub(crate) size: Size,
    /// One delivery is lost on purpose.
    pub(crate) inject_loss: bool,
    /// Which run of which workload this is, for people.
    pub(crate) title: String,
}

impl Context {
    /// Says what is going on.
    pub(crate) fn progress(&self, what: &str) {
        eprintln!("bench: {}: {what}", self.title);
    }
}

/// A workload.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Its name on the command line and in the report.
    pub(crate) name: &'static str,
    /// What it is, in one line.
    pub(crate) about: &'static str,
    /// Whether messages are delivered, so that one can be lost.
    pub(crate) delivers: bool,
    /// Runs it once.
    pub(crate) run: fn(&Context) -> Result<Outcome>,
}

/// Every workload.
pub(crate) const ALL: &[Workload] = &[
    idle::WORKLOAD,
    ramp::WORKLOAD,
    fan_low::WORKLOAD,
    fan_load::WORKLOAD,
    api_pub::WORKLOAD,
];
