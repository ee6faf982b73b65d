//! Second step, pure: from the spec to a cluster that can be built, or the reasons why not.
//!
//! The configuration is parsed and checked by the edge's own code, so what the edge would refuse never reaches a pod.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidewire_config::{ChannelOptions, Config};

use crate::{
    api::{
        AuthSpec, DisruptionSpec, KeySpec, NatsSpec, RealtimeCluster, ResourcesSpec, RolloutSpec,
        StorageSpec, config_schema::NAMESPACES_MAX, crd,
    },
    context::Images,
    error::Error,
    resources::names::Identity,
};

mod config;

pub use self::config::check_mixed;
#[cfg(test)]
pub(crate) use self::config::overlay;
use self::config::{own_options, parse, render};

/// One thing that is wrong with the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Field, from the root of the object: `spec.config.client.ping_interval`.
    pub path: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// Everything that is wrong with the spec; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub Vec<Problem>);

impl Invalid {
    /// The first problem with its path, and how many more there are.
    #[must_use]
    pub fn summary(&self) -> String {
        let Some(first) = self.0.first() else {
            return "the spec is not valid".to_owned();
        };
        match self.0.len() - 1 {
            0 => format!("{}: {}", first.path, first.message),
            more => format!("{}: {} (and {more} more)", first.path, first.message),
        }
    }
}

/// Name, namespace and UID of an object that came from an API server.
///
/// # Errors
/// [`Error::Incomplete`] when one of them is missing.
pub fn identity(cluster: &RealtimeCluster) -> Result<Identity, Error> {
    Ok(Identity {
        name: cluster
            .metadata
            .name
            .clone()
            .ok_or(Error::Incomplete("name"))?,
        namespace: cluster.namespace().ok_or(Error::Incomplete("namespace"))?,
        uid: cluster.uid().ok_or(Error::Incomplete("uid"))?,
    })
}

/// A cluster that can be built: every default in place, every reference by name.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Who it is.
    pub identity: Identity,
    /// Nodes wanted.
    pub replicas: i32,
    /// Their image and how it is pulled.
    pub image: Image,
    /// Their configuration, as files.
    pub config: ConfigFiles,
    /// How they exchange messages.
    pub broker: Broker,
    /// Where each key is mounted from.
    pub keys: Vec<MountedKey>,
    /// Names of the Secrets that the operator generates for this cluster; others are the user's.
    pub generated: BTreeSet<String>,
    /// How changes roll.
    pub rollout: RolloutSpec,
    /// Compute resources of a node.
    pub resources: ResourcesSpec,
    /// What voluntary disruptions may take.
    pub disruption: DisruptionSpec,
    /// Seconds a node may take to end.
    pub grace_seconds: i64,
    /// Hash of the spec without `replicas` and `operation`: whether somebody changed what runs.
    pub spec_hash: String,
    /// What the edge would warn about: options that it does not know.
    pub warnings: Vec<String>,
    /// Options that the edge accepts and does not act on yet.
    pub without_effect: Vec<String>,
    /// Namespaces with history, which this broker cannot keep yet; the one without a name is `without_namespace`.
    pub without_history: Vec<String>,
}

/// An image and how it is pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Image reference.
    pub reference: String,
    /// When it is pulled; empty leaves it to Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<String>,
    /// Secrets with credentials for the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
}

/// The configuration as the files that nodes read.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFiles {
    /// Options that need a roll.
    pub boot: Value,
    /// Options that are applied live.
    pub live: Value,
    /// Hash of the former, as the nodes compute it.
    pub boot_hash: String,
    /// Hash of the latter.
    pub live_hash: String,
}

/// How nodes exchange messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Broker {
    /// A NATS cluster run by the operator.
    Nats(Nats),
    /// None: one node on its own.
    Memory,
}

/// A NATS cluster with every default in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Nats {
    /// Servers.
    pub replicas: i32,
    /// Copies of each stream.
    pub stream_replicas: i32,
    /// Volume of each server.
    pub storage: StorageSpec,
    /// Compute resources of each server.
    pub resources: ResourcesSpec,
    /// Image of the servers.
    pub image: String,
}

impl Nats {
    /// Servers that must be up for the cluster to accept writes.
    #[must_use]
    pub fn quorum(&self) -> i32 {
        self.replicas / 2 + 1
    }
}

/// One value of a Secret, mounted as a file named by its option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedKey {
    /// Path of the option.
    pub option: String,
    /// Name of the Secret.
    pub secret: String,
    /// Key inside it.
    pub key: String,
}

/// Seconds left for the process to end by itself after its own limits.
const EXIT_SECONDS: i64 = 10;

/// Checks a spec and fills in every default.
///
/// # Errors
/// Everything that is wrong with it, each with its field. Nothing may be applied then.
pub fn validate(
    cluster: &RealtimeCluster,
    identity: &Identity,
    images: &Images,
) -> Result<ValidatedCluster, Invalid> {
    let spec = &cluster.spec;
    let mut problems = broken_rules(cluster);
    let broker = broker(
        spec.broker.nats.as_ref(),
        spec.broker.memory.is_some(),
        images,
    );
    let loaded = own_options(spec.config.as_ref(), &mut problems)
        .map(|own| render(own, &spec.auth, &broker, identity, &mut problems))
        .and_then(|rendered| {
            parse(&rendered)
                .map_err(|Invalid(found)| problems.extend(found))
                .ok()
        });
    let (Some(loaded), true) = (loaded, problems.is_empty()) else {
        return Err(Invalid(problems));
    };
    let (boot, live) = tidewire_config::split(&loaded.file_layer);
    let without_history = match broker {
        Broker::Nats(_) => with_history(&loaded.config),
        Broker::Memory => Vec::new(),
    };
    Ok(ValidatedCluster {
        identity: identity.clone(),
        replicas: spec.replicas,
        image: Image {
            reference: spec
                .image
                .reference
                .clone()
                .unwrap_or_else(|| images.edge.clone()),
            pull_policy: spec
                .image
                .pull_policy
                .map(|policy| policy.as_str().to_owned()),
            pull_secrets: spec.image.pull_secrets.clone(),
        },
        config: ConfigFiles {
            boot_hash: loaded.boot_hash,
            live_hash: loaded.live_hash,
            boot,
            live,
        },
        broker,
        keys: mounted_keys(identity, &spec.auth),
        generated: generated_secrets(identity, &spec.auth),
        rollout: spec.rollout.clone(),
        resources: with_default_requests(&spec.pod.resources, "100m", "64Mi"),
        disruption: match spec.disruption.is_unset() {
            true => DisruptionSpec {
                min_available: None,
                max_unavailable: Some(IntOrString::Int(1)),
            },
            false => spec.disruption.clone(),
        },
        grace_seconds: grace_seconds(&loaded.config),
        spec_hash: spec_hash(cluster),
        warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        without_effect: loaded.without_effect,
        without_history,
    })
}

fn with_history(config: &Config) -> Vec<String> {
    let kept = |options: &ChannelOptions| options.history_size > 0;
    let channel = &config.channel;
    let unnamed = kept(&channel.without_namespace).then(|| "without_namespace".to_owned());
    let named = channel.namespaces.iter().filter(|it| kept(&it.options));
    unnamed
        .into_iter()
        .chain(named.map(|it| it.name.clone()))
        .collect()
}

/// A node waits until its endpoint is withdrawn everywhere, and only then starts to close connections, for which
/// `shutdown.timeout` counts.
fn grace_seconds(config: &Config) -> i64 {
    let drain = config.tidewire.drain.endpoint_propagation.get();
    let limits = drain.saturating_add(config.shutdown.timeout.get());
    let seconds = limits.as_millis().div_ceil(1000);
    i64::try_from(seconds)
        .unwrap_or(i64::MAX / 2)
        .saturating_add(EXIT_SECONDS)
}

/// The rules of the definition once more: an object may be older than a rule.
fn broken_rules(cluster: &RealtimeCluster) -> Vec<Problem> {
    // Without an identifier the API server has not seen the object; the rules need only name and spec.
    let object = json!({"metadata": {"name": cluster.metadata.name}, "spec": cluster.spec});
    let mut problems: Vec<Problem> = crd::check_rules(&object, None)
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|violation| Problem {
            path: violation.path,
            message: violation.message,
        })
        .collect();
    let namespaces = cluster
        .spec
        .config
        .as_ref()
        .and_then(|config| config.pointer("/channel/namespaces"));
    if namespaces
        .and_then(Value::as_array)
        .is_some_and(|list| list.len() as u64 > NAMESPACES_MAX)
    {
        problems.push(Problem {
            path: "spec.config.channel.namespaces".to_owned(),
            message: format!("more than {NAMESPACES_MAX} namespaces"),
        });
    }
    problems
}

fn broker(nats: Option<&NatsSpec>, memory: bool, images: &Images) -> Broker {
    if memory {
        return Broker::Memory;
    }
    let spec = nats.cloned().unwrap_or_default();
    Broker::Nats(Nats {
        replicas: spec.replicas,
        stream_replicas: spec.stream_replicas.unwrap_or(spec.replicas.min(3)),
        resources: with_default_requests(&spec.resources, "100m", "128Mi"),
        storage: spec.storage,
        image: images.nats.clone(),
    })
}

fn mounted_keys(identity: &Identity, auth: &AuthSpec) -> Vec<MountedKey> {
    let key = |option: &str, spec: &KeySpec, secret: String, key: &str| {
        let (secret, key) = match &spec.secret_ref {
            Some(reference) => (reference.name.clone(), reference.key.clone()),
            None => (secret, key.to_owned()),
        };
        MountedKey {
            option: option.to_owned(),
            secret,
            key,
        }
    };
    let generated = KeySpec::default();
    vec![
        key(
            "client.token.hmac_secret_key",
            &auth.token.hmac,
            identity.token_secret(),
            "hmac_secret_key",
        ),
        key(
            "http_api.key",
            &auth.api_key,
            identity.api_key_secret(),
            "key",
        ),
        key(
            "admin.password",
            &auth.admin,
            identity.admin_secret(),
            "password",
        ),
        key(
            "admin.secret",
            &generated,
            identity.admin_secret(),
            "secret",
        ),
        key(
            "tidewire.node_status.token",
            &generated,
            identity.node_status_secret(),
            "token",
        ),
    ]
}

/// The administrator's Secret always: a reference replaces its password, not what sessions are signed with.
fn generated_secrets(identity: &Identity, auth: &AuthSpec) -> BTreeSet<String> {
    let unless_referenced =
        |spec: &KeySpec, name: String| spec.secret_ref.is_none().then_some(name);
    [
        unless_referenced(&auth.token.hmac, identity.token_secret()),
        unless_referenced(&auth.api_key, identity.api_key_secret()),
        Some(identity.admin_secret()),
        Some(identity.node_status_secret()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Requests that are neither requested nor limited get a default: the scheduler and an HPA need them.
fn with_default_requests(resources: &ResourcesSpec, cpu: &str, memory: &str) -> ResourcesSpec {
    let mut filled = resources.clone();
    for (name, amount) in [("cpu", cpu), ("memory", memory)] {
        if !filled.limits.contains_key(name) {
            filled
                .requests
                .entry(name.to_owned())
                .or_insert_with(|| Quantity(amount.to_owned()));
        }
    }
    filled
}

fn spec_hash(cluster: &RealtimeCluster) -> String {
    let mut spec = serde_json::to_value(&cluster.spec).unwrap_or_default();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("replicas");
        fields.remove("operation");
    }
    short_hash(&spec)
}

/// The first 16 hexadecimal digits of the SHA-256 of a value's JSON.
#[must_use]
pub fn short_hash(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    Sha256::digest(&text)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests;
