//! `fan-low`: a large channel at a rate that leaves the server time. Each delivery is one write; nothing can
//! be merged.

use anyhow::Result;

use super::{Context, Workload};
use crate::fan::{self, Shape, Targets};
use crate::report::Outcome;

pub(super) const WORKLOAD: Workload = Workload {
    name: "fan-low",
    about: "1 channel, 1,000 subscribers, 60 publications/s of 200 B",
    delivers: true,
    run,
};

fn run(context: &Context) -> Result<Outcome> {
    let size = &context.size;
    let shape = Shape {
        subscribers: size.connections.unwrap_or(1000),
        rate: size.rate.unwrap_or(60),
        seconds: size.seconds.unwrap_or(15),
        targets: Targets {
            cpu: 8.3,
            user: Some(1.0),
            p99: 16.0,
            resident: Some(12.0),
        },
    };
    fan::run(context, shape)
}
