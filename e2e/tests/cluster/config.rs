//! What a change of `spec.config` does to running nodes.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::ListParams;
use serde_json::json;
use tidewire_e2e::api::ApiClient;
use tidewire_e2e::namespace::{
    INTERNAL_PORT, READY_TIME, TestNamespace, ensure_untouched, identity, in_namespace,
};
use tidewire_e2e::wait::{self, Seen};

use super::{in_memory, open_channels, with_nats};

const LIVE_TIME: Duration = Duration::from_secs(20);
const NAME: &str = "chat";

#[tokio::test]
async fn a_namespace_added_to_the_spec_reaches_running_nodes_without_a_restart() -> Result<()> {
    in_namespace("live", async |namespace| {
        namespace
            .create_cluster(NAME, with_nats(2, &open_channels(&["first"])))
            .await?;
        namespace.wait_ready(NAME).await?;
        let before = namespace.wait_edge_pods(NAME, 2, READY_TIME).await?;
        let key = namespace.secret("chat-api-key", "key").await?;
        let publish = json!({"channel": "second:room", "data": {}});
        let mut nodes = Vec::new();
        for pod in &before {
            let forward = namespace.cluster.forward_pod(pod, INTERNAL_PORT).await?;
            let api = ApiClient::new(&forward.address, &key);
            assert_eq!(api.call("publish", &publish).await?.error_code(), 102);
            nodes.push((forward, api));
        }
        namespace
            .change_spec(NAME, json!({"config": open_channels(&["first", "second"])}))
            .await?;
        wait::until("the new namespace on every node", LIVE_TIME, async || {
            for (_, api) in &nodes {
                let reply = api.call("publish", &publish).await?;
                if reply.status != 200 || reply.error_code() != 0 {
                    return Ok(Seen::NotYet(format!("{reply:?}")));
                }
            }
            Ok(Seen::Yes(()))
        })
        .await?;
        namespace
            .wait_condition(NAME, "ConfigApplied", "True", READY_TIME)
            .await?;
        pods_stay(namespace, &before).await
    })
    .await
}

/// For 20 seconds no pod is replaced or restarted, nor another one added.
async fn pods_stay(namespace: &TestNamespace, before: &[Pod]) -> Result<()> {
    wait::throughout("the pods stay", LIVE_TIME, async || {
        ensure_untouched(before, &namespace.edge_pods(NAME).await?)?;
        Ok(Seen::Yes(()))
    })
    .await
}

#[tokio::test]
async fn a_boot_option_rolls_the_pods() -> Result<()> {
    in_namespace("boot", async |namespace| {
        namespace
            .create_cluster(NAME, with_nats(2, &open_channels(&[])))
            .await?;
        namespace.wait_ready(NAME).await?;
        let before = namespace.wait_edge_pods(NAME, 2, READY_TIME).await?;
        namespace
            .change_spec(
                NAME,
                json!({"config": {"client": {"ping_interval": "20s"}}}),
            )
            .await?;
        wait::until("two other pods", READY_TIME, async || {
            let after = namespace.edge_pods(NAME).await?;
            let old = after
                .iter()
                .filter(|pod| {
                    before
                        .iter()
                        .any(|other| identity(other).0 == identity(pod).0)
                })
                .count();
            Ok(Seen::when(after.len() == 2 && old == 0, || {
                format!("{} pods, {old} of them old", after.len())
            }))
        })
        .await?;
        namespace.wait_ready(NAME).await?;
        namespace
            .wait_condition(NAME, "ConfigApplied", "True", READY_TIME)
            .await
    })
    .await
}

#[tokio::test]
async fn a_spec_that_the_edge_would_refuse_changes_nothing_and_says_why() -> Result<()> {
    in_namespace("refused", async |namespace| {
        namespace
            .create_cluster(NAME, in_memory(&open_channels(&["first"])))
            .await?;
        namespace.wait_ready(NAME).await?;
        let pods = namespace.wait_edge_pods(NAME, 1, READY_TIME).await?;
        let maps = config_maps(namespace).await?;
        // A string as the schema wants it, but no regular expression: only the edge's own check can tell.
        let refused = json!({"config": {"channel": {"namespaces": [{"name": "first", "channel_regex": "[a"}]}}});
        namespace.change_spec(NAME, refused).await?;
        namespace
            .wait_condition(NAME, "ConfigValid", "False", LIVE_TIME)
            .await?;

        let path = "channel.namespaces[first].channel_regex";
        let (_, message) = namespace.condition(NAME, "ConfigValid").await?;
        ensure!(
            message.contains(path),
            "the condition does not name {path}: {message}"
        );
        wait::until("an event with the path", LIVE_TIME, async || {
            let messages = namespace.event_messages(NAME, "").await?;
            Ok(Seen::when(
                messages.iter().any(|message| message.contains(path)),
                || format!("{messages:?}"),
            ))
        })
        .await?;
        ensure!(config_maps(namespace).await? == maps, "a ConfigMap changed");
        pods_stay(namespace, &pods).await?;

        namespace
            .change_spec(NAME, json!({"config": open_channels(&["first"])}))
            .await?;
        namespace.wait_ready(NAME).await
    })
    .await
}

/// The cluster's ConfigMaps: name and version.
async fn config_maps(namespace: &TestNamespace) -> Result<Vec<(Option<String>, Option<String>)>> {
    let labels = format!("realtime.tidewire.dev/cluster={NAME}");
    let maps = namespace
        .api::<ConfigMap>()
        .list(&ListParams::default().labels(&labels))
        .await?
        .items;
    ensure!(!maps.is_empty(), "no ConfigMap with the label {labels}");
    Ok(maps
        .into_iter()
        .map(|map| (map.metadata.name, map.metadata.resource_version))
        .collect())
}
