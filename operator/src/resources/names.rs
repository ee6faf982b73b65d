//! Names, labels and ports: each spelled once.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Port of client transports.
pub const CLIENT_PORT: u16 = 8000;
/// Port of the service API, health, metrics and the node's state.
pub const INTERNAL_PORT: u16 = 9000;
/// Port of NATS clients.
pub const NATS_CLIENT_PORT: u16 = 4222;
/// Port between NATS servers.
pub const NATS_CLUSTER_PORT: u16 = 6222;
/// Port of NATS health and figures.
pub const NATS_MONITOR_PORT: u16 = 8222;

/// Label that names the cluster on everything that belongs to it, retained objects included.
pub const CLUSTER_LABEL: &str = "realtime.tidewire.dev/cluster";
/// Annotation of pods: the live options they were told of, and when.
pub const LIVE_ANNOTATION: &str = "realtime.tidewire.dev/live";
/// Annotation of the pod template: what varies between revisions, as JSON.
pub const REVISION_ANNOTATION: &str = "realtime.tidewire.dev/revision";
/// Annotation of boot ConfigMaps: the full hash of their options, which is too long for a label.
pub const BOOT_HASH_ANNOTATION: &str = "realtime.tidewire.dev/boot-hash";
/// Annotation of NATS pods: the hash of their configuration, so that a change rolls them.
pub const NATS_CONFIG_ANNOTATION: &str = "realtime.tidewire.dev/nats-config";

/// File with the options that need a roll; read before the live ones.
pub const BOOT_FILE: &str = "10-boot.json";
/// File with the options that are applied live.
pub const LIVE_FILE: &str = "20-live.json";

/// What a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The server that clients connect to.
    Edge,
    /// The message broker.
    Nats,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Self::Edge => "tidewire-edge",
            Self::Nats => "nats",
        }
    }
}

/// Identity of one cluster, from which every child's name follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the RealtimeCluster.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID: what makes a child ours.
    pub uid: String,
}

impl Identity {
    /// Deployment, client Service and PDB of the nodes.
    #[must_use]
    pub fn edge(&self) -> String {
        self.name.clone()
    }

    /// Service of the API.
    #[must_use]
    pub fn api(&self) -> String {
        format!("{}-api", self.name)
    }

    /// StatefulSet, headless Service, ConfigMap, PDB and ServiceAccount of NATS.
    #[must_use]
    pub fn nats(&self) -> String {
        format!("{}-nats", self.name)
    }

    /// ConfigMap of the options that need a roll.
    #[must_use]
    pub fn boot(&self, hash: &str) -> String {
        let short: String = hash.chars().take(8).collect();
        format!("{}-boot-{short}", self.name)
    }

    /// ConfigMap of the options that are applied live.
    #[must_use]
    pub fn live(&self) -> String {
        format!("{}-live", self.name)
    }

    /// Secret of the client token key.
    #[must_use]
    pub fn token_secret(&self) -> String {
        format!("{}-token", self.name)
    }

    /// Secret of the API key.
    #[must_use]
    pub fn api_key_secret(&self) -> String {
        format!("{}-api-key", self.name)
    }

    /// Secret of the administrator.
    #[must_use]
    pub fn admin_secret(&self) -> String {
        format!("{}-admin", self.name)
    }

    /// Secret with which the operator asks nodes for their state.
    #[must_use]
    pub fn node_status_secret(&self) -> String {
        format!("{}-node-status", self.name)
    }

    /// Prefix of subjects and streams: NATS may serve several clusters.
    #[must_use]
    pub fn subject_prefix(&self) -> String {
        format!("tw_{}_{}", self.namespace, self.name)
    }

    /// Labels that select the pods of a component; they can never change.
    #[must_use]
    pub fn selector(&self, component: Component) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/instance".to_owned(), self.name.clone()),
            (
                "app.kubernetes.io/name".to_owned(),
                component.name().to_owned(),
            ),
        ])
    }

    /// The selector of the nodes as text, for the scale subresource.
    #[must_use]
    pub fn selector_text(&self) -> String {
        let pairs: Vec<String> = self
            .selector(Component::Edge)
            .into_iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        pairs.join(",")
    }

    /// Labels of every object of a component.
    #[must_use]
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        labels.insert(
            "app.kubernetes.io/managed-by".to_owned(),
            "tidewire-operator".to_owned(),
        );
        labels.insert(
            "app.kubernetes.io/part-of".to_owned(),
            "tidewire".to_owned(),
        );
        labels.insert(CLUSTER_LABEL.to_owned(), self.name.clone());
        labels
    }

    /// Metadata of a child that goes when the cluster goes.
    #[must_use]
    pub fn owned(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            owner_references: Some(vec![self.owner()]),
            ..self.retained(name, component)
        }
    }

    /// Metadata of a child that stays when the cluster goes.
    #[must_use]
    pub fn retained(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(component)),
            ..ObjectMeta::default()
        }
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: format!("{}/v1alpha1", crate::api::GROUP),
            kind: "RealtimeCluster".to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            // Not blocking: that would need rights on the cluster's finalizers.
            block_owner_deletion: None,
        }
    }

    /// Whether an object with this metadata has this cluster as an owner.
    #[must_use]
    pub fn owns(&self, metadata: &ObjectMeta) -> bool {
        metadata
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.uid == self.uid)
    }

    /// Whether an object with this metadata was retained for a cluster of this name.
    #[must_use]
    pub fn may_adopt(&self, metadata: &ObjectMeta) -> bool {
        let unowned = metadata.owner_references.iter().flatten().next().is_none();
        let label = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(CLUSTER_LABEL));
        unowned && label == Some(&self.name)
    }
}
