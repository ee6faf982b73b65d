//! Whole looks against a scripted API server.

use serde_json::{Value, json};

use super::*;
use crate::{
    metrics::Metrics,
    nodes::{NodeBroker, NodeReport},
    test_support::{ScriptedApi, cluster, images, planned, validated},
};

const CLUSTER: &str = "/apis/realtime.tidewire.dev/v1alpha1/namespaces/team/realtimeclusters/blue";
const EDGE: &str = "/apis/apps/v1/namespaces/team/deployments/blue";
const NATS: &str = "/apis/apps/v1/namespaces/team/statefulsets/blue-nats";

async fn look(api: &ScriptedApi, spec: &str) -> Result<Action, Error> {
    let metrics = Arc::new(Metrics::new().unwrap());
    let ctx = Arc::new(Context::new(
        api.client(),
        images(),
        metrics,
        Some("test".to_owned()),
    ));
    let mut object = cluster(spec);
    object.status = api
        .get(CLUSTER)
        .and_then(|stored| serde_json::from_value(stored["status"].clone()).ok());
    Box::pin(reconcile(Arc::new(object), ctx)).await
}

fn condition(api: &ScriptedApi, kind: &str) -> (String, String, String) {
    let status = api.get(CLUSTER).unwrap()["status"].clone();
    let conditions = status["conditions"].as_array().unwrap().clone();
    let found = conditions
        .into_iter()
        .find(|condition| condition["type"] == kind)
        .unwrap();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

fn events(api: &ScriptedApi) -> usize {
    api.writes()
        .iter()
        .filter(|write| write.contains("/events"))
        .count()
}

#[tokio::test]
async fn the_first_look_creates_every_child_and_says_what_is_missing() {
    let api = ScriptedApi::default();
    look(&api, "{}").await.unwrap();
    let paths = api.paths();
    for child in [
        "configmaps/blue-live",
        "configmaps/blue-nats",
        "secrets/blue-admin",
        "secrets/blue-api-key",
        "secrets/blue-node-status",
        "secrets/blue-token",
        "serviceaccounts/blue",
        "serviceaccounts/blue-nats",
        "services/blue",
        "services/blue-api",
        "services/blue-nats",
        "deployments/blue",
        "statefulsets/blue-nats",
        "poddisruptionbudgets/blue",
        "poddisruptionbudgets/blue-nats",
    ] {
        assert!(
            paths
                .iter()
                .any(|path| path.ends_with(&format!("/{child}"))),
            "{child} not in {paths:?}"
        );
    }
    assert_eq!(
        paths
            .iter()
            .filter(|path| path.contains("/blue-boot-"))
            .count(),
        1
    );
    assert_eq!(condition(&api, "ConfigValid").0, "True");
    assert_eq!(condition(&api, "Ready").1, "NatsNotReady");
}

#[tokio::test]
async fn a_second_look_changes_no_key_and_deletes_nothing() {
    let api = ScriptedApi::default();
    look(&api, "{}").await.unwrap();
    let token = api.get("/api/v1/namespaces/team/secrets/blue-token");
    let paths = api.paths();
    api.forget_requests();
    look(&api, "{}").await.unwrap();
    assert_eq!(api.get("/api/v1/namespaces/team/secrets/blue-token"), token);
    assert_eq!(api.paths(), paths);
    assert!(
        !api.writes().iter().any(|write| write.contains("/secrets/")),
        "{:?}",
        api.writes()
    );
}

#[tokio::test]
async fn a_deleted_child_comes_back() {
    let api = ScriptedApi::default();
    look(&api, "{}").await.unwrap();
    for path in [EDGE, NATS, "/api/v1/namespaces/team/services/blue-api"] {
        let before = api.get(path);
        api.remove(path);
        look(&api, "{}").await.unwrap();
        assert_eq!(api.get(path), before, "{path}");
    }
}

#[tokio::test]
async fn a_spec_that_the_edge_would_refuse_touches_no_child_and_says_why_once() {
    let api = ScriptedApi::default();
    look(&api, "{}").await.unwrap();
    let deployment = api.get(EDGE);
    api.forget_requests();
    let bad = "config: {client: {ping_interval: 1s}}";
    look(&api, bad).await.unwrap();
    let written: Vec<String> = api
        .writes()
        .into_iter()
        .filter(|write| !write.contains("/events"))
        .collect();
    assert_eq!(written, [format!("PATCH {CLUSTER}/status")]);
    assert_eq!(api.get(EDGE), deployment);
    let (status, _, message) = condition(&api, "ConfigValid");
    assert_eq!(status, "False");
    assert!(
        message.starts_with("spec.config.client.ping_interval"),
        "{message}"
    );
    assert_eq!(events(&api), 1);
    look(&api, bad).await.unwrap();
    assert_eq!(events(&api), 1, "the same fault is not announced again");
}

#[tokio::test]
async fn a_paused_cluster_gets_a_status_and_nothing_else() {
    let api = ScriptedApi::default();
    look(&api, "operation: {paused: true}").await.unwrap();
    assert_eq!(api.writes(), [format!("PATCH {CLUSTER}/status")]);
    assert_eq!(condition(&api, "Progressing").1, "Paused");
}

#[tokio::test]
async fn nodes_wait_for_a_referenced_secret_and_start_when_it_is_there() {
    let api = ScriptedApi::default();
    let spec = "auth: {apiKey: {secretRef: {name: keys, key: api}}}";
    look(&api, spec).await.unwrap();
    assert!(api.get(EDGE).is_none());
    assert_eq!(condition(&api, "KeysReady").1, "SecretMissing");
    assert_eq!(condition(&api, "Progressing").1, "FrozenSecretMissing");
    api.put(
        "/api/v1/namespaces/team/secrets/keys",
        json!({"metadata": {"name": "keys"}, "data": {"api": "aw=="}}),
    );
    look(&api, spec).await.unwrap();
    assert!(api.get(EDGE).is_some());
    assert_eq!(condition(&api, "KeysReady").0, "True");
    assert!(
        api.get("/api/v1/namespaces/team/secrets/blue-api-key")
            .is_none()
    );
}

#[tokio::test]
async fn a_complete_key_of_somebody_else_is_a_conflict_and_never_mounted() {
    let foreign = |name: &str, labels: Value| {
        json!({"metadata": {"name": name, "labels": labels}, "data": {
            "hmac_secret_key": "Zm9yZWlnbg==", "key": "Zm9yZWlnbg==", "password": "Zm9yZWlnbg==",
            "secret": "Zm9yZWlnbg==", "token": "Zm9yZWlnbg==",
        }})
    };
    for (name, labels) in [
        ("blue-token", json!({})),
        (
            "blue-api-key",
            json!({"realtime.tidewire.dev/cluster": "green"}),
        ),
        ("blue-admin", json!({})),
        // Never retained, so nothing but the owner makes it ours.
        (
            "blue-node-status",
            json!({"realtime.tidewire.dev/cluster": "blue"}),
        ),
    ] {
        let api = ScriptedApi::default();
        let path = format!("/api/v1/namespaces/team/secrets/{name}");
        api.put(&path, foreign(name, labels.clone()));
        look(&api, "{}").await.unwrap();
        let (status, _, message) = condition(&api, "ResourceConflict");
        assert_eq!(status, "True", "{name}");
        assert!(message.contains(&format!("Secret/{name} ")), "{message}");
        assert_eq!(api.get(&path), Some(foreign(name, labels)), "{name}");
        assert!(api.get(EDGE).is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_reference_to_a_secret_with_a_generated_name_is_the_users_own() {
    let api = ScriptedApi::default();
    let path = "/api/v1/namespaces/team/secrets/blue-token";
    let own = json!({"metadata": {"name": "blue-token"}, "data": {"hmac": "b3du"}});
    api.put(path, own.clone());
    let spec = "auth: {token: {hmac: {secretRef: {name: blue-token, key: hmac}}}}";
    look(&api, spec).await.unwrap();
    assert_eq!(condition(&api, "ResourceConflict").0, "False");
    assert_eq!(api.get(path), Some(own));
    assert!(api.get(EDGE).is_some());
}

#[tokio::test]
async fn a_cluster_that_is_being_deleted_is_left_to_kubernetes() {
    let api = ScriptedApi::default();
    let metrics = Arc::new(Metrics::new().unwrap());
    let ctx = Arc::new(Context::new(api.client(), images(), metrics, None));
    let mut object = cluster("{}");
    object.metadata.deletion_timestamp = Some(
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::from_second(1).unwrap()),
    );
    assert_eq!(
        Box::pin(reconcile(Arc::new(object), ctx)).await.unwrap(),
        Action::await_change()
    );
    assert_eq!(api.paths(), [""; 0]);
}

#[tokio::test]
async fn scaling_changes_only_the_number_of_nodes() {
    let api = ScriptedApi::default();
    look(&api, "{}").await.unwrap();
    let template = |api: &ScriptedApi| {
        api.get(EDGE)
            .and_then(|object: Value| object.pointer("/spec/template").cloned())
    };
    let before = template(&api);
    look(&api, "replicas: 5").await.unwrap();
    assert_eq!(api.get(EDGE).unwrap()["spec"]["replicas"], 5);
    assert_eq!(template(&api), before);
}

#[tokio::test]
async fn live_options_change_no_pod_template_and_boot_options_do() {
    let api = ScriptedApi::default();
    look(&api, "{}").await.unwrap();
    let template = |api: &ScriptedApi| api.get(EDGE).unwrap().pointer("/spec/template").cloned();
    let before = template(&api);
    look(&api, "config: {channel: {namespaces: [{name: chat}]}}")
        .await
        .unwrap();
    assert_eq!(template(&api), before);
    let live = api
        .get("/api/v1/namespaces/team/configmaps/blue-live")
        .unwrap();
    assert!(
        live["data"]["20-live.json"]
            .as_str()
            .unwrap()
            .contains("chat")
    );
    // The broker has to be up for a roll.
    api.put(NATS, {
        let mut nats = api.get(NATS).unwrap();
        nats["status"] = json!({"replicas": 3, "readyReplicas": 3});
        nats
    });
    look(&api, "config: {client: {ping_interval: 30s}}")
        .await
        .unwrap();
    assert_ne!(template(&api), before);
}

#[tokio::test]
async fn failures_end_the_look_with_the_step_that_failed() {
    let api = ScriptedApi::default();
    api.fail(&format!("GET {EDGE}"), 500);
    assert_eq!(look(&api, "{}").await.unwrap_err().reason(), "FetchFailed");
    let api = ScriptedApi::default();
    api.fail(&format!("PATCH {EDGE}"), 429);
    assert_eq!(look(&api, "{}").await.unwrap_err().reason(), "ApplyFailed");
    let api = ScriptedApi::default();
    api.fail(&format!("PATCH {CLUSTER}/status"), 409);
    assert!(look(&api, "{}").await.unwrap_err().is_conflict());
}

#[test]
fn looks_are_rare_once_only_nodes_are_awaited_that_reminders_do_not_move() {
    let cluster = validated("{}");
    let plan = planned(&cluster, &Fetched::default());
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"generation": 1},
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": {
            "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 2,
        },
    }))
    .unwrap();
    let nats: StatefulSet = serde_json::from_value(json!({
        "spec": {"replicas": 3, "serviceName": "blue-nats", "selector": {}, "template": {}},
        "status": {"replicas": 3, "readyReplicas": 3},
    }))
    .unwrap();
    let node = |pod: &str, live: &str, told: Option<String>| Node {
        pod: pod.to_owned(),
        ready: true,
        told,
        report: Ok(NodeReport {
            boot_hash: cluster.config.boot_hash.clone(),
            live_hash: live.to_owned(),
            broker: NodeBroker {
                connected: true,
                ..NodeBroker::default()
            },
            ..NodeReport::default()
        }),
    };
    let wanted = cluster.config.live_hash.as_str();
    let told = |first: i64| Some(format!("{wanted}.{first}.{first}"));
    let seconds = |a: Node, b: Node| {
        let observation = Observation {
            now: 100,
            verdict: Verdict::Planned {
                cluster: &cluster,
                plan: &plan,
            },
            replicas: 2,
            paused: false,
            deployment: Some(&deployment),
            nats: Some(&nats),
            nodes: &[a, b],
            applied: &Applied::default(),
            missing: &[],
        };
        next_look(&observation, &observation.findings()).as_secs()
    };
    assert!(seconds(node("a", wanted, None), node("b", wanted, None)) >= 60);
    assert_eq!(
        seconds(node("a", wanted, None), node("b", "old", told(50))),
        1
    );
    assert!(seconds(node("a", wanted, None), node("b", "old", told(40))) >= 60);
    assert_eq!(
        seconds(node("a", "old", told(50)), node("b", "old", told(40))),
        1,
        "one node has still time"
    );
}
