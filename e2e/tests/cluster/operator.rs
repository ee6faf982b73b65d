//! The operator's own end and its twins.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use tidewire_e2e::cluster::{Cluster, OPERATOR, SYSTEM_NAMESPACE};
use tidewire_e2e::namespace::{READY_TIME, TestNamespace, in_namespace_alone, is_ready};
use tidewire_e2e::wait::{self, Seen};

use super::{in_memory, open_channels, with_nats};

/// A Lease that is not given back is taken over when it has run out.
const TAKEOVER_TIME: Duration = Duration::from_secs(45);

#[tokio::test]
async fn an_operator_that_is_killed_midway_converges_when_it_is_back() -> Result<()> {
    in_namespace_alone("killed", async |namespace| {
        namespace
            .create_cluster("chat", with_nats(2, &open_channels(&[])))
            .await?;
        // Once while the first children are made and once while the nodes start.
        for child in ["secret/chat-token", "deployment/chat"] {
            wait::until(child, READY_TIME, async || {
                namespace.kubectl(&["get", child]).await?;
                Ok(Seen::Yes(()))
            })
            .await?;
            kill_operators(&namespace.cluster).await?;
        }
        // The Lease of the killed one has to run out first.
        namespace
            .wait_condition("chat", "Ready", "True", READY_TIME + TAKEOVER_TIME)
            .await?;
        let pods = namespace.edge_pods("chat").await?;
        ensure!(pods.len() == 2, "{} pods", pods.len());
        Ok(())
    })
    .await
}

/// Without any grace: the process gets no signal that it could act on.
async fn kill_operators(cluster: &Cluster) -> Result<()> {
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    for pod in operator_pods(cluster).await? {
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
            .await?;
    }
    Ok(())
}

async fn operator_pods(cluster: &Cluster) -> Result<Vec<Pod>> {
    let deployment = Api::<Deployment>::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE)
        .get(OPERATOR)
        .await?;
    let labels = deployment
        .spec
        .and_then(|spec| spec.selector.match_labels)
        .context("the Deployment has no selector")?;
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    let mut pods = pods
        .list(&ListParams::default().labels(&labels.join(",")))
        .await?
        .items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods)
}

#[tokio::test]
async fn of_two_operators_one_leads_and_the_other_takes_over() -> Result<()> {
    in_namespace_alone("leader", async |namespace| {
        let before = operator_pods(&namespace.cluster).await?.len();
        scale_operator(namespace, 2).await?;
        let result = takes_over(namespace).await;
        scale_operator(namespace, before).await?;
        result
    })
    .await
}

async fn scale_operator(namespace: &TestNamespace, replicas: usize) -> Result<()> {
    let (deployment, replicas_flag) = (
        format!("deployment/{OPERATOR}"),
        format!("--replicas={replicas}"),
    );
    namespace
        .cluster
        .kubectl(&["-n", SYSTEM_NAMESPACE, "scale", &deployment, &replicas_flag])
        .await?;
    wait::until(&format!("{replicas} operators"), READY_TIME, async || {
        let pods = operator_pods(&namespace.cluster).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok(Seen::when(
            pods.len() == replicas && ready == replicas,
            || format!("{} pods, {ready} ready", pods.len()),
        ))
    })
    .await
}

async fn takes_over(namespace: &TestNamespace) -> Result<()> {
    let first = leader(&namespace.cluster, |_| true).await?;
    namespace
        .create_cluster("one", in_memory(&open_channels(&[])))
        .await?;
    namespace.wait_ready("one").await?;
    let pods = Api::<Pod>::namespaced(namespace.cluster.client.clone(), SYSTEM_NAMESPACE);
    pods.delete(&first, &DeleteParams::default().grace_period(0))
        .await?;
    let second = leader(&namespace.cluster, |name| name != first).await?;
    ensure!(second != first, "the dead operator still leads");
    namespace
        .create_cluster("two", in_memory(&open_channels(&[])))
        .await?;
    namespace.wait_ready("two").await
}

/// The pod that holds the Lease, once it is one of the running ones and wanted.
async fn leader(cluster: &Cluster, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let leases = Api::<Lease>::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    wait::until("a leader", TAKEOVER_TIME, async || {
        let lease = leases.get(OPERATOR).await?;
        let holder = lease
            .spec
            .and_then(|spec| spec.holder_identity)
            .unwrap_or_default();
        let pods = operator_pods(cluster).await?;
        let leading = pods
            .iter()
            .map(Pod::name_any)
            .find(|name| holder.starts_with(name.as_str()) && wanted(name));
        Ok(leading.map_or_else(|| Seen::NotYet(format!("held by {holder:?}")), Seen::Yes))
    })
    .await
}
