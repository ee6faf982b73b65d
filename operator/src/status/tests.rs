//! Conditions and figures, each from the smallest observation that decides it.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{findings::amount, *};
use crate::{
    apply::Conflict,
    conditions::{ConditionType, Verdict as Value3},
    fetch::Fetched,
    nodes::NodeBroker,
    test_support::{ScriptedApi, blue, cluster, planned, try_validated, validated},
};

/// A healthy cluster of two nodes; tests change one thing each.
struct Scene {
    cluster: ValidatedCluster,
    plan: Plan,
    deployment: Option<Deployment>,
    nats: Option<StatefulSet>,
    nodes: Vec<Node>,
    applied: Applied,
    missing: Vec<SecretKeyRef>,
    paused: bool,
}

fn deployment(ready: i32, updated: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "blue", "generation": 1},
        "spec": {"replicas": 2, "selector": {}, "template": {}, "strategy": {"rollingUpdate": {"maxUnavailable": 0}}},
        "status": {
            "observedGeneration": 1, "replicas": 2, "readyReplicas": ready, "availableReplicas": ready,
            "updatedReplicas": updated,
        },
    }))
    .unwrap()
}

fn nats(ready: i32) -> StatefulSet {
    serde_json::from_value(json!({
        "spec": {"replicas": 3, "serviceName": "blue-nats", "selector": {}, "template": {}},
        "status": {"replicas": 3, "readyReplicas": ready},
    }))
    .unwrap()
}

impl Scene {
    fn healthy() -> Self {
        let cluster = validated("{}");
        let report = NodeReport {
            version: "1.0.0".to_owned(),
            boot_hash: cluster.config.boot_hash.clone(),
            live_hash: cluster.config.live_hash.clone(),
            connections: 1234,
            draining: false,
            broker: NodeBroker {
                kind: "nats".to_owned(),
                connected: true,
                error: None,
            },
        };
        let node = |pod: &str| Node {
            pod: pod.to_owned(),
            ready: true,
            told: None,
            report: Ok(report.clone()),
        };
        Self {
            plan: planned(&cluster, &Fetched::default()),
            cluster,
            deployment: Some(deployment(2, 2)),
            nats: Some(nats(3)),
            nodes: vec![node("blue-a"), node("blue-b")],
            applied: Applied::default(),
            missing: Vec::new(),
            paused: false,
        }
    }

    fn report(&mut self, index: usize) -> &mut NodeReport {
        self.nodes[index].report.as_mut().unwrap()
    }

    fn observe<T>(&self, look: impl FnOnce(&Observation<'_>) -> T) -> T {
        look(&Observation {
            now: 100,
            verdict: Verdict::Planned {
                cluster: &self.cluster,
                plan: &self.plan,
            },
            replicas: self.cluster.replicas,
            paused: self.paused,
            deployment: self.deployment.as_ref(),
            nats: self.nats.as_ref(),
            nodes: &self.nodes,
            applied: &self.applied,
            missing: &self.missing,
        })
    }

    fn verdict(&self, kind: ConditionType) -> (Value3, &'static str) {
        let findings = self.observe(|o| o.findings());
        let finding = findings
            .iter()
            .find(|finding| finding.kind == kind)
            .unwrap();
        (finding.verdict, finding.reason)
    }

    /// Asserts one condition and that the summary takes its reason from it.
    fn assert_decides(&self, kind: ConditionType, verdict: Value3, reason: &'static str) {
        assert_eq!(self.verdict(kind), (verdict, reason));
        let summary = if verdict == Value3::Unknown {
            Value3::Unknown
        } else {
            Value3::False
        };
        assert_eq!(self.verdict(ConditionType::Ready), (summary, reason));
    }
}

#[test]
fn a_healthy_cluster_has_every_condition_at_its_good_value() {
    let scene = Scene::healthy();
    let findings = scene.observe(|o| o.findings());
    let kinds: Vec<ConditionType> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, ConditionType::ALL);
    for finding in findings {
        assert!(finding.is_good(), "{finding:?}");
    }
}

#[test]
fn a_refused_spec_shows_the_field_and_leaves_the_rest_as_observed() {
    let scene = Scene::healthy();
    let invalid = try_validated("config: {client: {ping_interval: 1s}}").unwrap_err();
    let findings = Observation {
        now: 100,
        verdict: Verdict::Refused(&invalid),
        replicas: 2,
        paused: false,
        deployment: scene.deployment.as_ref(),
        nats: scene.nats.as_ref(),
        nodes: &scene.nodes,
        applied: &scene.applied,
        missing: &[],
    }
    .findings();
    let find = |kind| {
        findings
            .iter()
            .find(|finding| finding.kind == kind)
            .unwrap()
    };
    let valid = find(ConditionType::ConfigValid);
    assert_eq!(valid.verdict, Value3::False);
    assert!(
        valid
            .message
            .starts_with("spec.config.client.ping_interval: "),
        "{}",
        valid.message
    );
    assert_eq!(find(ConditionType::Available).verdict, Value3::True);
    assert_eq!(find(ConditionType::BrokerReady).verdict, Value3::True);
    assert_eq!(find(ConditionType::Ready).reason, "Invalid");
}

#[test]
fn missing_keys_and_foreign_objects_are_named() {
    let mut scene = Scene::healthy();
    scene.missing = vec![SecretKeyRef {
        name: "keys".to_owned(),
        key: "api".to_owned(),
    }];
    scene.assert_decides(ConditionType::KeysReady, Value3::False, "SecretMissing");
    let mut scene = Scene::healthy();
    scene.applied.conflicts = vec![Conflict {
        object: "Service/blue".to_owned(),
        owner: "Other/green".to_owned(),
    }];
    scene.assert_decides(ConditionType::ResourceConflict, Value3::True, "NotOurs");
}

#[test]
fn the_broker_is_ready_with_quorum_and_every_node_connected() {
    let mut scene = Scene::healthy();
    scene.nats = Some(nats(1));
    scene.assert_decides(ConditionType::BrokerReady, Value3::False, "NatsNotReady");

    let mut scene = Scene::healthy();
    scene.report(1).broker = NodeBroker {
        kind: "nats".to_owned(),
        connected: false,
        error: Some("refused".to_owned()),
    };
    scene.assert_decides(ConditionType::BrokerReady, Value3::False, "Unreachable");

    let mut scene = Scene::healthy();
    scene.nodes[0].report = Err("no answer".to_owned());
    scene.assert_decides(
        ConditionType::BrokerReady,
        Value3::Unknown,
        "NodeUnreachable",
    );

    let mut scene = Scene::healthy();
    scene.nats = Some(nats(2));
    assert_eq!(scene.verdict(ConditionType::BrokerReady).0, Value3::True);
    assert_eq!(
        scene.verdict(ConditionType::Degraded),
        (Value3::True, "NatsServersMissing")
    );
    assert_eq!(scene.verdict(ConditionType::Ready).0, Value3::True);
}

#[test]
fn a_node_that_is_still_connecting_counts_only_while_none_serves() {
    let mut scene = Scene::healthy();
    scene.report(0).broker.connected = false;
    scene.nodes[0].ready = false;
    assert_eq!(scene.verdict(ConditionType::BrokerReady).0, Value3::True);
    scene.nodes[1].ready = false;
    assert_eq!(
        scene.verdict(ConditionType::BrokerReady),
        (Value3::False, "Unreachable")
    );
}

#[test]
fn too_few_nodes_are_not_available() {
    let mut scene = Scene::healthy();
    scene.deployment = Some(deployment(1, 2));
    scene.assert_decides(ConditionType::Available, Value3::False, "NodesUnavailable");
    scene.deployment = None;
    scene.assert_decides(ConditionType::Available, Value3::False, "NodesUnavailable");
}

#[test]
fn a_percentage_of_missing_nodes_is_rounded_down_and_one_node_must_serve() {
    assert_eq!(amount(&IntOrString::String("25%".to_owned()), 7), 1);
    assert_eq!(amount(&IntOrString::Int(3), 7), 3);
    let mut scene = Scene::healthy();
    let mut none = deployment(0, 2);
    none.spec.as_mut().unwrap().strategy =
        serde_json::from_value(json!({"rollingUpdate": {"maxUnavailable": "100%"}})).unwrap();
    scene.deployment = Some(none);
    assert_eq!(scene.verdict(ConditionType::Available).0, Value3::False);
}

#[test]
fn nodes_with_other_options_are_counted_by_what_they_wait_for() {
    let mut scene = Scene::healthy();
    scene.report(0).live_hash = "old".to_owned();
    scene.assert_decides(ConditionType::ConfigApplied, Value3::False, "Reloading");
    assert_eq!(scene.observe(|o| o.pending(&scene.cluster)), Pending::Live);
    scene.report(1).boot_hash = "old".to_owned();
    scene.assert_decides(ConditionType::ConfigApplied, Value3::False, "RollPending");
    assert_eq!(scene.observe(|o| o.pending(&scene.cluster)), Pending::Boot);
}

#[test]
fn namespaces_whose_history_is_not_kept_are_named() {
    let mut scene = Scene::healthy();
    scene.cluster.without_history = vec!["chat".to_owned()];
    assert_eq!(
        scene.verdict(ConditionType::Degraded),
        (Value3::True, "HistoryUnavailable")
    );
}

#[test]
fn a_node_that_does_not_load_live_options_is_named_after_a_minute() {
    let mut scene = Scene::healthy();
    scene.report(1).live_hash = "old".to_owned();
    let wanted = scene.cluster.config.live_hash.clone();
    scene.nodes[1].told = Some(format!("{wanted}.41.99"));
    scene.assert_decides(ConditionType::ConfigApplied, Value3::False, "Reloading");
    assert_eq!(scene.verdict(ConditionType::Degraded).0, Value3::False);
    scene.nodes[1].told = Some(format!("{wanted}.40.99"));
    scene.assert_decides(ConditionType::ConfigApplied, Value3::False, "ReloadOverdue");
    assert_eq!(
        scene.verdict(ConditionType::Degraded),
        (Value3::True, "ReloadOverdue")
    );
    let findings = scene.observe(|o| o.findings());
    let applied = findings
        .iter()
        .find(|finding| finding.kind == ConditionType::ConfigApplied)
        .unwrap();
    assert_eq!(
        applied.message,
        "1 of 2 nodes run the wanted configuration; \
         not loaded 60 s after the change, reminded every 60 s: blue-b"
    );
}

#[test]
fn a_node_that_is_starting_is_pending_and_not_unknown() {
    let mut scene = Scene::healthy();
    scene.nodes[0].ready = false;
    scene.nodes[0].report = Err("no connection".to_owned());
    assert_eq!(
        scene.verdict(ConditionType::ConfigApplied),
        (Value3::False, "RollPending")
    );
    assert_eq!(scene.verdict(ConditionType::BrokerReady).0, Value3::True);
}

#[test]
fn pausing_freezing_and_rolling_show_in_progressing() {
    let mut scene = Scene::healthy();
    scene.paused = true;
    scene.assert_decides(ConditionType::Progressing, Value3::False, "Paused");

    let mut scene = Scene::healthy();
    scene.plan.frozen = Some(crate::rollout::Frozen::BrokerDown);
    scene.assert_decides(
        ConditionType::Progressing,
        Value3::False,
        "FrozenBrokerDown",
    );

    let mut scene = Scene::healthy();
    scene.deployment = Some(deployment(2, 1));
    assert_eq!(
        scene.verdict(ConditionType::Progressing),
        (Value3::True, "Rolling")
    );
    assert_eq!(
        scene.verdict(ConditionType::Ready),
        (Value3::False, "RollPending")
    );
}

#[test]
fn a_rollback_is_degraded_and_keeps_the_cluster_from_being_ready() {
    let mut scene = Scene::healthy();
    scene.plan.rollback = Some(crate::api::status::RollbackStatus::default());
    scene.assert_decides(
        ConditionType::Progressing,
        Value3::False,
        "ProgressDeadlineExceeded",
    );
    assert_eq!(
        scene.verdict(ConditionType::Degraded),
        (Value3::True, "RolledBack")
    );
    assert_eq!(scene.verdict(ConditionType::Available).0, Value3::True);
}

#[test]
fn different_versions_are_degraded_only_when_no_roll_is_moving() {
    let mut scene = Scene::healthy();
    scene.report(0).version = "0.9.0".to_owned();
    assert_eq!(
        scene.verdict(ConditionType::Degraded),
        (Value3::True, "MixedVersions")
    );
    scene.deployment = Some(deployment(2, 1));
    assert_eq!(scene.verdict(ConditionType::Degraded).0, Value3::False);
}

#[test]
fn a_cluster_scaled_to_zero_is_ready() {
    let mut scene = Scene::healthy();
    scene.cluster.replicas = 0;
    scene.nodes.clear();
    scene.deployment = serde_json::from_value(json!({
        "metadata": {"generation": 1}, "spec": {"replicas": 0, "selector": {}, "template": {}},
        "status": {"observedGeneration": 1},
    }))
    .unwrap();
    assert_eq!(scene.verdict(ConditionType::Ready), (Value3::True, "Ready"));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn the_status_carries_what_columns_scale_and_people_read() {
    let scene = Scene::healthy();
    let status = scene.observe(|o| o.status(&cluster("{}"), &blue(), at(100)));
    assert_eq!(status.observed_generation, Some(4));
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    assert_eq!(status.ready.as_deref(), Some("2/2"));
    assert_eq!(
        status.selector.as_deref(),
        Some("app.kubernetes.io/instance=blue,app.kubernetes.io/name=tidewire-edge")
    );
    assert_eq!(status.version.as_deref(), Some("1.0.0"));
    assert_eq!(status.broker.unwrap().summary, "nats 3/3");
    assert_eq!(
        status.endpoints.unwrap().api,
        "http://blue-api.team.svc:9000/api"
    );
    let connections = status.connections.unwrap();
    assert_eq!((connections.total, connections.max_per_node), (2500, 1200));
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(4))
    );
}

#[test]
fn connections_are_renewed_after_half_a_minute_and_only_when_they_differ() {
    let mut scene = Scene::healthy();
    let mut object = cluster("{}");
    object.status = Some(scene.observe(|o| o.status(&object, &blue(), at(100))));
    scene.report(0).connections = 9000;
    let early = scene.observe(|o| o.status(&object, &blue(), at(129)));
    assert_eq!(early.connections.unwrap().total, 2500);
    let late = scene.observe(|o| o.status(&object, &blue(), at(130)));
    assert_eq!(late.connections.unwrap().total, 10_000);
    scene.report(0).connections = 1234;
    let quiet = scene.observe(|o| o.status(&object, &blue(), at(500)));
    assert_eq!(quiet.connections, object.status.unwrap().connections);
}

#[test]
fn counts_keep_two_significant_digits() {
    for (count, shown) in [
        (0, 0),
        (7, 7),
        (99, 99),
        (104, 100),
        (105, 110),
        (12_345, 12_000),
        (99_999, 100_000),
    ] {
        assert_eq!(rounded(count), shown);
    }
}

#[tokio::test]
async fn an_unchanged_status_is_not_written() {
    let scene = Scene::healthy();
    let api = ScriptedApi::default();
    let mut object = cluster("{}");
    let status = scene.observe(|o| o.status(&object, &blue(), at(100)));
    write(&api.client(), &blue(), &object, &status)
        .await
        .unwrap();
    let path = "/apis/realtime.tidewire.dev/v1alpha1/namespaces/team/realtimeclusters/blue";
    assert_eq!(api.writes(), [format!("PATCH {path}/status")]);
    assert_eq!(
        api.get(path)
            .and_then(|object: Value| object.pointer("/status/ready").cloned()),
        Some(json!("2/2"))
    );
    api.forget_requests();
    object.status = Some(status.clone());
    write(&api.client(), &blue(), &object, &status)
        .await
        .unwrap();
    assert_eq!(api.writes(), [""; 0]);
}

#[tokio::test]
async fn a_status_that_cannot_be_written_is_an_error_of_its_own() {
    let api = ScriptedApi::default();
    api.fail(
        "PATCH /apis/realtime.tidewire.dev/v1alpha1/namespaces/team/realtimeclusters/blue/status",
        429,
    );
    let status = RealtimeClusterStatus {
        ready: Some("1/2".to_owned()),
        ..RealtimeClusterStatus::default()
    };
    let error = write(&api.client(), &blue(), &cluster("{}"), &status)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "StatusFailed");
}
