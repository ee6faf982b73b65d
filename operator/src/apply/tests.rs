//! Against a scripted API server: what is written, in which order, what is left alone, and what failures come to.

use serde_json::{Value, json};

use super::*;
use crate::{
    resources::{NewKeys, build},
    test_support::{ScriptedApi, blue, planned, validated},
};

const NATS: &str = "/apis/apps/v1/namespaces/team/statefulsets/blue-nats";
const EDGE: &str = "/apis/apps/v1/namespaces/team/deployments/blue";

async fn apply(api: &ScriptedApi, spec: &str) -> Result<Resources<Applied>, Error> {
    let cluster = validated(spec);
    let fetched = Fetched::default();
    let built = build(
        &cluster,
        &planned(&cluster, &fetched),
        &fetched,
        &NewKeys::recognisable(),
    )
    .unwrap();
    Box::pin(Applier::new(&api.client(), &blue()).apply(built)).await
}

fn owned_by(uid: &str, name: &str) -> Value {
    json!({"metadata": {
        "name": name, "namespace": "team", "uid": "x",
        "labels": {CLUSTER_LABEL: "blue"},
        "ownerReferences": [{"apiVersion": "example/v1", "kind": "Other", "name": "green", "uid": uid}],
    }})
}

#[tokio::test]
async fn what_pods_need_is_written_before_the_pods() {
    let api = ScriptedApi::default();
    apply(&api, "{}").await.unwrap();
    let writes = api.writes();
    let position = |path: &str| {
        writes
            .iter()
            .position(|write| write.ends_with(path))
            .unwrap_or_else(|| panic!("{path} not in {writes:?}"))
    };
    for earlier in [
        "serviceaccounts/blue",
        "secrets/blue-token",
        "configmaps/blue-live",
        "services/blue-nats",
        "budgets/blue-nats",
    ] {
        assert!(
            position(earlier) < position("statefulsets/blue-nats"),
            "{earlier}"
        );
    }
    assert_eq!(position("deployments/blue"), writes.len() - 1);
    assert!(
        writes.iter().all(|write| write.starts_with("PATCH")),
        "{writes:?}"
    );
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone_and_named() {
    let api = ScriptedApi::default();
    let path = "/api/v1/namespaces/team/services/blue-api";
    api.put(path, owned_by("uid-green", "blue-api"));
    let applied = apply(&api, "{}").await.unwrap();
    assert_eq!(
        applied.state.conflicts,
        [Conflict {
            object: "Service/blue-api".to_owned(),
            owner: "Other/green".to_owned()
        }]
    );
    assert_eq!(api.get(path), Some(owned_by("uid-green", "blue-api")));
    assert!(applied.deployments.is_empty() && applied.stateful_sets.is_empty());
    assert!(api.get(EDGE).is_none() && api.get(NATS).is_none());
    assert!(
        api.get("/api/v1/namespaces/team/services/blue").is_some(),
        "other children are still applied"
    );
}

#[tokio::test]
async fn retained_keys_are_adopted_by_their_label_only() {
    let retained = |labels: Value| json!({"metadata": {"name": "blue-token", "labels": labels}});
    let path = "/api/v1/namespaces/team/secrets/blue-token";
    let api = ScriptedApi::default();
    api.put(path, retained(json!({CLUSTER_LABEL: "blue"})));
    assert!(apply(&api, "{}").await.unwrap().state.conflicts.is_empty());

    let api = ScriptedApi::default();
    api.put(path, retained(json!({})));
    let applied = apply(&api, "{}").await.unwrap();
    assert_eq!(applied.state.conflicts[0].object, "Secret/blue-token");
    assert_eq!(api.get(path), Some(retained(json!({}))));
}

#[tokio::test]
async fn unowned_children_other_than_keys_are_never_adopted() {
    let api = ScriptedApi::default();
    api.put(
        "/api/v1/namespaces/team/configmaps/blue-live",
        json!({"metadata": {"name": "blue-live", "labels": {CLUSTER_LABEL: "blue"}}}),
    );
    let applied = apply(&api, "{}").await.unwrap();
    assert_eq!(
        applied.state.conflicts,
        [Conflict {
            object: "ConfigMap/blue-live".to_owned(),
            owner: "no owner".to_owned()
        }]
    );
}

#[tokio::test]
async fn a_foreign_volume_claim_keeps_nats_from_starting_on_it() {
    let api = ScriptedApi::default();
    let path = "/api/v1/namespaces/team/persistentvolumeclaims/data-blue-nats-1";
    api.put(path, json!({"metadata": {"name": "data-blue-nats-1"}}));
    let applied = apply(&api, "{}").await.unwrap();
    assert_eq!(
        applied.state.conflicts[0].object,
        "PersistentVolumeClaim/data-blue-nats-1"
    );
    assert!(api.get(NATS).is_none());

    api.put(
        path,
        json!({"metadata": {"name": "data-blue-nats-1", "labels": {CLUSTER_LABEL: "blue"}}}),
    );
    assert!(apply(&api, "{}").await.unwrap().state.conflicts.is_empty());
    assert!(api.get(NATS).is_some());
}

#[tokio::test]
async fn failures_of_the_api_server_name_the_object_and_stop_before_the_pods() {
    for (code, conflict) in [(409, true), (429, false), (500, false)] {
        let api = ScriptedApi::default();
        api.fail("PATCH /api/v1/namespaces/team/configmaps/blue-live", code);
        let error = apply(&api, "{}").await.unwrap_err();
        assert_eq!(error.reason(), "ApplyFailed");
        assert_eq!(error.to_string(), "could not apply ConfigMap/blue-live");
        assert_eq!(error.is_conflict(), conflict, "{code}");
        assert!(api.get(EDGE).is_none());
    }
    let api = ScriptedApi::default();
    api.fail(&format!("GET {EDGE}"), 500);
    assert_eq!(apply(&api, "{}").await.unwrap_err().reason(), "FetchFailed");
}

#[tokio::test]
async fn pruning_deletes_our_unwanted_children_and_nothing_else() {
    let api = ScriptedApi::default();
    let applied = apply(&api, "{replicas: 1, broker: {memory: {}}}")
        .await
        .unwrap();
    api.put(NATS, owned_by("uid-blue", "blue-nats"));
    let old_boot = "/api/v1/namespaces/team/configmaps/blue-boot-00000000";
    api.put(old_boot, owned_by("uid-blue", "blue-boot-00000000"));
    let foreign = "/api/v1/namespaces/team/services/blue-nats";
    api.put(foreign, owned_by("uid-green", "blue-nats"));
    let before = api.paths().len();
    let mut deleted = prune(&api.client(), &blue(), &applied, &Fetched::default())
        .await
        .unwrap();
    deleted.sort();
    assert_eq!(
        deleted,
        ["ConfigMap/blue-boot-00000000", "StatefulSet/blue-nats"]
    );
    assert_eq!(api.paths().len(), before - 2);
    assert!(api.get(foreign).is_some());
}

#[tokio::test]
async fn boot_options_that_a_replica_set_still_names_are_kept() {
    let api = ScriptedApi::default();
    let old = validated("{replicas: 1, broker: {memory: {}}}");
    let new = "{replicas: 1, broker: {memory: {}}, config: {client: {ping_interval: 30s}}}";
    let applied = apply(&api, new).await.unwrap();
    let name = blue().boot(&old.config.boot_hash);
    let path = format!("/api/v1/namespaces/team/configmaps/{name}");
    api.put(&path, owned_by("uid-blue", &name));
    let revision = serde_json::to_string(&Revision::wanted(&old)).unwrap();
    let fetched = Fetched {
        replica_sets: vec![
            serde_json::from_value(json!({"spec": {"selector": {}, "template": {"metadata": {
                "annotations": {crate::resources::names::REVISION_ANNOTATION: revision},
            }}}}))
            .unwrap(),
        ],
        ..Fetched::default()
    };
    assert_eq!(
        prune(&api.client(), &blue(), &applied, &fetched)
            .await
            .unwrap(),
        [""; 0]
    );
    assert!(api.get(&path).is_some());
    assert_eq!(
        prune(&api.client(), &blue(), &applied, &Fetched::default())
            .await
            .unwrap(),
        [format!("ConfigMap/{name}")]
    );
}

#[tokio::test]
async fn pruning_tolerates_that_somebody_was_faster_and_reports_other_failures() {
    let api = ScriptedApi::default();
    let applied = apply(&api, "{replicas: 1, broker: {memory: {}}}")
        .await
        .unwrap();
    api.put(NATS, owned_by("uid-blue", "blue-nats"));
    api.fail(&format!("DELETE {NATS}"), 404);
    assert_eq!(
        prune(&api.client(), &blue(), &applied, &Fetched::default())
            .await
            .unwrap(),
        [""; 0]
    );
    api.fail(&format!("DELETE {NATS}"), 500);
    let error = prune(&api.client(), &blue(), &applied, &Fetched::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason(), error.to_string().as_str()),
        ("PruneFailed", "could not delete StatefulSet/blue-nats")
    );
}

#[tokio::test]
async fn a_storage_class_that_cannot_expand_is_reported_and_not_an_error() {
    let api = ScriptedApi::default();
    let path = "/api/v1/namespaces/team/persistentvolumeclaims/data-blue-nats-0";
    let growth = [ClaimGrowth {
        claim: "data-blue-nats-0".to_owned(),
        size: k8s_openapi::apimachinery::pkg::api::resource::Quantity("20Gi".to_owned()),
    }];
    assert!(
        grow_claims(&api.client(), &blue(), &growth)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        api.get(path)
            .unwrap()
            .pointer("/spec/resources/requests/storage"),
        Some(&json!("20Gi"))
    );
    api.fail(&format!("PATCH {path}"), 403);
    assert_eq!(
        grow_claims(&api.client(), &blue(), &growth).await.unwrap(),
        ["data-blue-nats-0: scripted"]
    );
    api.fail(&format!("PATCH {path}"), 500);
    assert_eq!(
        grow_claims(&api.client(), &blue(), &growth)
            .await
            .unwrap_err()
            .reason(),
        "ApplyFailed"
    );
}
