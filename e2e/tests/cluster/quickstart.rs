//! From `kubectl apply` to a publication in the hands of the official SDKs.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use tidewire_e2e::api::ApiClient;
use tidewire_e2e::bad_input;
use tidewire_e2e::cluster::Forward;
use tidewire_e2e::namespace::{
    CLIENT_PORT, READY_TIME, TestNamespace, ensure_untouched, in_namespace,
};
use tidewire_e2e::sdk::{Sdk, SdkClient};
use tidewire_e2e::token;
use tokio::time::Instant;

use super::{in_memory, open_channels};

const NAME: &str = "quickstart";
const CHANNEL: &str = "chat:lobby";

#[tokio::test]
async fn the_quickstart_is_ready_in_60_seconds_and_delivers_to_the_official_sdks() -> Result<()> {
    in_namespace("quickstart", async |namespace| {
        let start = Instant::now();
        namespace.apply_file("manifests/quickstart.yaml").await?;
        namespace.wait_ready(NAME).await?;
        eprintln!("Ready after {:.1} s", start.elapsed().as_secs_f32());
        conditions_agree(namespace).await?;
        let pods = namespace.wait_edge_pods(NAME, 2, READY_TIME).await?;
        let mut forwards = Vec::new();
        for pod in &pods {
            forwards.push(namespace.cluster.forward_pod(pod, CLIENT_PORT).await?);
        }
        every_sdk_receives_on_every_node(namespace, &forwards).await?;
        strangers_are_refused(namespace, &forwards).await?;
        ensure_untouched(&pods, &namespace.edge_pods(NAME).await?)
    })
    .await
}

async fn conditions_agree(namespace: &TestNamespace) -> Result<()> {
    let conditions = namespace.conditions(NAME).await?;
    for (kind, status) in [
        ("Ready", "True"),
        ("Available", "True"),
        ("ConfigValid", "True"),
        ("ConfigApplied", "True"),
        ("BrokerReady", "True"),
        ("KeysReady", "True"),
        ("Degraded", "False"),
        ("ResourceConflict", "False"),
    ] {
        ensure!(
            conditions.get(kind).map(String::as_str) == Some(status),
            "{kind} is not {status}: {conditions:?}"
        );
    }
    Ok(())
}

/// Each SDK on each node, all subscribed at once; one publication through the API Service reaches all of them.
async fn every_sdk_receives_on_every_node(
    namespace: &TestNamespace,
    nodes: &[Forward],
) -> Result<()> {
    let token = namespace.token(NAME, "alice").await?;
    let token = &token;
    let starts = nodes.iter().flat_map(|node| {
        Sdk::ALL.map(|sdk| async move {
            let client = SdkClient::subscribed(sdk, &node.address, token, &[CHANNEL]).await?;
            anyhow::Ok((sdk, client))
        })
    });
    let mut clients = try_join_all(starts).await?;
    let (api, _forward) = namespace.service_api(NAME).await?;
    for number in 0..3 {
        let data = json!({"number": number});
        api.publish(CHANNEL, &data).await?;
        for (sdk, client) in &mut clients {
            assert_eq!(client.expect("publication").await?.data(), &data, "{sdk:?}");
        }
    }
    Ok(())
}

async fn strangers_are_refused(namespace: &TestNamespace, nodes: &[Forward]) -> Result<()> {
    let forged = token::connection("a guess", "mallory")?;
    for node in nodes {
        let mut client =
            SdkClient::start(Sdk::JavaScriptJson, &node.address, &forged, &[CHANNEL]).await?;
        assert_eq!(client.expect("disconnected").await?.code(), 3500);
    }
    let (_, forward) = namespace.service_api(NAME).await?;
    let request = json!({"channel": CHANNEL, "data": {}});
    let reply = ApiClient::new(&forward.address, "a guess")
        .call("publish", &request)
        .await?;
    assert_eq!(reply.status, 401);
    Ok(())
}

#[tokio::test]
async fn the_clients_service_does_not_lead_to_the_api() -> Result<()> {
    in_namespace("apart", async |namespace| {
        namespace
            .create_cluster("apart", in_memory(&open_channels(&[])))
            .await?;
        namespace.wait_ready("apart").await?;
        let key = namespace.secret("apart-api-key", "key").await?;
        let forward = namespace
            .cluster
            .forward_service(&namespace.name, "apart", CLIENT_PORT)
            .await?;
        let clients = ApiClient::new(&forward.address, &key);
        for path in ["/api/info", "/metrics", "/node", "/health"] {
            assert_eq!(clients.get(path).await?.0, 404, "{path}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bad_client_input_gets_the_protocols_code_and_ends_no_process() -> Result<()> {
    in_namespace("bad-input", async |namespace| {
        namespace
            .create_cluster("target", in_memory(&open_channels(&[])))
            .await?;
        namespace.wait_ready("target").await?;
        let before = namespace.edge_pods("target").await?;
        let forward = namespace
            .cluster
            .forward_service(&namespace.name, "target", CLIENT_PORT)
            .await?;
        bad_input::check(&forward.address, &namespace.token("target", "alice").await?).await?;
        ensure_untouched(&before, &namespace.edge_pods("target").await?)
    })
    .await
}
