//! `api-pub`: backends publish through the HTTP API over keep-alive connections, each as fast as it is
//! answered, to a channel that nobody listens to.

use std::time::Duration;

use anyhow::{Result, ensure};
use mio::{Events, Poll, Token};

use super::{Context, Workload};
use crate::clock::{self, SECOND};
use crate::fan::quantile;
use crate::http::ApiConnection;
use crate::payload::{Codec, Stamp};
use crate::report::{Bound, Figure, Outcome};
use crate::server::Server;
use crate::swarm::channel;
use crate::usage::machine_busy;

/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) const WORKLOAD: Workload = Workload {
    name: "api-pub",
    about: "16 keep-alive connections publish 200 B through the HTTP API",
    delivers: false,
    run,
};

fn run(context: &Context) -> Result<Outcome> {
    let size = &context.size;
    let connections = size.connections.unwrap_or(16);
    let seconds = size.seconds.unwrap_or(10);
    let server = Server::start(&context.launch)?;
    let mut callers = Callers::open(&server, connections)?;
    context.progress("warming up");
    callers.call_for(SECOND)?;
    callers.latencies.clear();
    context.progress(&format!("{connections} connections, {seconds} s"));
    let before = (server.cpu()?, clock::process_cpu(), machine_busy()?);
    let began = clock::now();
    callers.call_for(seconds * SECOND)?;
    let wall = (clock::now() - began) as f64 / 1e3;
    let cpu = server.cpu()?.since(before.0);
    let generator = (clock::process_cpu() - before.1) as f64 / 1e3;
    let others = machine_busy()? - before.2 - cpu.total() - generator;

    let latencies = &mut callers.latencies;
    latencies.sort_unstable();
    let requests = latencies.len() as f64;
    let figures = vec![
        Figure::new("requests", "", requests),
        Figure::new("requests per second", "", requests / (wall / 1e6)),
        Figure::new("CPU per request", "µs", cpu.total() / requests).must(Bound::AtMost(12.0)),
        Figure::new("  user part", "µs", cpu.user / requests),
        Figure::new("  system part", "µs", cpu.system / requests),
        Figure::new("latency p50", "ms", quantile(latencies, 0.5) / 1e3),
        Figure::new("latency p99", "ms", quantile(latencies, 0.99) / 1e3),
        Figure::new("server's share of a core", "%", cpu.total() * 100.0 / wall),
        Figure::new("generator's share of a core", "%", generator * 100.0 / wall),
        Figure::noise(others, wall),
    ];
    Ok(Outcome {
        figures,
        void: Vec::new(),
    })
}

/// Connections with one request under way each.
struct Callers {
    poll: Poll,
    events: Events,
    calls: Vec<Call>,
    data: Vec<u8>,
    channel: String,
    latencies: Vec<u32>,
}

struct Call {
    connection: ApiConnection,
    sent: clock::Nanos,
}

impl Callers {
    fn open(server: &Server, count: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut calls = Vec::with_capacity(count);
        for index in 0..count {
            let connection = ApiConnection::open(server.address, poll.registry(), Token(index))?;
            calls.push(Call {
                connection,
                sent: 0,
            });
        }
        let stamp = Stamp {
            sequence: 0,
            due: 0,
        };
        Ok(Self {
            poll,
            events: Events::with_capacity(count),
            calls,
            data: Codec::default().encode(stamp),
            channel: channel(0),
            latencies: Vec::new(),
        })
    }

    /// Calls for so long, then waits for the last answers.
    fn call_for(&mut self, time: clock::Nanos) -> Result<()> {
        let end = clock::now() + time;
        for call in &mut self.calls {
            call.sent = clock::now();
            call.connection.publish(&self.channel, &self.data)?;
        }
        let mut waiting = self.calls.len();
        while waiting > 0 {
            self.poll.poll(&mut self.events, Some(PATIENCE))?;
            ensure!(
                !self.events.is_empty(),
                "{waiting} requests are not answered"
            );
            for event in &self.events {
                let Some(call) = self.calls.get_mut(event.token().0) else {
                    continue;
                };
                if call.connection.receive()? == 0 {
                    continue;
                }
                let now = clock::now();
                let latency = (now - call.sent) / 1000;
                self.latencies
                    .push(u32::try_from(latency).unwrap_or(u32::MAX));
                if now < end {
                    call.sent = now;
                    call.connection.publish(&self.channel, &self.data)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(())
    }
}
