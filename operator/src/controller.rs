//! Watches and the error policy: when a cluster is looked at.
//!
//! Children are watched by owner, pods and retained Secrets by label, referenced Secrets by name. Everything is watched
//! as metadata only, so no key passes through this process but those that a reconcile reads.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    api::RealtimeCluster,
    context::{Context, Note},
    error::{Error, retry_after},
    fetch::references,
    reconcile::reconcile,
    resources::names::CLUSTER_LABEL,
};

/// Clusters looked at at the same time.
const CONCURRENCY: u16 = 16;
/// Changes that come within this time make one look.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Where clusters are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace.
    All,
    /// In one namespace; no right outside it is needed.
    Namespace(String),
}

impl Scope {
    /// The scope that a setting names: empty means every namespace.
    #[must_use]
    pub fn from_setting(namespace: &str) -> Self {
        if namespace.is_empty() {
            Self::All
        } else {
            Self::Namespace(namespace.to_owned())
        }
    }

    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::All => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// Looks at clusters until `stop`, then lets running looks end.
pub async fn run(ctx: Arc<Context>, scope: &Scope, stop: CancellationToken) {
    let client = &ctx.client;
    let ours = || watcher::Config::default().labels(CLUSTER_LABEL);
    let controller = Controller::new(
        scope.api::<RealtimeCluster>(client),
        watcher::Config::default(),
    );
    let referring = controller.store();
    controller
        .with_config(
            Config::default()
                .concurrency(CONCURRENCY)
                .debounce(DEBOUNCE),
        )
        .owns(scope.api::<Deployment>(client), ours())
        .owns(scope.api::<StatefulSet>(client), ours())
        .owns(scope.api::<ConfigMap>(client), ours())
        .owns(scope.api::<Service>(client), ours())
        .owns(scope.api::<ServiceAccount>(client), ours())
        .owns(scope.api::<PodDisruptionBudget>(client), ours())
        .watches(scope.api::<PartialObjectMeta<Pod>>(client), ours(), |pod| {
            labelled(&pod)
        })
        .watches(
            scope.api::<PartialObjectMeta<Secret>>(client),
            watcher::Config::default(),
            move |secret| {
                labelled(&secret)
                    .into_iter()
                    .chain(referred(&referring, &secret))
                    .collect::<Vec<_>>()
            },
        )
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(look, on_error, ctx.clone())
        .for_each(|outcome| {
            if let Err(error) = outcome {
                report(&ctx, &error);
            }
            std::future::ready(())
        })
        .await;
}

/// The cluster that an object's label names.
fn labelled<K: Resource>(object: &K) -> Option<ObjectRef<RealtimeCluster>> {
    let name = object.meta().labels.as_ref()?.get(CLUSTER_LABEL)?;
    Some(ObjectRef::new(name).within(object.meta().namespace.as_deref()?))
}

/// The clusters whose spec refers to a Secret.
fn referred<K: Resource>(
    clusters: &Store<RealtimeCluster>,
    secret: &K,
) -> Vec<ObjectRef<RealtimeCluster>> {
    let (namespace, name) = (
        &secret.meta().namespace,
        secret.meta().name.as_deref().unwrap_or_default(),
    );
    clusters
        .state()
        .into_iter()
        .filter(|cluster| cluster.metadata.namespace == *namespace)
        .filter(|cluster| references(&cluster.spec.auth).any(|reference| reference.name == name))
        .map(|cluster| ObjectRef::from_obj(cluster.as_ref()))
        .collect()
}

async fn look(cluster: Arc<RealtimeCluster>, ctx: Arc<Context>) -> Result<Action, Error> {
    let started = Instant::now();
    let namespace = cluster.namespace().unwrap_or_default();
    let span = tracing::info_span!(
        "reconcile",
        object = format!("{namespace}/{}", cluster.name_any())
    );
    let metrics = ctx.metrics.clone();
    let outcome = Box::pin(reconcile(cluster, ctx).instrument(span)).await;
    let label = outcome.as_ref().map_or_else(Error::reason, |_| "ok");
    metrics.reconciled(label, started.elapsed().as_secs_f64());
    outcome
}

/// Waits longer after each failure in a row. A write conflict is no failure: the next look sees the newer object.
fn on_error(cluster: Arc<RealtimeCluster>, error: &Error, ctx: Arc<Context>) -> Action {
    let reference = ObjectRef::from_obj(cluster.as_ref());
    if error.is_conflict() {
        return Action::requeue(retry_after(1, rand::random()));
    }
    let failures = ctx.failed(&reference);
    let text = error.chain();
    tracing::warn!(object = %reference, failures, error = text, "reconcile failed");
    // The third failure in a row is worth a person's attention; the first ones usually pass.
    if failures == 3 {
        let reason = error.reason();
        tokio::spawn(async move {
            ctx.publish(&cluster, Note::warning(reason, "Reconcile", text))
                .await
        });
    }
    Action::requeue(retry_after(failures, rand::random()))
}

fn report(ctx: &Context, error: &kube::runtime::controller::Error<Error, watcher::Error>) {
    use kube::runtime::controller::Error as ControllerError;
    match error {
        // Reported by the error policy.
        ControllerError::ReconcilerFailed(..) => {}
        ControllerError::ObjectNotFound(object) => {
            let gone = ObjectRef::new(&object.name)
                .within(object.namespace.as_deref().unwrap_or_default());
            ctx.succeeded(&gone);
            ctx.metrics.forget(&gone);
        }
        ControllerError::QueueError(error) => {
            ctx.metrics.watch_failed("queue");
            tracing::warn!(%error, "watch failed");
        }
        ControllerError::RunnerError(error) => {
            ctx.metrics.watch_failed("runner");
            tracing::warn!(%error, "runner failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::runtime::{reflector, watcher::Event};
    use serde_json::json;

    use super::*;

    fn secret(namespace: &str, name: &str, labels: &serde_json::Value) -> Secret {
        serde_json::from_value(
            json!({"metadata": {"namespace": namespace, "name": name, "labels": labels}}),
        )
        .unwrap()
    }

    #[test]
    fn a_secret_wakes_the_cluster_that_its_label_names() {
        let retained = secret("team", "blue-token", &json!({CLUSTER_LABEL: "blue"}));
        assert_eq!(
            labelled(&retained),
            Some(ObjectRef::new("blue").within("team"))
        );
        assert_eq!(labelled(&secret("team", "other", &json!({}))), None);
    }

    #[test]
    fn a_secret_wakes_only_clusters_of_its_namespace_that_refer_to_it() {
        let (store, mut writer) = reflector::store();
        for (namespace, name, reference) in [
            ("team", "blue", "keys"),
            ("team", "green", "other"),
            ("far", "red", "keys"),
        ] {
            let cluster: RealtimeCluster = serde_json::from_value(json!({
                "apiVersion": "realtime.tidewire.dev/v1alpha1",
                "kind": "RealtimeCluster",
                "metadata": {"namespace": namespace, "name": name},
                "spec": {"auth": {"apiKey": {"secretRef": {"name": reference, "key": "k"}}}},
            }))
            .unwrap();
            writer.apply_watcher_event(&Event::Apply(cluster));
        }
        assert_eq!(
            referred(&store, &secret("team", "keys", &json!({}))),
            [ObjectRef::new("blue").within("team")]
        );
    }

    #[test]
    fn an_empty_setting_means_every_namespace() {
        assert_eq!(Scope::from_setting(""), Scope::All);
        assert_eq!(
            Scope::from_setting("team"),
            Scope::Namespace("team".to_owned())
        );
    }
}
