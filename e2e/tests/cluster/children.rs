//! What the operator makes: it comes back, and it goes.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tidewire_e2e::namespace::{READY_TIME, TestNamespace, in_namespace};
use tidewire_e2e::wait::{self, Seen};

use super::{open_channels, with_nats};

const NAME: &str = "chat";
const LABEL: &str = "realtime.tidewire.dev/cluster=chat";
const CHILD_TIME: Duration = Duration::from_secs(30);

/// A kind of built-in object that lives in a namespace.
trait Child:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}
impl<
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
> Child for K
{
}

async fn children<K: Child>(namespace: &TestNamespace) -> Result<Vec<K>> {
    Ok(namespace
        .api::<K>()
        .list(&ListParams::default().labels(LABEL))
        .await?
        .items)
}

#[tokio::test]
async fn a_deleted_child_comes_back() -> Result<()> {
    in_namespace("children", async |namespace| {
        namespace
            .create_cluster(NAME, with_nats(1, &open_channels(&[])))
            .await?;
        namespace.wait_ready(NAME).await?;
        comes_back::<Deployment>(namespace, 1).await?;
        comes_back::<StatefulSet>(namespace, 1).await?;
        comes_back::<Service>(namespace, 3).await?;
        comes_back::<ConfigMap>(namespace, 2).await?;
        comes_back::<Secret>(namespace, 3).await?;
        comes_back::<ServiceAccount>(namespace, 1).await?;
        comes_back::<PodDisruptionBudget>(namespace, 1).await?;
        namespace.wait_ready(NAME).await
    })
    .await
}

/// Deletes every child of a kind, of which there are at least so many, and waits for others of the same names.
async fn comes_back<K: Child>(namespace: &TestNamespace, at_least: usize) -> Result<()> {
    let kind = K::kind(&());
    let before = children::<K>(namespace).await?;
    ensure!(
        before.len() >= at_least,
        "{} of kind {kind} instead of at least {at_least}",
        before.len()
    );
    for child in before {
        let (name, uid) = (child.name_any(), child.uid());
        namespace
            .api::<K>()
            .delete(&name, &DeleteParams::default())
            .await?;
        wait::until(&format!("another {kind} {name}"), CHILD_TIME, async || {
            let now = namespace.api::<K>().get(&name).await?;
            let fresh = now.uid() != uid && now.meta().deletion_timestamp.is_none();
            Ok(Seen::when(fresh, || "the old one".to_owned()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_cluster_leaves_its_keys_and_volumes_and_the_same_name_adopts_them() -> Result<()>
{
    in_namespace("deletion", async |namespace| {
        let spec = with_nats(2, &open_channels(&[]));
        namespace.create_cluster(NAME, spec.clone()).await?;
        namespace.wait_ready(NAME).await?;
        let keys = keys(namespace).await?;
        let volumes = volumes(namespace).await?;
        ensure!(volumes.len() == 1, "volumes: {volumes:?}");

        namespace
            .realtime_clusters()
            .delete(NAME, &DeleteParams::default())
            .await?;
        only_retained_is_left(namespace).await?;
        ensure!(
            self::keys(namespace).await? == keys,
            "a key changed or went"
        );
        ensure!(
            self::volumes(namespace).await? == volumes,
            "a volume changed or went"
        );

        namespace.create_cluster(NAME, spec).await?;
        namespace.wait_ready(NAME).await?;
        ensure!(
            self::keys(namespace).await? == keys,
            "the keys were not adopted"
        );
        ensure!(
            self::volumes(namespace).await? == volumes,
            "the volumes were not adopted"
        );
        Ok(())
    })
    .await
}

/// The keys that applications were given, by Secret.
async fn keys(namespace: &TestNamespace) -> Result<[String; 2]> {
    let token = namespace
        .secret(&format!("{NAME}-token"), "hmac_secret_key")
        .await?;
    Ok([
        token,
        namespace.secret(&format!("{NAME}-api-key"), "key").await?,
    ])
}

async fn volumes(namespace: &TestNamespace) -> Result<Vec<Option<String>>> {
    Ok(children::<PersistentVolumeClaim>(namespace)
        .await?
        .into_iter()
        .map(|claim| claim.metadata.uid)
        .collect())
}

/// Everything in the namespace of whatever kind, but for key Secrets, volume claims, and what Kubernetes itself
/// puts there or keeps for the record.
async fn only_retained_is_left(namespace: &TestNamespace) -> Result<()> {
    let kinds = namespace
        .kubectl(&[
            "api-resources",
            "--verbs=list",
            "--namespaced",
            "-o",
            "name",
        ])
        .await?;
    let passing = ["events", "events.events.k8s.io", "pods.metrics.k8s.io"];
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !passing.contains(kind))
        .collect();
    let kinds = kinds.join(",");
    let retained = |name: &str| {
        let ours = name.starts_with("persistentvolumeclaim/")
            || name.starts_with(&format!("secret/{NAME}-"));
        ours || name == "serviceaccount/default" || name == "configmap/kube-root-ca.crt"
    };
    wait::until("an empty namespace", READY_TIME, async || {
        let names = namespace
            .kubectl(&["get", &kinds, "-o", "name", "--ignore-not-found"])
            .await?;
        let rest: Vec<&str> = names.lines().filter(|name| !retained(name)).collect();
        Ok(Seen::when(rest.is_empty(), || rest.join(" ")))
    })
    .await
    .context("more is left than what is documented as retained")
}
