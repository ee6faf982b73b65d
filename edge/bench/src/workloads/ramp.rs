//! `ramp`: clients come, connect and subscribe.

use anyhow::Result;

use super::{Context, IN_FLIGHT, Workload};
use crate::clock;
use crate::report::{Bound, Figure, Outcome};
use crate::server::Server;
use crate::swarm::{Plan, Swarm};
use crate::usage::machine_busy;

pub(super) const WORKLOAD: Workload = Workload {
    name: "ramp",
    about: "9,000 clients connect and subscribe, 64 in flight",
    delivers: false,
    run,
};

fn run(context: &Context) -> Result<Outcome> {
    let size = &context.size;
    let connections = size.connections.unwrap_or(9000);
    let server = Server::start(&context.launch)?;
    context.progress(&format!("{connections} clients connect"));
    let before = (server.cpu()?, clock::process_cpu(), machine_busy()?);
    let began = clock::now();
    let swarm = Swarm::connect(Plan {
        address: server.address,
        connections,
        channels: size.channels.unwrap_or(connections),
        in_flight: IN_FLIGHT,
    })?;
    let wall = (clock::now() - began) as f64 / 1e3;
    let cpu = server.cpu()?.since(before.0);
    let generator = (clock::process_cpu() - before.1) as f64 / 1e3;
    let others = machine_busy()? - before.2 - cpu.total() - generator;

    let each = connections as f64;
    let figures = vec![
        Figure::new("connections", "", each),
        Figure::new("CPU per connect + subscribe", "µs", cpu.total() / each)
            .must(Bound::AtMost(75.0)),
        Figure::new("  user part", "µs", cpu.user / each),
        Figure::new("  system part", "µs", cpu.system / each),
        Figure::new("connections per second", "", each / (wall / 1e6)),
        Figure::new("generator's share of a core", "%", generator * 100.0 / wall),
        Figure::noise(others, wall),
    ];
    Ok(Outcome {
        figures,
        void: swarm.tally.ended,
    })
}
