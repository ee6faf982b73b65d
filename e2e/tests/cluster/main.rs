//! The product on a real Kubernetes, as a user has it: the published manifests, kubectl, the official SDKs.
//!
//! All tests share one cluster and one operator; each has a namespace of its own, which enforces the restricted
//! profile. An administrator's identity is used for set-up and assertions only.

mod children;
mod config;
mod operator;
mod options;
mod quickstart;
mod scale;
mod security;

use serde_json::{Value, json};

/// A cluster of so many nodes with one NATS server, and a `config` of its own.
fn with_nats(replicas: u32, config: &Value) -> Value {
    json!({
        "replicas": replicas,
        "config": config,
        "broker": {"nats": {"replicas": 1, "streamReplicas": 1, "storage": {"size": "1Gi"}}},
        "rollout": {"minReadySeconds": 1},
    })
}

/// One node without a broker, which is the quickest to start.
fn in_memory(config: &Value) -> Value {
    json!({"replicas": 1, "config": config, "broker": {"memory": {}}, "rollout": {"minReadySeconds": 1}})
}

/// Clients may subscribe to channels without a namespace and do everything in the given namespaces.
fn open_channels(namespaces: &[&str]) -> Value {
    let namespace = |name: &&str| json!({"name": name, "allow_subscribe_for_client": true, "allow_publish_for_client": true});
    json!({"channel": {
        "without_namespace": {"allow_subscribe_for_client": true},
        "namespaces": namespaces.iter().map(namespace).collect::<Vec<_>>(),
    }})
}
