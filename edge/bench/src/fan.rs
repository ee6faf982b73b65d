//! One channel, many subscribers, publications at a fixed rate: what the `fan-*` workloads have in common.

use std::time::Duration;

use anyhow::Result;

use crate::clock::{self, MILLISECOND, Nanos, SECOND};
use crate::floor;
use crate::http::ApiConnection;
use crate::payload::{Codec, Stamp};
use crate::report::{Bound, Figure, Outcome};
use crate::server::{Counters, Server};
use crate::swarm::{Plan, Side, Swarm, channel};
use crate::usage::{Cpu, Memory, machine_busy};
use crate::workloads::{Context, IN_FLIGHT};

/// How long deliveries may be overdue before they are given up.
const PATIENCE: Nanos = 5 * SECOND;

/// How a fan-out is loaded, and what it must reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Clients on the one channel.
    pub(crate) subscribers: usize,
    /// Publications per second.
    pub(crate) rate: u64,
    /// Seconds of measuring.
    pub(crate) seconds: u64,
    /// Targets.
    pub(crate) targets: Targets,
}

/// The targets of a fan-out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    /// Processor time per delivery in microseconds.
    pub(crate) cpu: f64,
    /// Of it in the program.
    pub(crate) user: Option<f64>,
    /// Latency in milliseconds that 99 % of the deliveries stay under.
    pub(crate) p99: f64,
    /// Resident memory of the server in MB.
    pub(crate) resident: Option<f64>,
}

/// Loads a server with this shape.
///
/// # Errors
/// The run could not be measured.
pub(crate) fn run(context: &Context, shape: Shape) -> Result<Outcome> {
    let floor = floor::measure(context.launch.cores)?;
    let server = Server::start(&context.launch)?;
    let mut swarm = Swarm::connect(Plan {
        address: server.address,
        connections: shape.subscribers,
        channels: 1,
        in_flight: IN_FLIGHT,
    })?;
    let mut publisher = Publisher::new(&server, &swarm, shape.rate)?;
    context.progress("warming up");
    publish(&mut swarm, &mut publisher, shape.rate)?;
    context.progress(&format!(
        "{} subscribers, {} publications per second, {} s",
        shape.subscribers, shape.rate, shape.seconds
    ));
    swarm.tally.latencies.clear();
    swarm.tally.lose_one = context.inject_loss;
    let before = Reading::take(&server, &swarm)?;
    publish(&mut swarm, &mut publisher, shape.rate * shape.seconds)?;
    let after = Reading::take(&server, &swarm)?;
    let mut void = swarm.tally.checker.faults(publisher.sequence);
    void.append(&mut swarm.tally.ended);
    swarm.tally.latencies.sort_unstable();
    let figures = figures(shape, floor, (&before, &after), &swarm.tally.latencies);
    Ok(Outcome { figures, void })
}

/// What is read before and after.
struct Reading {
    time: Nanos,
    delivered: u64,
    server: Cpu,
    generator: Nanos,
    machine: f64,
    memory: Memory,
    counters: Option<Counters>,
}

impl Reading {
    fn take(server: &Server, swarm: &Swarm) -> Result<Self> {
        Ok(Self {
            server: server.cpu()?,
            time: clock::now(),
            delivered: swarm.tally.checker.delivered(),
            generator: clock::process_cpu(),
            machine: machine_busy()?,
            memory: server.memory()?,
            counters: server.counters()?,
        })
    }
}

fn figures(
    shape: Shape,
    floor: f64,
    (before, after): (&Reading, &Reading),
    latencies: &[u32],
) -> Vec<Figure> {
    let targets = shape.targets;
    let cpu = after.server.since(before.server);
    let deliveries = (after.delivered - before.delivered).max(1) as f64;
    let wall = (after.time - before.time) as f64 / 1e3;
    let generator = (after.generator - before.generator) as f64 / 1e3;
    let others = after.machine - before.machine - cpu.total() - generator;
    let total = cpu.total() / deliveries;
    let at = |share: f64| quantile(latencies, share) / 1e3;
    let mut figures = vec![
        Figure::new("deliveries", "", deliveries),
        Figure::new("CPU per delivery", "µs", total).must(Bound::AtMost(targets.cpu)),
        Figure::new("  user part", "µs", cpu.user / deliveries)
            .must_if(targets.user.map(Bound::AtMost)),
        Figure::new("  system part", "µs", cpu.system / deliveries),
        Figure::new("floor: one send", "µs", floor),
        Figure::new("CPU over the floor", "µs", total - floor),
        Figure::new("latency p50", "ms", at(0.5)),
        Figure::new("latency p99", "ms", at(0.99)).must(Bound::AtMost(targets.p99)),
        Figure::new("latency p99.9", "ms", at(0.999)),
        Figure::new("resident memory", "MB", after.memory.resident / 1e6)
            .must_if(targets.resident.map(Bound::AtMost)),
    ];
    if let (Some(before), Some(after)) = (before.counters, after.counters) {
        let counted = (after.deliveries - before.deliveries).max(1.0);
        let writes = (after.writes - before.writes) / counted;
        figures.push(Figure::new("writes per delivery", "", writes));
    }
    figures.extend([
        Figure::new("server's share of a core", "%", cpu.total() * 100.0 / wall),
        Figure::new("generator's share of a core", "%", generator * 100.0 / wall)
            .must(Bound::AtMost(70.0)),
        Figure::noise(others, wall),
    ]);
    figures
}

/// The value below which this share of sorted values lies; 0 if there are none.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> f64 {
    let skipped = (sorted.len() as f64 * share).floor();
    let rank = sorted
        .iter()
        .enumerate()
        .find(|(index, _)| *index as f64 >= skipped);
    rank.map_or_else(
        || sorted.last().copied().unwrap_or_default().into(),
        |(_, value)| f64::from(*value),
    )
}

/// Publishes at a fixed rate, whatever the server does: what is late is published late, but dated with the
/// time at which it was due, so that no delay hides.
struct Publisher {
    connection: ApiConnection,
    codec: Codec,
    channel: String,
    sequence: u64,
    left: u64,
    due: Nanos,
    interval: Nanos,
}

impl Publisher {
    fn new(server: &Server, swarm: &Swarm, rate: u64) -> Result<Self> {
        let (registry, token) = swarm.registry();
        Ok(Self {
            connection: ApiConnection::open(server.address, registry, token)?,
            codec: Codec::default(),
            channel: channel(0),
            sequence: 0,
            left: 0,
            due: 0,
            interval: SECOND / rate.max(1),
        })
    }
}

impl Side for Publisher {
    fn readable(&mut self, _source: usize) -> Result<()> {
        self.connection.receive().map(drop)
    }

    fn pulse(&mut self) -> Result<()> {
        while self.left > 0 && clock::now() >= self.due {
            let data = self.codec.encode(Stamp {
                sequence: self.sequence,
                due: self.due,
            });
            self.connection.publish(&self.channel, &data)?;
            self.sequence += 1;
            self.left -= 1;
            self.due += self.interval;
        }
        Ok(())
    }
}

/// Publishes so many times and waits until everything has arrived, or nothing more does.
fn publish(swarm: &mut Swarm, publisher: &mut Publisher, count: u64) -> Result<()> {
    publisher.left = count;
    publisher.due = clock::now();
    let subscribers = swarm.tally.checker.clients() as u64;
    let mut last = (swarm.tally.checker.delivered(), clock::now());
    loop {
        let now = clock::now();
        let delivered = swarm.tally.checker.delivered();
        if publisher.left > 0 || delivered > last.0 {
            last = (delivered, now);
        } else if now - last.1 > PATIENCE
            || (delivered >= publisher.sequence * subscribers
                && publisher.connection.outstanding == 0)
        {
            return Ok(());
        }
        // The poller counts in milliseconds and rounds up, so the last one is spent asking again and again.
        let wait = if publisher.left > 0 {
            publisher.due.saturating_sub(now) / MILLISECOND
        } else {
            10
        };
        swarm.turn(Some(Duration::from_millis(wait)), publisher)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let sample: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&sample, 0.5), 51.0);
        assert_eq!(quantile(&sample, 0.99), 100.0);
        assert_eq!(quantile(&sample, 1.0), 100.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
