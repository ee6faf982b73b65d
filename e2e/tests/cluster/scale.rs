//! The scale subresource: by hand and by a real autoscaler.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidewire_e2e::cluster::Forward;
use tidewire_e2e::namespace::{CLIENT_PORT, READY_TIME, TestNamespace, in_namespace};
use tidewire_e2e::sdk::{Sdk, SdkClient};
use tidewire_e2e::wait::{self, Seen};

use super::{open_channels, with_nats};

/// metrics-server looks every 10 seconds, the autoscaler every 5; the first figures of a pod take two looks.
const AUTOSCALER_TIME: Duration = Duration::from_secs(150);

/// What `manifests/hpa.yaml` names.
const NAME: &str = "quickstart";

/// Well below the target of `manifests/hpa.yaml`.
const IDLE_PERCENT_MAX: u32 = 40;

#[tokio::test]
async fn kubectl_scale_changes_the_number_of_edge_pods() -> Result<()> {
    in_namespace("scale", async |namespace| {
        namespace.apply_file("manifests/quickstart.yaml").await?;
        namespace.wait_ready(NAME).await?;
        let before = namespace.wait_edge_pods(NAME, 2, READY_TIME).await?;
        namespace
            .kubectl(&["scale", "rtc/quickstart", "--replicas=3"])
            .await?;
        let after = namespace.wait_edge_pods(NAME, 3, READY_TIME).await?;
        for pod in &before {
            ensure!(
                after
                    .iter()
                    .any(|other| other.metadata.uid == pod.metadata.uid),
                "scaling up replaced a pod"
            );
        }
        namespace.wait_ready(NAME).await?;
        let status = namespace.realtime_clusters().get_scale(NAME).await?.status;
        assert_eq!(status.map(|status| status.replicas), Some(3));
        namespace
            .kubectl(&["scale", "rtc/quickstart", "--replicas=1"])
            .await?;
        namespace
            .wait_edge_pods(NAME, 1, READY_TIME)
            .await
            .map(drop)
    })
    .await
}

#[tokio::test]
async fn an_autoscaler_on_cpu_changes_the_number_of_edge_pods() -> Result<()> {
    in_namespace("autoscaler", async |namespace| {
        let mut spec = with_nats(1, &open_channels(&["chat"]));
        // So little that a few clients are a load.
        let requests = json!({"cpu": "20m", "memory": "64Mi"});
        if let Value::Object(fields) = &mut spec {
            fields.insert(
                "pod".to_owned(),
                json!({"resources": {"requests": requests}}),
            );
        }
        namespace.create_cluster(NAME, spec).await?;
        namespace.wait_ready(NAME).await?;
        namespace.apply_file("manifests/hpa.yaml").await?;
        let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
        let sooner = json!({"spec": {"minReplicas": 1, "maxReplicas": 2, "behavior": behavior}});
        let patch = [
            "patch",
            "hpa/quickstart",
            "--type=merge",
            "-p",
            &sooner.to_string(),
        ];
        namespace.kubectl(&patch).await?;

        // What it sees later is then the load, not the start of the process.
        wait::until("a measured idle node", AUTOSCALER_TIME, async || {
            let path = "jsonpath={.status.currentReplicas} {.status.currentMetrics[0].resource.current.averageUtilization}";
            let measured = namespace.kubectl(&["get", "hpa/quickstart", "-o", path]).await?;
            let idle = measured.strip_prefix("1 ").and_then(|percent| percent.parse::<u32>().ok());
            Ok(Seen::when(idle.is_some_and(|percent| percent < IDLE_PERCENT_MAX), || measured.clone()))
        })
        .await?;
        let load = load(namespace).await?;
        namespace.wait_edge_pods(NAME, 2, AUTOSCALER_TIME).await?;
        drop(load);
        wait::until("spec.replicas 1", AUTOSCALER_TIME, async || {
            let scale = namespace.realtime_clusters().get_scale(NAME).await?;
            let replicas = scale.spec.and_then(|spec| spec.replicas);
            Ok(Seen::when(replicas == Some(1), || format!("{replicas:?}")))
        })
        .await?;
        namespace
            .wait_edge_pods(NAME, 1, READY_TIME)
            .await
            .map(drop)
    })
    .await
}

/// Clients that publish to each other until they are dropped.
async fn load(namespace: &TestNamespace) -> Result<(Vec<SdkClient>, Forward)> {
    const CHANNEL: &str = "chat:room";
    let forward = namespace
        .cluster
        .forward_service(&namespace.name, NAME, CLIENT_PORT)
        .await?;
    let token = namespace.token(NAME, "alice").await?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let sdk = Sdk::JavaScriptProtobuf;
        let mut client = SdkClient::subscribed(sdk, &forward.address, &token, &[CHANNEL]).await?;
        client
            .send(&json!({"op": "load", "channel": CHANNEL, "per_second": 150}))
            .await?;
        clients.push(client);
    }
    Ok((clients, forward))
}
