//! First step: everything a reconcile has to read, and nothing decided.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret},
    },
};
use kube::{Api, Client, Resource, ResourceExt, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    api::{AuthSpec, SecretKeyRef},
    error::Error,
    resources::names::{
        BOOT_FILE, BOOT_HASH_ANNOTATION, CLUSTER_LABEL, Component, Identity, LIVE_FILE,
    },
};

/// What the operator read about one cluster. Holds keys: never print it.
#[derive(Default)]
pub struct Fetched {
    /// For each Secret that the spec refers to: its non-empty keys. A missing Secret has no entry.
    pub referenced: BTreeMap<String, BTreeSet<String>>,
    /// Secrets with the names that the operator generates, by name. Somebody else's may be among them.
    pub generated: BTreeMap<String, Secret>,
    /// The nodes' Deployment, if it is ours.
    pub deployment: Option<Deployment>,
    /// Its ReplicaSets.
    pub replica_sets: Vec<ReplicaSet>,
    /// Options that need a roll, by their full hash.
    pub boots: BTreeMap<String, Value>,
    /// Options that are applied live, as last written.
    pub live: Option<Value>,
    /// The NATS StatefulSet, if it is ours.
    pub nats: Option<StatefulSet>,
    /// Volume claims of NATS.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Edge pods that are not ending.
    pub pods: Vec<Pod>,
}

impl Fetched {
    /// References of the spec that lead nowhere.
    #[must_use]
    pub fn missing(&self, auth: &AuthSpec) -> Vec<SecretKeyRef> {
        references(auth)
            .filter(|reference| {
                !self
                    .referenced
                    .get(&reference.name)
                    .is_some_and(|keys| keys.contains(&reference.key))
            })
            .cloned()
            .collect()
    }

    /// The bearer token with which nodes are asked for their state; from our own Secret only.
    #[must_use]
    pub fn node_status_token(&self, identity: &Identity) -> Option<String> {
        let secret = self.generated.get(&identity.node_status_secret())?;
        if !identity.owns(&secret.metadata) {
            return None;
        }
        let ByteString(token) = secret.data.as_ref()?.get("token")?;
        String::from_utf8(token.clone()).ok()
    }
}

/// The Secrets that a spec refers to.
pub fn references(auth: &AuthSpec) -> impl Iterator<Item = &SecretKeyRef> {
    [&auth.token.hmac, &auth.api_key, &auth.admin]
        .into_iter()
        .filter_map(|key| key.secret_ref.as_ref())
}

/// Reads everything about one cluster.
///
/// # Errors
/// [`Error::Fetch`] when the API server does not answer or refuses; retry.
pub async fn fetch(
    client: &Client,
    identity: &Identity,
    auth: &AuthSpec,
) -> Result<Fetched, Error> {
    let namespace = identity.namespace.as_str();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut fetched = Fetched {
        deployment: owned(client, identity, &identity.edge()).await?,
        nats: owned(client, identity, &identity.nats()).await?,
        ..Fetched::default()
    };
    for reference in references(auth) {
        if let Some(secret) = get(&secrets, &reference.name).await? {
            fetched
                .referenced
                .insert(reference.name.clone(), filled_keys(&secret));
        }
    }
    let generated = [
        identity.token_secret(),
        identity.api_key_secret(),
        identity.admin_secret(),
        identity.node_status_secret(),
    ];
    for name in generated {
        if let Some(secret) = get(&secrets, &name).await? {
            fetched.generated.insert(name, secret);
        }
    }
    let ours = ListParams::default().labels(&format!("{CLUSTER_LABEL}={}", identity.name));
    let config_maps: Vec<ConfigMap> = list(client, namespace, &ours).await?;
    let config_maps: Vec<ConfigMap> = config_maps
        .into_iter()
        .filter(|map| identity.owns(&map.metadata))
        .collect();
    fetched.boots = config_maps.iter().filter_map(boot_options).collect();
    fetched.live = config_maps
        .iter()
        .find(|map| map.name_any() == identity.live())
        .and_then(|map| json_file(map, LIVE_FILE));
    let nodes = ListParams::default().labels(&identity.selector_text());
    if let Some(deployment) = fetched
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.metadata.uid.clone())
    {
        fetched.replica_sets = list::<ReplicaSet>(client, namespace, &nodes).await?;
        fetched.replica_sets.retain(|set| {
            set.owner_references()
                .iter()
                .any(|owner| owner.uid == deployment)
        });
    }
    fetched.pods = list::<Pod>(client, namespace, &nodes).await?;
    fetched.pods.retain(is_living);
    let nats = identity
        .selector(Component::Nats)
        .into_iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>();
    fetched.claims = list(
        client,
        namespace,
        &ListParams::default().labels(&nats.join(",")),
    )
    .await?;
    Ok(fetched)
}

fn filled_keys(secret: &Secret) -> BTreeSet<String> {
    let data = secret.data.iter().flatten();
    data.filter(|(_, value)| !value.0.is_empty())
        .map(|(key, _)| key.clone())
        .collect()
}

fn boot_options(map: &ConfigMap) -> Option<(String, Value)> {
    let hash = map.annotations().get(BOOT_HASH_ANNOTATION)?.clone();
    Some((hash, json_file(map, BOOT_FILE)?))
}

fn json_file(map: &ConfigMap, name: &str) -> Option<Value> {
    serde_json::from_str(map.data.as_ref()?.get(name)?).ok()
}

fn is_living(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// An object of ours by name; one of somebody else counts as absent here and as a conflict when it is applied.
async fn owned<K>(client: &Client, identity: &Identity, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let found = get(&Api::namespaced(client.clone(), &identity.namespace), name).await?;
    Ok(found.filter(|object: &K| identity.owns(object.meta())))
}

async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    api.get_opt(name).await.map_err(|source| Error::Fetch {
        what: format!("{}/{name}", K::kind(&())),
        source,
    })
}

async fn list<K>(client: &Client, namespace: &str, params: &ListParams) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = api.list(params).await;
    Ok(found
        .map_err(|source| Error::Fetch {
            what: K::plural(&()).into_owned(),
            source,
        })?
        .items)
}
