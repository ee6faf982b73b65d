//! Fifth step: conditions and figures from what was observed (pure), then one patch if anything changed.

use k8s_openapi::{
    api::apps::v1::{Deployment, StatefulSet},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{
        RealtimeCluster, SecretKeyRef,
        status::{
            BrokerStatus, ConfigStatus, ConnectionsStatus, EndpointsStatus, Pending,
            RealtimeClusterStatus,
        },
    },
    apply::Applied,
    conditions::merge,
    context::STATUS_MANAGER,
    error::Error,
    nodes::{Node, NodeReport, versions},
    reminder,
    resources::names::{CLIENT_PORT, INTERNAL_PORT, Identity},
    rollout::{Plan, ready_servers},
    validate::{Broker, Invalid, ValidatedCluster},
};

mod findings;

/// What a spec came to.
pub enum Verdict<'a> {
    /// It was planned, and applied unless the cluster is paused.
    Planned {
        /// The cluster.
        cluster: &'a ValidatedCluster,
        /// What its nodes shall run.
        plan: &'a Plan,
    },
    /// It was refused: nothing was touched.
    Refused(&'a Invalid),
}

/// Everything that the status is made of.
pub struct Observation<'a> {
    /// When it was observed, in seconds since 1970.
    pub now: i64,
    /// What the spec came to.
    pub verdict: Verdict<'a>,
    /// Nodes wanted.
    pub replicas: i32,
    /// Whether the operator leaves the children alone.
    pub paused: bool,
    /// The nodes' Deployment.
    pub deployment: Option<&'a Deployment>,
    /// The NATS StatefulSet.
    pub nats: Option<&'a StatefulSet>,
    /// What the nodes say.
    pub nodes: &'a [Node],
    /// What came of applying.
    pub applied: &'a Applied,
    /// References of the spec that lead nowhere.
    pub missing: &'a [SecretKeyRef],
}

impl Observation<'_> {
    /// Whether the Deployment has nothing left to do.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.deployment.is_some_and(is_settled)
    }

    fn ready_replicas(&self) -> i32 {
        self.deployment
            .and_then(|d| d.status.as_ref()?.ready_replicas)
            .unwrap_or(0)
    }

    fn reports(&self) -> impl Iterator<Item = (&Node, &NodeReport)> {
        self.nodes
            .iter()
            .filter_map(|node| Some((node, node.report.as_ref().ok()?)))
    }

    /// Nodes that count as ready and yet do not answer.
    fn silent(&self) -> Option<String> {
        let silent: Vec<String> = self
            .nodes
            .iter()
            .filter(|node| node.ready)
            .filter_map(|node| Some(format!("{}: {}", node.pod, node.report.as_ref().err()?)))
            .collect();
        (!silent.is_empty()).then(|| silent.join("; "))
    }

    /// Nodes that do not show the wanted live options a minute after they were told of them, in the order of names.
    fn overdue(&self, cluster: &ValidatedCluster) -> Vec<&str> {
        let wanted = &cluster.config.live_hash;
        self.nodes
            .iter()
            .filter(|node| reminder::is_overdue(node, wanted, self.now))
            .map(|node| node.pod.as_str())
            .collect()
    }

    /// Whether every node without the wanted live options has had a minute for them.
    #[must_use]
    pub fn is_overdue(&self, cluster: &ValidatedCluster) -> bool {
        let wanted = &cluster.config.live_hash;
        let behind = self
            .nodes
            .iter()
            .filter(|node| reminder::is_behind(node, wanted));
        let overdue = self.overdue(cluster).len();
        overdue > 0 && overdue == behind.count()
    }

    fn applied_nodes(&self, cluster: &ValidatedCluster) -> i32 {
        let config = &cluster.config;
        let current = |report: &NodeReport| {
            report.boot_hash == config.boot_hash && report.live_hash == config.live_hash
        };
        i32::try_from(self.reports().filter(|(_, report)| current(report)).count())
            .unwrap_or(i32::MAX)
    }

    /// What is still on its way.
    #[must_use]
    pub fn pending(&self, cluster: &ValidatedCluster) -> Pending {
        let config = &cluster.config;
        let boot_differs = self
            .reports()
            .any(|(_, report)| report.boot_hash != config.boot_hash);
        let live_differs = self
            .reports()
            .any(|(_, report)| report.live_hash != config.live_hash);
        let too_few = self.applied_nodes(cluster) < self.replicas;
        match (boot_differs, live_differs, too_few) {
            (true, _, _) => Pending::Boot,
            (false, true, _) => Pending::Live,
            (false, false, true) => Pending::Boot,
            (false, false, false) => Pending::None,
        }
    }

    /// The whole status. Figures of connections are kept for 30 seconds, or every look would write.
    #[must_use]
    pub fn status(
        &self,
        cluster: &RealtimeCluster,
        identity: &Identity,
        now: Timestamp,
    ) -> RealtimeClusterStatus {
        let empty = RealtimeClusterStatus::default();
        let previous = cluster.status.as_ref().unwrap_or(&empty);
        let generation = cluster.metadata.generation;
        let (config, broker, rollback) = match &self.verdict {
            Verdict::Planned { cluster, plan } => (
                Some(self.config(cluster)),
                Some(self.broker(cluster)),
                plan.rollback.clone(),
            ),
            Verdict::Refused(_) => (
                previous.config.clone(),
                previous.broker.clone(),
                previous.rollback.clone(),
            ),
        };
        let namespace = &identity.namespace;
        RealtimeClusterStatus {
            observed_generation: generation,
            replicas: i32::try_from(self.nodes.len()).unwrap_or(i32::MAX),
            ready_replicas: self.ready_replicas(),
            updated_replicas: self
                .deployment
                .and_then(|d| d.status.as_ref()?.updated_replicas)
                .unwrap_or(0),
            selector: Some(identity.selector_text()),
            ready: Some(format!("{}/{}", self.ready_replicas(), self.replicas)),
            version: versions(self.nodes)
                .into_keys()
                .next()
                .map(str::to_owned)
                .or_else(|| previous.version.clone()),
            connections: self.connections(previous.connections.as_ref(), now),
            config,
            broker,
            rollback,
            endpoints: Some(EndpointsStatus {
                websocket: format!(
                    "ws://{}.{namespace}.svc:{CLIENT_PORT}/connection/websocket",
                    identity.edge()
                ),
                api: format!(
                    "http://{}.{namespace}.svc:{INTERNAL_PORT}/api",
                    identity.api()
                ),
            }),
            conditions: merge(&previous.conditions, &self.findings(), generation, now),
        }
    }

    fn config(&self, cluster: &ValidatedCluster) -> ConfigStatus {
        ConfigStatus {
            boot_hash: cluster.config.boot_hash.clone(),
            live_hash: cluster.config.live_hash.clone(),
            applied_nodes: self.applied_nodes(cluster),
            pending: self.pending(cluster),
        }
    }

    fn broker(&self, cluster: &ValidatedCluster) -> BrokerStatus {
        match &cluster.broker {
            Broker::Memory => BrokerStatus {
                summary: "memory".to_owned(),
                stream_replicas: None,
            },
            Broker::Nats(nats) => BrokerStatus {
                summary: format!(
                    "nats {}/{}",
                    self.nats.map_or(0, ready_servers),
                    nats.replicas
                ),
                stream_replicas: Some(nats.stream_replicas),
            },
        }
    }

    fn connections(
        &self,
        previous: Option<&ConnectionsStatus>,
        now: Timestamp,
    ) -> Option<ConnectionsStatus> {
        let fresh = previous.filter(|old| {
            now.as_second().saturating_sub(old.observed_at) < CONNECTIONS_KEPT_SECONDS
        });
        if let Some(fresh) = fresh {
            return Some(fresh.clone());
        }
        let counts: Vec<i64> = self
            .reports()
            .map(|(_, report)| report.connections)
            .collect();
        let current = ConnectionsStatus {
            total: rounded(counts.iter().sum()),
            max_per_node: rounded(*counts.iter().max()?),
            min_per_node: rounded(*counts.iter().min()?),
            observed_at: now.as_second(),
        };
        // Unchanged figures keep their time, or a quiet cluster would be written every 30 seconds.
        let unchanged = previous.filter(|old| {
            ConnectionsStatus {
                observed_at: old.observed_at,
                ..current.clone()
            } == **old
        });
        Some(unchanged.cloned().unwrap_or(current))
    }
}

/// Seconds for which figures of connections stay as they are.
const CONNECTIONS_KEPT_SECONDS: i64 = 30;

/// Whether a Deployment has nothing left to do.
#[must_use]
pub fn is_settled(deployment: &Deployment) -> bool {
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        let count = |value: Option<i32>| value.unwrap_or(0);
        status.observed_generation >= deployment.metadata.generation
            && count(status.updated_replicas) == wanted
            && count(status.replicas) == wanted
            && count(status.available_replicas) == wanted
    })
}

/// Two significant digits.
fn rounded(count: i64) -> i64 {
    let mut unit = 1;
    while count / unit >= 100 {
        unit *= 10;
    }
    (count + unit / 2) / unit * unit
}

/// Writes the status if it differs from what the object shows.
///
/// # Errors
/// [`Error::Status`] when the API server refuses or does not answer; retry.
pub async fn write(
    client: &Client,
    identity: &Identity,
    cluster: &RealtimeCluster,
    status: &RealtimeClusterStatus,
) -> Result<(), Error> {
    if cluster.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<RealtimeCluster> = Api::namespaced(client.clone(), &identity.namespace);
    let patch = json!({
        "apiVersion": RealtimeCluster::api_version(&()),
        "kind": RealtimeCluster::kind(&()),
        "metadata": {"name": identity.name},
        "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    api.patch_status(&identity.name, &params, &Patch::Apply(&patch))
        .await
        .map_err(|source| Error::Status { source })?;
    Ok(())
}

#[cfg(test)]
mod tests;
