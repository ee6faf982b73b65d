//! The nodes' configuration: an immutable ConfigMap for options that need a roll, named by their hash so that a change
//! is a rollout and the previous one can come back, and a mutable one for options that are applied live.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::names::{BOOT_FILE, BOOT_HASH_ANNOTATION, Component, LIVE_FILE};
use crate::{error::Error, validate::ValidatedCluster};

/// Options that need a roll.
pub(super) fn boot(cluster: &ValidatedCluster) -> Result<ConfigMap, Error> {
    let config = &cluster.config;
    let mut metadata = cluster
        .identity
        .owned(cluster.identity.boot(&config.boot_hash), Component::Edge);
    metadata.annotations = Some(BTreeMap::from([(
        BOOT_HASH_ANNOTATION.to_owned(),
        config.boot_hash.clone(),
    )]));
    Ok(ConfigMap {
        metadata,
        immutable: Some(true),
        data: Some(BTreeMap::from([(
            BOOT_FILE.to_owned(),
            pretty(&config.boot)?,
        )])),
        ..ConfigMap::default()
    })
}

/// Options that are applied live.
pub(super) fn live(cluster: &ValidatedCluster, options: &Value) -> Result<ConfigMap, Error> {
    Ok(ConfigMap {
        metadata: cluster
            .identity
            .owned(cluster.identity.live(), Component::Edge),
        data: Some(BTreeMap::from([(LIVE_FILE.to_owned(), pretty(options)?)])),
        ..ConfigMap::default()
    })
}

fn pretty(value: &Value) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|source| Error::Render {
        what: "the configuration",
        source,
    })
}
