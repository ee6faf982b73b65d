//! Generated keys. Each is written once and then left alone: a person may replace its value. Nodes read their files
//! again and follow at once where the edge takes a key without a restart, as it does those of client tokens and of the
//! API; the operator rolls nothing for a value that changed.
//!
//! Keys of clients, API and administrator outlive the cluster (no owner) and are adopted by a cluster of the same name;
//! the key between operator and nodes does not.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::names::{Component, Identity};
use crate::{fetch::Fetched, validate::ValidatedCluster};

/// Fresh random values, one for each key that may have to be generated. Never printed.
#[derive(Clone)]
pub struct NewKeys {
    token: String,
    api_key: String,
    admin_password: String,
    admin_secret: String,
    node_status: String,
}

impl NewKeys {
    /// 256 random bits each.
    #[must_use]
    pub fn random() -> Self {
        let key = || URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        Self {
            token: key(),
            api_key: key(),
            admin_password: key(),
            admin_secret: key(),
            node_status: key(),
        }
    }

    /// Values that can be recognised in a test.
    #[cfg(test)]
    pub(crate) fn recognisable() -> Self {
        let key = |name: &str| format!("new-{name}");
        Self {
            token: key("token"),
            api_key: key("api-key"),
            admin_password: key("admin-password"),
            admin_secret: key("admin-secret"),
            node_status: key("node-status"),
        }
    }
}

/// The Secrets that have to be written: those that nodes mount and that are absent or lack a key. One that is not ours
/// is among them even when it is complete: applying it finds the conflict, and without that pods would mount it.
pub(super) fn missing(
    cluster: &ValidatedCluster,
    fetched: &Fetched,
    keys: &NewKeys,
) -> Vec<Secret> {
    let identity = &cluster.identity;
    let retained = |name| identity.retained(name, Component::Edge);
    let wanted = [
        (
            retained(identity.token_secret()),
            vec![("hmac_secret_key", &keys.token)],
        ),
        (
            retained(identity.api_key_secret()),
            vec![("key", &keys.api_key)],
        ),
        (
            retained(identity.admin_secret()),
            vec![
                ("password", &keys.admin_password),
                ("secret", &keys.admin_secret),
            ],
        ),
        (
            identity.owned(identity.node_status_secret(), Component::Edge),
            vec![("token", &keys.node_status)],
        ),
    ];
    wanted
        .into_iter()
        .filter(|(metadata, _)| {
            let name = metadata.name.as_ref();
            name.is_some_and(|name| cluster.generated.contains(name))
        })
        .filter_map(|(metadata, values)| completed(identity, metadata, &values, fetched))
        .collect()
}

/// The Secret with what it lacks, or nothing when it is ours and complete. Existing values are repeated, since a field that the
/// operator no longer applies would be removed.
fn completed(
    identity: &Identity,
    metadata: ObjectMeta,
    values: &[(&str, &String)],
    fetched: &Fetched,
) -> Option<Secret> {
    let existing = metadata
        .name
        .as_ref()
        .and_then(|name| fetched.generated.get(name));
    let retained = metadata.owner_references.is_none();
    let ours = existing.is_some_and(|Secret { metadata, .. }| {
        identity.owns(metadata) || retained && identity.may_adopt(metadata)
    });
    let mut data: BTreeMap<String, ByteString> = existing
        .and_then(|secret| secret.data.clone())
        .unwrap_or_default();
    let before = data.len();
    data.retain(|_, value| !value.0.is_empty());
    let mut incomplete = !ours || data.len() < before;
    for (key, value) in values {
        data.entry((*key).to_owned()).or_insert_with(|| {
            incomplete = true;
            ByteString(value.as_bytes().to_vec())
        });
    }
    incomplete.then(|| Secret {
        metadata,
        data: Some(data),
        ..Secret::default()
    })
}
