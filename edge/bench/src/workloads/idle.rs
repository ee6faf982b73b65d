//! `idle`: clients that are only there. What one costs in memory, and in processor time for its pings.

use anyhow::Result;

use super::{Context, IN_FLIGHT, Workload};
use crate::clock::{self, SECOND};
use crate::report::{Bound, Figure, Outcome};
use crate::server::Server;
use crate::swarm::{Plan, Swarm};
use crate::usage::machine_busy;

/// Memory is read so long after the last client came, when what the handshakes needed is given back.
const SETTLE: clock::Nanos = 3 * SECOND;

pub(super) const WORKLOAD: Workload = Workload {
    name: "idle",
    about: "9,000 clients with one subscription each, pinged every 25 s",
    delivers: false,
    run,
};

fn run(context: &Context) -> Result<Outcome> {
    let size = &context.size;
    let connections = size.connections.unwrap_or(9000);
    let channels = size.channels.unwrap_or(connections);
    let seconds = size.seconds.unwrap_or(75);
    let server = Server::start(&context.launch)?;
    let empty = server.memory()?;
    context.progress(&format!("{connections} clients on {channels} channels"));
    let mut swarm = Swarm::connect(Plan {
        address: server.address,
        connections,
        channels,
        in_flight: IN_FLIGHT,
    })?;
    swarm.rest(SETTLE)?;
    let full = server.memory()?;
    context.progress(&format!("resting for {seconds} s"));
    let before = (server.cpu()?, clock::process_cpu(), machine_busy()?);
    let (began, pings) = (clock::now(), swarm.tally.pings);
    swarm.rest(seconds * SECOND)?;
    let wall = (clock::now() - began) as f64 / 1e3;
    let cpu = server.cpu()?.since(before.0);
    let generator = (clock::process_cpu() - before.1) as f64 / 1e3;
    let others = machine_busy()? - before.2 - cpu.total() - generator;
    let rested = server.memory()?;

    let each = connections as f64;
    let kib = |bytes: f64| bytes / 1024.0 / each;
    let per_second = |time: f64| time / each / (wall / 1e6);
    let figures = vec![
        Figure::new("connections", "", each),
        Figure::new(
            "resident memory each",
            "KiB",
            kib(full.resident - empty.resident),
        )
        .must(Bound::AtMost(3.0)),
        Figure::new(
            "  heap and stacks",
            "KiB",
            kib(full.anonymous - empty.anonymous),
        ),
        Figure::new(
            "  resident after the rest",
            "KiB",
            kib(rested.resident - empty.resident),
        ),
        Figure::new("resident before", "MB", empty.resident / 1e6),
        Figure::new("CPU per connection-second", "µs", per_second(cpu.total()))
            .must(Bound::AtMost(1.2)),
        Figure::new("  user part", "µs", per_second(cpu.user)),
        Figure::new("  system part", "µs", per_second(cpu.system)),
        Figure::new("pings answered", "", (swarm.tally.pings - pings) as f64),
        Figure::noise(others, wall),
    ];
    Ok(Outcome {
        figures,
        void: swarm.tally.ended,
    })
}
