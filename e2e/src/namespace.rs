//! A namespace of one test's own, and what a test does with a `RealtimeCluster` in it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use kube::{Api, Resource};
use serde_json::Value;
use tokio::sync::RwLock;

use crate::api::ApiClient;
use crate::cluster::{Cluster, Forward, SYSTEM_NAMESPACE};
use crate::wait::{self, Seen};
use crate::{repository, token};

/// How long a `RealtimeCluster` may take to become Ready with images present.
pub const READY_TIME: Duration = Duration::from_secs(60);

/// The port of clients, and the internal one with the API.
pub const CLIENT_PORT: u16 = 8000;
/// See [`CLIENT_PORT`].
pub const INTERNAL_PORT: u16 = 9000;

/// Enforces the restricted profile: what the operator makes is refused if it does not pass.
const RESTRICTED: (&str, &str) = ("pod-security.kubernetes.io/enforce", "restricted");

/// A namespace that nobody else uses.
pub struct TestNamespace {
    /// The cluster it is in.
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
}

/// One operator serves all tests: those that trouble it run alone.
static OPERATOR: RwLock<()> = RwLock::const_new(());

/// Runs the body of a test in a namespace of its own. When it fails, the state of the namespace and the
/// operator's log are printed. Either way the namespace is removed.
///
/// # Errors
/// The body's own, or when the cluster or the namespace cannot be had.
pub async fn in_namespace(
    purpose: &str,
    body: impl AsyncFnOnce(&TestNamespace) -> Result<()>,
) -> Result<()> {
    let _in_peace = OPERATOR.read().await;
    run(purpose, body).await
}

/// Like [`in_namespace`], while no other test runs: for tests that end the operator.
///
/// # Errors
/// See [`in_namespace`].
pub async fn in_namespace_alone(
    purpose: &str,
    body: impl AsyncFnOnce(&TestNamespace) -> Result<()>,
) -> Result<()> {
    let _alone = OPERATOR.write().await;
    run(purpose, body).await
}

async fn run(purpose: &str, body: impl AsyncFnOnce(&TestNamespace) -> Result<()>) -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = TestNamespace::create(cluster, purpose).await?;
    let result = body(&namespace).await;
    if let Err(error) = &result {
        eprintln!("{error:#}");
        namespace.print_state().await;
    }
    namespace.remove().await?;
    result
}

/// The state of a `RealtimeCluster`'s conditions: type to status.
pub type Conditions = BTreeMap<String, String>;

impl TestNamespace {
    async fn create(cluster: Cluster, purpose: &str) -> Result<Self> {
        let name = format!("{purpose}-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
        let labels = BTreeMap::from([(RESTRICTED.0.to_owned(), RESTRICTED.1.to_owned())]);
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        Api::all(cluster.client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(Self { cluster, name })
    }

    async fn remove(&self) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.cluster.client.clone());
        namespaces
            .delete(&self.name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// The objects of one built-in kind.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.name)
    }

    /// The `RealtimeCluster`s, as plain values: the tests see what a user sees.
    #[must_use]
    pub fn realtime_clusters(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("realtime.tidewire.dev", "v1alpha1", "RealtimeCluster");
        Api::namespaced_with(
            self.cluster.client.clone(),
            &self.name,
            &ApiResource::from_gvk(&kind),
        )
    }

    /// kubectl in this namespace.
    ///
    /// # Errors
    /// See [`Cluster::kubectl`].
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let all: Vec<&str> = ["-n", &self.name]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        self.cluster.kubectl(&all).await
    }

    /// `kubectl apply -f` of a file of the repository.
    ///
    /// # Errors
    /// See [`Cluster::kubectl`].
    pub async fn apply_file(&self, file: &str) -> Result<String> {
        self.kubectl(&["apply", "-f", &repository::path(file).display().to_string()])
            .await
    }

    /// Creates a `RealtimeCluster` with that spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create_cluster(&self, name: &str, spec: Value) -> Result<()> {
        let clusters = self.realtime_clusters();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(
            "realtime.tidewire.dev",
            "v1alpha1",
            "RealtimeCluster",
        ));
        let object = DynamicObject::new(name, &kind).data(serde_json::json!({"spec": spec}));
        clusters.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Changes the spec of a `RealtimeCluster` (merge patch: lists are replaced).
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn change_spec(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(serde_json::json!({"spec": spec}));
        self.realtime_clusters()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// The conditions that speak of the present generation; older ones are left out.
    ///
    /// # Errors
    /// When the object cannot be read.
    pub async fn conditions(&self, name: &str) -> Result<Conditions> {
        let object = self.realtime_clusters().get(name).await?;
        let generation = object.metadata.generation;
        let current = condition_list(&object).into_iter().filter(|condition| {
            generation.is_some()
                && condition.get("observedGeneration").and_then(Value::as_i64) == generation
        });
        Ok(current
            .filter_map(|condition| Some((text(&condition, "type")?, text(&condition, "status")?)))
            .collect())
    }

    /// The reason and message of one condition, whatever its generation.
    ///
    /// # Errors
    /// When there is no such condition.
    pub async fn condition(&self, name: &str, kind: &str) -> Result<(String, String)> {
        let object = self.realtime_clusters().get(name).await?;
        let condition = condition_list(&object)
            .into_iter()
            .find(|condition| text(condition, "type").as_deref() == Some(kind));
        let condition = condition.with_context(|| format!("no condition {kind}"))?;
        Ok((
            text(&condition, "reason").unwrap_or_default(),
            text(&condition, "message").unwrap_or_default(),
        ))
    }

    /// Waits until a condition has that status for the present generation.
    ///
    /// # Errors
    /// When it has not within the time; the message has all conditions.
    pub async fn wait_condition(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        time: Duration,
    ) -> Result<()> {
        wait::until(&format!("{name} {kind}={status}"), time, async || {
            let conditions = self.conditions(name).await?;
            Ok(Seen::when(
                conditions.get(kind).map(String::as_str) == Some(status),
                || format!("{conditions:?}"),
            ))
        })
        .await
    }

    /// Waits until it is Ready.
    ///
    /// # Errors
    /// When it is not within [`READY_TIME`].
    pub async fn wait_ready(&self, name: &str) -> Result<()> {
        self.wait_condition(name, "Ready", "True", READY_TIME).await
    }

    /// The edge pods of a cluster that are not being removed, by name.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn edge_pods(&self, name: &str) -> Result<Vec<Pod>> {
        self.pods(&format!(
            "app.kubernetes.io/name=tidewire-edge,app.kubernetes.io/instance={name}"
        ))
        .await
    }

    /// The pods with these labels that are not being removed, by name.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn pods(&self, labels: &str) -> Result<Vec<Pod>> {
        let mut pods = self
            .api::<Pod>()
            .list(&ListParams::default().labels(labels))
            .await?
            .items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        Ok(pods)
    }

    /// Waits until a cluster has so many edge pods and all of them are ready.
    ///
    /// # Errors
    /// When that does not come within the time.
    pub async fn wait_edge_pods(
        &self,
        name: &str,
        count: usize,
        time: Duration,
    ) -> Result<Vec<Pod>> {
        wait::until(&format!("{count} edge pods of {name}"), time, async || {
            let pods = self.edge_pods(name).await?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            if pods.len() == count && ready == count {
                return Ok(Seen::Yes(pods));
            }
            Ok(Seen::NotYet(format!("{} pods, {ready} ready", pods.len())))
        })
        .await
    }

    /// A key of a Secret, as text.
    ///
    /// # Errors
    /// When the Secret or the key does not exist.
    pub async fn secret(&self, name: &str, key: &str) -> Result<String> {
        let secret = self.api::<Secret>().get(name).await?;
        let value = secret
            .data
            .unwrap_or_default()
            .remove(key)
            .with_context(|| format!("{name} has no {key}"))?;
        String::from_utf8(value.0).context("a key that is not text")
    }

    /// A connection token for a cluster, signed with the key that its generated Secret holds.
    ///
    /// # Errors
    /// When the Secret does not exist.
    pub async fn token(&self, name: &str, user: &str) -> Result<String> {
        token::connection(
            &self
                .secret(&format!("{name}-token"), "hmac_secret_key")
                .await?,
            user,
        )
    }

    /// The API of a cluster through its Service, with the generated key. The forwarder must be kept.
    ///
    /// # Errors
    /// When the Service or the Secret does not exist.
    pub async fn service_api(&self, name: &str) -> Result<(ApiClient, Forward)> {
        let key = self.secret(&format!("{name}-api-key"), "key").await?;
        let forward = self
            .cluster
            .forward_service(&self.name, &format!("{name}-api"), INTERNAL_PORT)
            .await?;
        Ok((ApiClient::new(&forward.address, &key), forward))
    }

    /// The messages of the events about an object that have this reason or, with an empty one, of all.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn event_messages(&self, object: &str, reason: &str) -> Result<Vec<String>> {
        let fields = format!("involvedObject.name={object}");
        let events = self
            .api::<Event>()
            .list(&ListParams::default().fields(&fields))
            .await?;
        let wanted = events
            .items
            .into_iter()
            .filter(|event| reason.is_empty() || event.reason.as_deref() == Some(reason));
        Ok(wanted
            .map(|event| event.message.unwrap_or_default())
            .collect())
    }

    /// Prints objects, events and logs to the test's output.
    async fn print_state(&self) {
        let everything: [&[&str]; 3] = [
            &[
                "get",
                "rtc,deployments,statefulsets,pods,pvc,services,configmaps,secrets",
                "-o",
                "wide",
            ],
            &["get", "rtc", "-o", "yaml"],
            &["get", "events", "--sort-by=.lastTimestamp"],
        ];
        for arguments in everything {
            self.print(&self.name, arguments).await;
        }
        for pod in self.pods("").await.unwrap_or_default() {
            let pod = pod.metadata.name.unwrap_or_default();
            self.print(&self.name, &["logs", &pod, "--all-containers", "--tail=30"])
                .await;
        }
        self.print(
            SYSTEM_NAMESPACE,
            &["logs", "deployment/tidewire-operator", "--tail=60"],
        )
        .await;
    }

    async fn print(&self, namespace: &str, arguments: &[&str]) {
        let all: Vec<&str> = ["-n", namespace].iter().chain(arguments).copied().collect();
        let said = self
            .cluster
            .kubectl(&all)
            .await
            .unwrap_or_else(|error| format!("{error:#}"));
        eprintln!(
            "---- kubectl -n {namespace} {}\n{said}",
            arguments.join(" ")
        );
    }
}

/// Whether the pod's condition Ready is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What tells one run of a pod from another: its UID and how often each container was restarted.
#[must_use]
pub fn identity(pod: &Pod) -> (String, Vec<i32>) {
    let restarts = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    (
        pod.metadata.uid.clone().unwrap_or_default(),
        restarts.map(|container| container.restart_count).collect(),
    )
}

/// Fails with the pods' names unless the two lists are the same pods, none restarted.
///
/// # Errors
/// When a pod was replaced or restarted.
pub fn ensure_untouched(before: &[Pod], after: &[Pod]) -> Result<()> {
    let identities = |pods: &[Pod]| pods.iter().map(identity).collect::<Vec<_>>();
    ensure!(
        identities(before) == identities(after),
        "pods were {:?} and are {:?}",
        identities(before),
        identities(after)
    );
    Ok(())
}

fn condition_list(object: &DynamicObject) -> Vec<Value> {
    object
        .data
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}
