//! `RealtimeCluster` v1alpha1: the types users write, one field each with its meaning, range and default.
//!
//! Every optional block has its defaults in one `Default`, which is both the structural default in the CRD and
//! what the operator assumes when the block is absent. Rules between fields are CEL, stated beside the type.

pub mod config_schema;
pub mod crd;
pub mod status;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::status::RealtimeClusterStatus;

/// The API group of every kind and the prefix of every label and annotation.
pub const GROUP: &str = "realtime.tidewire.dev";

/// What a user wants: edge nodes, their configuration, keys and message broker.
#[expect(
    clippy::duplicated_attributes,
    reason = "every printer column has a type and a priority of its own"
)]
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "realtime.tidewire.dev",
    version = "v1alpha1",
    kind = "RealtimeCluster",
    plural = "realtimeclusters",
    shortname = "rtc",
    category = "tidewire",
    namespaced,
    status = "RealtimeClusterStatus",
    derive = "PartialEq",
    doc = "A cluster of Tidewire edge nodes with its message broker, keys and Services",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.ready",
        description = "Ready edge nodes of those wanted"
    ),
    printcolumn(
        name = "Connections",
        type_ = "integer",
        json_path = ".status.connections.total",
        description = "Client connections, two significant digits"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why the cluster is ready or not"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "Version that the edge nodes report"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    ),
    printcolumn(
        name = "Broker",
        type_ = "string",
        json_path = ".status.broker.summary",
        priority = 1,
        description = "State of the message broker"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1,
        description = "Explanation of the status"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct RealtimeClusterSpec {
    /// Edge nodes wanted, 0 to 1000, default 2. Written by `kubectl scale` and by an HPA on this object.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Image of the edge nodes. Default: the release that belongs to the operator.
    #[serde(default)]
    pub image: ImageSpec,
    /// Configuration of the edge nodes, in the keys of the edge's own configuration file. Options marked (live) are
    /// applied without a restart, the others by a rolling restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "config_schema::schema")]
    pub config: Option<Value>,
    /// Keys of clients, of the service API and of the administrator.
    #[serde(default)]
    pub auth: AuthSpec,
    /// How nodes exchange messages. Default: a NATS cluster run by the operator.
    #[serde(default)]
    pub broker: BrokerSpec,
    /// How a change of the nodes is rolled out.
    #[serde(default)]
    pub rollout: RolloutSpec,
    /// Properties of the edge pods.
    #[serde(default)]
    pub pod: PodSpec,
    /// How many nodes voluntary disruptions (drains, evictions) may take at a time. Default: maxUnavailable 1.
    #[serde(default, skip_serializing_if = "DisruptionSpec::is_unset")]
    pub disruption: DisruptionSpec,
    /// Switches for the person on duty.
    #[serde(default)]
    pub operation: OperationSpec,
}

fn default_replicas() -> i32 {
    2
}

fn spec_rules() -> Value {
    json!([{
        "rule": "!has(self.broker) || !has(self.broker.memory) || self.replicas <= 1",
        "message": "the memory broker does not connect nodes: set replicas to 1 or use broker.nats",
        "fieldPath": ".replicas"
    }])
}

impl Default for RealtimeClusterSpec {
    fn default() -> Self {
        Self {
            replicas: default_replicas(),
            image: ImageSpec::default(),
            config: None,
            auth: AuthSpec::default(),
            broker: BrokerSpec::default(),
            rollout: RolloutSpec::default(),
            pod: PodSpec::default(),
            disruption: DisruptionSpec::default(),
            operation: OperationSpec::default(),
        }
    }
}

/// Image of the edge nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Image reference, a digest preferred. Default: the release that belongs to the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub reference: Option<String>,
    /// When the kubelet pulls the image: Always, IfNotPresent or Never. Default: the rule of Kubernetes for the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Names of Secrets in this namespace with credentials for the registry. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub pull_secrets: Vec<String>,
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// At every start of a container.
    Always,
    /// When the image is not on the machine.
    IfNotPresent,
    /// Never: the image has to be there.
    Never,
}

impl PullPolicy {
    /// The word Kubernetes uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Keys of clients, service API and administrator. A key is generated unless it is referenced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// Verification of client tokens (JWT).
    #[serde(default)]
    pub token: TokenSpec,
    /// Key of the service API. Default: generated, Secret `<name>-api-key`, key `key`.
    #[serde(default)]
    pub api_key: KeySpec,
    /// Password of the administrator. Default: generated, Secret `<name>-admin`, key `password`.
    #[serde(default)]
    pub admin: KeySpec,
}

/// Verification of client tokens (JWT).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenSpec {
    /// Symmetric key of tokens. Default: generated, Secret `<name>-token`, key `hmac_secret_key`.
    #[serde(default)]
    pub hmac: KeySpec,
    /// Value that a token's `aud` claim must contain. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub audience: Option<String>,
    /// Value that a token's `iss` claim must equal. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub issuer: Option<String>,
}

/// Where a key comes from: generated and kept in a Secret, or read from a Secret that the user owns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySpec {
    /// The Secret that holds the key. Default: the key is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// One value of one Secret in the cluster's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// How nodes exchange messages: `nats` or `memory`, at most one. Default: `nats` with its defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = broker_rules()))]
pub struct BrokerSpec {
    /// A NATS cluster run by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsSpec>,
    /// No broker: one node on its own, for development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySpec>,
}

/// Rules of change stand here and not in `NatsSpec`: they hold also where one side leaves `nats` out for its defaults.
fn broker_rules() -> Value {
    let both_nats = |rule: &str| format!("has(self.memory) || has(oldSelf.memory) || ({rule})");
    let servers = |side: &str| format!("(has({side}.nats) ? {side}.nats.replicas : 3)");
    let size = |side: &str| {
        format!("quantity(has({side}.nats) ? string({side}.nats.storage.size) : '10Gi')")
    };
    let class = |side: &str| {
        format!(
            "(has({side}.nats) && has({side}.nats.storage.storageClassName) ? \
             {side}.nats.storage.storageClassName : '')"
        )
    };
    let (new, old) = (servers("self"), servers("oldSelf"));
    json!([
        {
            "rule": "!(has(self.nats) && has(self.memory))",
            "message": "set broker.nats or broker.memory, not both"
        },
        {
            "rule": both_nats(&format!("({new} == 1) == ({old} == 1)")),
            "message": "one NATS server cannot become several, nor several one: streams would be lost"
        },
        {
            "rule": both_nats(&format!("{new} >= {old}")),
            "message": "the number of NATS servers cannot be lowered"
        },
        {
            "rule": both_nats(&format!("{}.compareTo({}) >= 0", size("self"), size("oldSelf"))),
            "message": "a volume cannot shrink"
        },
        {
            "rule": both_nats(&format!("{} == {}", class("self"), class("oldSelf"))),
            "message": "the storage class cannot be changed"
        }
    ])
}

/// No broker: one node on its own, for development. It has no options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemorySpec {}

/// A NATS cluster run by the operator, with JetStream on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = nats_rules()))]
pub struct NatsSpec {
    /// NATS servers: 1, 3 or 5, default 3. One server cannot become several later, and the number cannot be lowered.
    #[serde(default = "default_nats_replicas")]
    #[schemars(range(min = 1, max = 5))]
    pub replicas: i32,
    /// Copies of each stream, at most `replicas`. Default: 3, or `replicas` if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub stream_replicas: Option<i32>,
    /// The volume of each server.
    #[serde(default)]
    pub storage: StorageSpec,
    /// Compute resources of each server. Default: requests of 100m CPU and 128Mi memory.
    #[serde(default)]
    pub resources: ResourcesSpec,
    /// What happens to the volumes when the cluster is deleted. Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn default_nats_replicas() -> i32 {
    3
}

fn nats_rules() -> Value {
    json!([
        {"rule": "self.replicas in [1, 3, 5]", "message": "replicas must be 1, 3 or 5", "fieldPath": ".replicas"},
        {
            "rule": "!has(self.streamReplicas) || self.streamReplicas <= self.replicas",
            "message": "streamReplicas cannot be more than replicas",
            "fieldPath": ".streamReplicas"
        }
    ])
}

impl Default for NatsSpec {
    fn default() -> Self {
        Self {
            replicas: default_nats_replicas(),
            stream_replicas: None,
            storage: StorageSpec::default(),
            resources: ResourcesSpec::default(),
            deletion_policy: DeletionPolicy::default(),
        }
    }
}

/// The volume of each NATS server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// Size of the volume, default 10Gi. It can grow where the storage class allows it, never shrink.
    #[serde(default = "default_storage_size")]
    pub size: Quantity,
    /// Storage class, fixed at creation. Default: the default class of Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

fn default_storage_size() -> Quantity {
    Quantity("10Gi".to_owned())
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self {
            size: default_storage_size(),
            storage_class_name: None,
        }
    }
}

/// What happens to volumes when the cluster is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Volumes stay and are adopted by a cluster of the same name.
    #[default]
    Retain,
}

/// How a change of the nodes is rolled out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": "!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",
    "message": "maxSurge and maxUnavailable cannot both be zero: nothing could ever roll"
}])))]
pub struct RolloutSpec {
    /// Nodes above `replicas` during a roll, a number or a percentage, default 1.
    #[serde(default = "default_max_surge")]
    pub max_surge: IntOrString,
    /// Nodes that may be missing during a roll, a number or a percentage, default 0.
    #[serde(default = "default_max_unavailable")]
    pub max_unavailable: IntOrString,
    /// Seconds a new node must be ready before the next one is touched, 0 to 3600, default 10. A value of at least the
    /// time a node drains makes the drains serial.
    #[serde(default = "default_min_ready_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub min_ready_seconds: i32,
    /// Whether the previous nodes come back when new ones do not get ready within 120 s, default true.
    #[serde(default = "default_auto_rollback")]
    pub auto_rollback: bool,
}

fn default_max_surge() -> IntOrString {
    IntOrString::Int(1)
}

fn default_max_unavailable() -> IntOrString {
    IntOrString::Int(0)
}

fn default_min_ready_seconds() -> i32 {
    10
}

fn default_auto_rollback() -> bool {
    true
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            max_surge: default_max_surge(),
            max_unavailable: default_max_unavailable(),
            min_ready_seconds: default_min_ready_seconds(),
            auto_rollback: default_auto_rollback(),
        }
    }
}

/// Properties of the edge pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Compute resources of each node. Default: requests of 100m CPU and 64Mi memory, which an HPA on CPU needs.
    #[serde(default)]
    pub resources: ResourcesSpec,
}

/// Compute resources of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourcesSpec {
    /// What the scheduler sets aside, by resource name (`cpu`, `memory`, …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
    /// What the container cannot exceed, by resource name. Default: no limit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
}

/// How many nodes voluntary disruptions may take at a time: one of the two. Default: `maxUnavailable` 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": "!(has(self.minAvailable) && has(self.maxUnavailable))",
    "message": "set disruption.minAvailable or disruption.maxUnavailable, not both"
}])))]
pub struct DisruptionSpec {
    /// Nodes that must stay, a number or a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_available: Option<IntOrString>,
    /// Nodes that may be missing, a number or a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
}

impl DisruptionSpec {
    /// Whether neither value is set, so that the default holds.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        self.min_available.is_none() && self.max_unavailable.is_none()
    }
}

/// Switches for the person on duty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationSpec {
    /// Whether the operator leaves every child alone and only keeps the status current, default false.
    #[serde(default)]
    pub paused: bool,
}
