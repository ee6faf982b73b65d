//! Every metric of the edge: the contract's keep their `centrifugo_` names so that dashboards work, ours begin
//! with `tidewire_`. Figures live in the shards and are summed when somebody scrapes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::VERSION;
use crate::broker::{Broker, NatsStats};
use crate::control::Control;
use crate::services::Services;
use crate::shard::Handle;
use crate::shard::counters::{Counters, Figure};

/// The node's metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// The metrics over these shards.
    ///
    /// # Errors
    /// Two metrics have one name.
    pub fn new(
        shards: Arc<[Arc<Handle>]>,
        services: Services,
        control: Arc<Control>,
    ) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(NodeCollector {
            shards,
            services,
            control,
            descs: described()?,
        }))?;
        Ok(Self(registry))
    }

    /// The text exposition format.
    ///
    /// # Errors
    /// A metric is inconsistent.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A sum over the shards' figures.
type Read = fn(&Counters) -> &Figure;

const GAUGES: &[(&str, &str, Read)] = &[
    (
        "centrifugo_node_num_clients",
        "Authenticated clients.",
        |it| &it.clients,
    ),
    (
        "centrifugo_node_num_subscriptions",
        "Subscriptions.",
        |it| &it.subscriptions,
    ),
    (
        "tidewire_connections",
        "Open client connections, authenticated or not.",
        |it| &it.connections,
    ),
    (
        "tidewire_http_connections",
        "Sockets in HTTP: API calls and unfinished handshakes.",
        |it| &it.http_connections,
    ),
];

const COUNTERS: &[(&str, &str, Read)] = &[
    (
        "tidewire_commands_total",
        "Commands received from clients.",
        |it| &it.commands,
    ),
    (
        "tidewire_publications_total",
        "Publications that reached a shard with a subscriber.",
        |it| &it.publications,
    ),
    (
        "tidewire_deliveries_total",
        "Publications queued to clients.",
        |it| &it.deliveries,
    ),
    (
        "tidewire_socket_writes_total",
        "Vectored writes to client sockets.",
        |it| &it.writes,
    ),
    (
        "tidewire_frames_sent_total",
        "Frames written to client sockets.",
        |it| &it.frames,
    ),
    (
        "tidewire_bytes_sent_total",
        "Bytes written to client sockets.",
        |it| &it.bytes,
    ),
    (
        "tidewire_flushes_total",
        "Wake-ups of the shards' flushers.",
        |it| &it.flushes,
    ),
];

#[derive(Debug)]
struct NodeCollector {
    shards: Arc<[Arc<Handle>]>,
    services: Services,
    control: Arc<Control>,
    descs: Vec<Desc>,
}

impl Collector for NodeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families().unwrap_or_else(|error| {
            tracing::error!(%error, "metrics could not be collected");
            Vec::new()
        })
    }
}

impl NodeCollector {
    fn families(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let mut families = Vec::new();
        for (name, help, read) in GAUGES {
            families.extend(gauge(name, help, self.sum(*read))?);
        }
        for (name, help, read) in COUNTERS {
            let counter = IntCounter::new(*name, *help)?;
            counter.inc_by(self.sum(*read));
            families.extend(counter.collect());
        }
        families.extend(gauge(
            "centrifugo_node_num_users",
            "Users, counted once per shard.",
            self.sum(|it| &it.users),
        )?);
        let channels = self.services.broker.channels() as u64;
        families.extend(gauge(
            "centrifugo_node_num_channels",
            "Channels with a subscriber.",
            channels,
        )?);
        families.extend(gauge(
            "centrifugo_node_num_nodes",
            "Nodes of the cluster.",
            self.control.nodes() as u64,
        )?);
        let connected = u64::from(self.services.broker.state().connected);
        families.extend(gauge(
            "tidewire_broker_connected",
            "Whether the broker is reachable.",
            connected,
        )?);
        let limit = u64::from(self.services.settings.boot.client.connection_limit);
        families.extend(gauge(
            "centrifugo_node_client_connection_limit",
            "The limit of clients, 0 = none.",
            limit,
        )?);
        if let Broker::Nats(nats) = &*self.services.broker {
            families.extend(nats_counters(nats.stats())?);
        }
        let failures = IntCounter::new(
            "tidewire_config_reload_failures_total",
            "Reloads that were refused; the running configuration stayed.",
        )?;
        failures.inc_by(
            self.services
                .settings
                .reload_failures
                .load(Ordering::Relaxed),
        );
        families.extend(failures.collect());
        families.extend(build()?);
        families.extend(self.accepted()?);
        families.extend(self.by_code(
            "centrifugo_client_num_server_disconnects",
            "Disconnects by the server.",
            Counters::disconnects,
        )?);
        families.extend(self.by_code(
            "tidewire_reply_errors_total",
            "Error replies to clients.",
            Counters::errors,
        )?);
        Ok(families)
    }

    fn sum(&self, read: Read) -> u64 {
        self.shards
            .iter()
            .map(|shard| read(&shard.counters).value())
            .sum()
    }

    fn accepted(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let opts = Opts::new(
            "centrifugo_client_connections_accepted",
            "Client connections ever accepted.",
        );
        let vec = IntCounterVec::new(opts, &["transport", "encoding"])?;
        for shard in self.shards.iter() {
            for ((transport, encoding), count) in shard.counters.accepted() {
                vec.with_label_values(&[transport, encoding]).inc_by(count);
            }
        }
        Ok(vec.collect())
    }

    fn by_code(
        &self,
        name: &str,
        help: &str,
        read: fn(&Counters) -> std::collections::BTreeMap<u32, u64>,
    ) -> prometheus::Result<Vec<MetricFamily>> {
        let vec = IntCounterVec::new(Opts::new(name, help), &["code"])?;
        for shard in self.shards.iter() {
            for (code, count) in read(&shard.counters) {
                vec.with_label_values(&[code.to_string()]).inc_by(count);
            }
        }
        Ok(vec.collect())
    }
}

fn gauge(name: &str, help: &str, value: u64) -> prometheus::Result<Vec<MetricFamily>> {
    let gauge = IntGauge::new(name, help)?;
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    Ok(gauge.collect())
}

fn nats_counters(stats: &NatsStats) -> prometheus::Result<Vec<MetricFamily>> {
    let counters = [
        (
            "tidewire_nats_messages_received_total",
            "Messages taken from NATS, of all channels.",
            &stats.messages_received,
        ),
        (
            "tidewire_nats_published_total",
            "Publications handed to NATS.",
            &stats.published,
        ),
        (
            "tidewire_nats_decode_errors_total",
            "Messages from NATS that are no pushes.",
            &stats.decode_errors,
        ),
        (
            "tidewire_nats_slow_consumers_total",
            "Messages that NATS dropped because this node was slow.",
            &stats.slow_consumers,
        ),
        (
            "tidewire_nats_events_dropped_total",
            "Joins and leaves that were not sent to NATS.",
            &stats.events_dropped,
        ),
        (
            "tidewire_nats_reconnects_total",
            "Connections to NATS after the first.",
            &stats.reconnects,
        ),
    ];
    let mut families = Vec::new();
    for (name, help, value) in counters {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value.load(Ordering::Relaxed));
        families.extend(counter.collect());
    }
    Ok(families)
}

fn build() -> prometheus::Result<Vec<MetricFamily>> {
    let vec = IntGaugeVec::new(
        Opts::new("centrifugo_node_build", "The version of this node."),
        &["version"],
    )?;
    vec.with_label_values(&[VERSION]).set(1);
    Ok(vec.collect())
}

/// The registry wants one description to tell collectors apart.
fn described() -> prometheus::Result<Vec<Desc>> {
    Ok(vec![Desc::new(
        "tidewire_node".to_owned(),
        "Figures of this node.".to_owned(),
        Vec::new(),
        std::collections::HashMap::new(),
    )?])
}
