//! The scale subresource: by hand and by a real autoscaler.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidewire_e2e::namespace::{CLIENT_PORT, READY_TIME, in_namespace};
use tidewire_e2e::sdk::{Sdk, SdkClient};
use tidewire_e2e::wait::{self, Seen};

use super::{open_channels, with_nats};

/// metrics-server looks every 10 seconds, the autoscaler every 5; the first figures of a pod take two looks.
const AUTOSCALER_TIME: Duration = Duration::from_secs(150);

#[tokio::test]
async fn kubectl_scale_changes_the_number_of_edge_pods() -> Result<()> {
    in_namespace("scale", async |namespace| {
        namespace.apply_file("manifests/quickstart.yaml").await?;
        namespace.wait_ready("quickstart").await?;
        let before = namespace
            .wait_edge_pods("quickstart", 2, READY_TIME)
            .await?;
        namespace
            .kubectl(&["scale", "rtc/quickstart", "--replicas=3"])
            .await?;
        let after = namespace
            .wait_edge_pods("quickstart", 3, READY_TIME)
            .await?;
        for pod in &before {
            ensure!(
                after
                    .iter()
                    .any(|other| other.metadata.uid == pod.metadata.uid),
                "scaling up replaced a pod"
            );
        }
        namespace.wait_ready("quickstart").await?;
        let status = namespace
            .realtime_clusters()
            .get_scale("quickstart")
            .await?
            .status;
        assert_eq!(status.map(|status| status.replicas), Some(3));
        namespace
            .kubectl(&["scale", "rtc/quickstart", "--replicas=1"])
            .await?;
        namespace
            .wait_edge_pods("quickstart", 1, READY_TIME)
            .await
            .map(drop)
    })
    .await
}

#[tokio::test]
async fn an_autoscaler_on_cpu_changes_the_number_of_edge_pods() -> Result<()> {
    in_namespace("autoscaler", async |namespace| {
        let mut spec = with_nats(1, &open_channels(&["chat"]));
        if let Value::Object(fields) = &mut spec {
            fields.insert(
                "pod".to_owned(),
                json!({"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}}),
            );
        }
        namespace.create_cluster("chat", spec).await?;
        namespace.wait_ready("chat").await?;
        namespace
            .kubectl(&["autoscale", "rtc/chat", "--min=1", "--max=2", "--cpu=50%"])
            .await?;
        let quickly =
            json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}})
                .to_string();
        namespace
            .kubectl(&["patch", "hpa/chat", "--type=merge", "-p", &quickly])
            .await?;

        let forward = namespace
            .cluster
            .forward_service(&namespace.name, "chat", CLIENT_PORT)
            .await?;
        let token = namespace.token("chat", "alice").await?;
        let mut load = Vec::new();
        for _ in 0..3 {
            let mut client = SdkClient::subscribed(
                Sdk::JavaScriptProtobuf,
                &forward.address,
                &token,
                &["chat:room"],
            )
            .await?;
            client
                .send(&json!({"op": "load", "channel": "chat:room", "per_second": 150}))
                .await?;
            load.push(client);
        }
        namespace.wait_edge_pods("chat", 2, AUTOSCALER_TIME).await?;
        drop(load);
        wait::until("spec.replicas 1", AUTOSCALER_TIME, async || {
            let replicas = namespace
                .realtime_clusters()
                .get_scale("chat")
                .await?
                .spec
                .and_then(|spec| spec.replicas);
            Ok(Seen::when(replicas == Some(1), || format!("{replicas:?}")))
        })
        .await?;
        namespace
            .wait_edge_pods("chat", 1, READY_TIME)
            .await
            .map(drop)
    })
    .await
}
