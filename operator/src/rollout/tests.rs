//! What nodes run next, decided from a Deployment, its ReplicaSets and the ConfigMaps.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::test_support::{planned, validated};

const OLD: &str = "{}";
const NEW: &str = "config: {client: {ping_interval: 30s}}";

/// A Deployment at generation 3 that runs the revision of a spec.
fn deployment(spec: &str, failed: bool) -> Deployment {
    let (reason, status) = if failed {
        ("ProgressDeadlineExceeded", "False")
    } else {
        ("NewReplicaSetAvailable", "True")
    };
    serde_json::from_value(json!({
        "metadata": {"name": "blue", "generation": 3},
        "spec": {"replicas": 2, "selector": {}, "template": template(spec)},
        "status": {"observedGeneration": 3, "conditions": [{"type": "Progressing", "status": status, "reason": reason}]},
    }))
    .unwrap()
}

fn template(spec: &str) -> Value {
    let revision = serde_json::to_string(&Revision::wanted(&validated(spec))).unwrap();
    json!({"metadata": {"annotations": {REVISION_ANNOTATION: revision}}, "spec": {"containers": []}})
}

fn replica_set(spec: &str, sequence: u32, ready: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": format!("blue-{sequence}"), "annotations": {"deployment.kubernetes.io/revision": sequence.to_string()}},
        "spec": {"replicas": 2, "selector": {}, "template": template(spec)},
        "status": {"replicas": 2, "readyReplicas": ready},
    }))
    .unwrap()
}

fn nats(ready: i32) -> StatefulSet {
    serde_json::from_value(json!({
        "spec": {"serviceName": "blue-nats", "selector": {}, "template": {}},
        "status": {"replicas": 3, "readyReplicas": ready},
    }))
    .unwrap()
}

fn boots(specs: &[&str]) -> BTreeMap<String, Value> {
    specs
        .iter()
        .map(|spec| validated(spec).config)
        .map(|config| (config.boot_hash, config.boot))
        .collect()
}

/// Nodes of the old spec that serve, nodes of the new one that do not get ready.
fn failed_roll() -> Fetched {
    Fetched {
        deployment: Some(deployment(NEW, true)),
        replica_sets: vec![replica_set(OLD, 1, 2), replica_set(NEW, 2, 0)],
        boots: boots(&[OLD, NEW]),
        nats: Some(nats(3)),
        ..Fetched::default()
    }
}

#[test]
fn a_new_cluster_runs_what_the_spec_asks_for() {
    let new = validated(NEW);
    let plan = planned(&new, &Fetched::default());
    assert_eq!(plan.revision, Some(Revision::wanted(&new)));
    assert_eq!((plan.replicas, plan.frozen, plan.rollback), (2, None, None));
    assert_eq!(plan.live, new.config.live);
}

#[test]
fn a_roll_that_does_not_get_ready_is_taken_back_and_remembered() {
    let new = validated(NEW);
    let plan = planned(&new, &failed_roll());
    assert_eq!(plan.revision, Some(Revision::wanted(&validated(OLD))));
    let rollback = plan.rollback.clone().unwrap();
    assert_eq!(rollback.boot_hash, new.config.boot_hash);
    assert!(plan.rolls_back(None));
    assert!(!plan.rolls_back(Some(&rollback)));
}

#[test]
fn a_revision_that_was_taken_back_is_not_tried_again_until_the_spec_changes() {
    let new = validated(NEW);
    let rollback = planned(&new, &failed_roll()).rollback.unwrap();
    let after = Fetched {
        deployment: Some(deployment(OLD, false)),
        ..failed_roll()
    };
    let stays = plan(&new, &after, false, Some(&rollback)).unwrap();
    assert_eq!(stays.revision, Some(Revision::wanted(&validated(OLD))));
    assert_eq!(stays.rollback, Some(rollback.clone()));

    // The same nodes asked for by another spec are another try.
    let retried =
        validated("{config: {client: {ping_interval: 30s}}, rollout: {minReadySeconds: 5}}");
    let again = plan(&retried, &after, false, Some(&rollback)).unwrap();
    assert_eq!(again.revision, Some(Revision::wanted(&new)));
    assert_eq!(again.rollback, None);

    let given_up = plan(&validated(OLD), &after, false, Some(&rollback)).unwrap();
    assert_eq!(given_up.rollback, None);
}

#[test]
fn nothing_is_taken_back_where_that_is_switched_off_or_nothing_earlier_runs() {
    let off = validated("{config: {client: {ping_interval: 30s}}, rollout: {autoRollback: false}}");
    let plan = planned(&off, &failed_roll());
    assert_eq!(
        (plan.revision, plan.rollback),
        (Some(Revision::wanted(&off)), None)
    );

    let first = Fetched {
        replica_sets: vec![replica_set(NEW, 1, 0)],
        ..failed_roll()
    };
    let new = validated(NEW);
    assert_eq!(planned(&new, &first).rollback, None);

    // The previous boot options are gone, so its nodes could not start.
    let lost = Fetched {
        boots: boots(&[NEW]),
        ..failed_roll()
    };
    assert_eq!(planned(&new, &lost).rollback, None);
}

#[test]
fn a_deadline_of_an_older_generation_does_not_count() {
    let mut stale = failed_roll();
    stale.deployment.as_mut().unwrap().metadata.generation = Some(4);
    assert_eq!(planned(&validated(NEW), &stale).rollback, None);
}

#[test]
fn the_newest_serving_revision_comes_back() {
    let mut fetched = failed_roll();
    let middle = "config: {client: {ping_interval: 40s}}";
    fetched.replica_sets.push(replica_set(middle, 9, 1));
    fetched.boots.extend(boots(&[middle]));
    assert_eq!(
        planned(&validated(NEW), &fetched).revision,
        Some(Revision::wanted(&validated(middle)))
    );
}

#[test]
fn a_missing_secret_freezes_new_nodes_and_scaling_up_but_not_down() {
    let running = Fetched {
        deployment: Some(deployment(OLD, false)),
        nats: Some(nats(3)),
        ..Fetched::default()
    };
    let more = validated("{replicas: 5, config: {client: {ping_interval: 30s}}}");
    let frozen = plan(&more, &running, true, None).unwrap();
    assert_eq!(frozen.frozen, Some(Frozen::SecretMissing));
    assert_eq!(
        (frozen.revision, frozen.replicas),
        (Some(Revision::wanted(&validated(OLD))), 2)
    );
    let fewer = plan(&validated("replicas: 1"), &running, true, None).unwrap();
    assert_eq!(fewer.replicas, 1);
    let first = plan(&more, &Fetched::default(), true, None).unwrap();
    assert_eq!(first.revision, None);
}

#[test]
fn a_broker_without_quorum_freezes_new_nodes_but_not_their_number() {
    let down = Fetched {
        deployment: Some(deployment(OLD, false)),
        nats: Some(nats(1)),
        ..Fetched::default()
    };
    let new = validated("{replicas: 5, config: {client: {ping_interval: 30s}}}");
    let frozen = planned(&new, &down);
    assert_eq!(frozen.frozen, Some(Frozen::BrokerDown));
    assert_eq!(
        (frozen.revision, frozen.replicas),
        (Some(Revision::wanted(&validated(OLD))), 5)
    );
    let up = Fetched {
        nats: Some(nats(2)),
        ..down
    };
    assert_eq!(planned(&new, &up).revision, Some(Revision::wanted(&new)));
}

#[test]
fn a_broker_without_quorum_does_not_freeze_what_does_not_change() {
    let down = Fetched {
        deployment: Some(deployment(OLD, false)),
        nats: Some(nats(0)),
        ..Fetched::default()
    };
    assert_eq!(planned(&validated(OLD), &down).frozen, None);
}

#[test]
fn new_live_options_are_written_at_once_where_every_running_node_accepts_them() {
    let fetched = Fetched {
        live: Some(json!({"channel": {"namespaces": [{"name": "news"}]}})),
        ..failed_roll()
    };
    let new = validated("config: {channel: {namespaces: [{name: chat}]}}");
    let plan = planned(&new, &fetched);
    assert_eq!((plan.live, plan.live_held), (new.config.live, None));
}

#[test]
fn new_live_options_wait_while_nodes_run_that_would_refuse_them() {
    // No pair of options in the edge's rules spans both classes in every release, so the old boot options are ones
    // that no edge accepts beside anything.
    let mut fetched = Fetched {
        nats: Some(nats(3)),
        ..Fetched::default()
    };
    let old = validated(OLD);
    fetched.replica_sets = vec![replica_set(OLD, 1, 2)];
    fetched.deployment = Some(deployment(OLD, false));
    fetched.boots = BTreeMap::from([(
        old.config.boot_hash,
        json!({"client": {"ping_interval": "1s", "pong_timeout": "2s"}}),
    )]);
    fetched.live = Some(json!({"channel": {"namespaces": [{"name": "news"}]}}));
    let new =
        validated("config: {client: {ping_interval: 30s}, channel: {namespaces: [{name: chat}]}}");
    let plan = planned(&new, &fetched);
    assert_eq!(plan.live, fetched.live.clone().unwrap());
    assert!(plan.live_held.unwrap().contains("ping_interval"));
}

#[test]
fn a_change_that_fits_neither_old_nor_new_nodes_in_between_is_refused() {
    let mut fetched = Fetched {
        nats: Some(nats(3)),
        ..Fetched::default()
    };
    let old = validated(OLD);
    fetched.replica_sets = vec![replica_set(OLD, 1, 2)];
    fetched.deployment = Some(deployment(OLD, false));
    fetched.boots = BTreeMap::from([(
        old.config.boot_hash,
        json!({"client": {"ping_interval": "1s", "pong_timeout": "2s"}}),
    )]);
    fetched.live = Some(json!({"channel": {"namespaces": [{"name": "chat", "history_size": 5}]}}));
    let new =
        validated("config: {client: {ping_interval: 30s}, channel: {namespaces: [{name: chat}]}}");
    assert!(plan(&new, &fetched, false, None).is_err());
}
