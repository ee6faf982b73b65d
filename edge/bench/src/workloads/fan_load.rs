//! `fan-load`: the same channel near the limit of a core, where only merged writes keep up.

use anyhow::Result;

use super::{Context, Workload};
use crate::fan::{self, Shape, Targets};
use crate::report::Outcome;

pub(super) const WORKLOAD: Workload = Workload {
    name: "fan-load",
    about: "1 channel, 1,000 subscribers, 180 publications/s of 200 B",
    delivers: true,
    run,
};

fn run(context: &Context) -> Result<Outcome> {
    let size = &context.size;
    let shape = Shape {
        subscribers: size.connections.unwrap_or(1000),
        rate: size.rate.unwrap_or(180),
        seconds: size.seconds.unwrap_or(15),
        targets: Targets {
            cpu: 2.8,
            user: None,
            p99: 33.0,
            resident: None,
        },
    };
    fan::run(context, shape)
}
