//! The definition: current, small, described, and its rules with both verdicts.

use serde_json::{Value, json};

use super::*;

/// Client-side apply copies the object into an annotation of at most 256 KiB.
const CRD_BYTES_MAX: usize = 240 * 1024;

fn cluster(spec: &Value) -> Value {
    json!({
        "apiVersion": "realtime.tidewire.dev/v1alpha1",
        "kind": "RealtimeCluster",
        "metadata": {"name": "blue", "namespace": "team"},
        "spec": spec,
    })
}

fn refusal(spec: &Value, old: Option<&Value>) -> Option<String> {
    let old = old.map(cluster);
    check_rules(&cluster(spec), old.as_ref())
        .err()
        .map(|violations| {
            violations
                .into_iter()
                .map(|v| v.message)
                .collect::<Vec<_>>()
                .join("; ")
        })
}

#[test]
fn committed_definition_is_what_the_types_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/realtimeclusters.yaml");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == crd_yaml().unwrap(),
        "crds/ is stale: run `make generate`"
    );
}

#[test]
fn definition_fits_into_the_annotation_of_client_side_apply() {
    let bytes = serde_json::to_vec(&crd().unwrap()).unwrap().len();
    assert!(bytes < CRD_BYTES_MAX, "{bytes} bytes");
}

fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            walk(property, &format!("{path}.{name}"), visit);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(inner).filter(|inner| inner.is_object()) {
            walk(inner, &format!("{path}[]"), visit);
        }
    }
}

#[test]
fn every_property_has_a_description() {
    let mut silent = Vec::new();
    walk(&SCHEMA, "", &mut |path, schema| {
        let described = schema
            .get("description")
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty());
        let standard = ["", ".apiVersion", ".kind", ".metadata"].contains(&path);
        if !described && !standard && !path.ends_with("[]") {
            silent.push(path.to_owned());
        }
    });
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn configuration_carries_no_defaults_and_keeps_unknown_fields() {
    let config = SCHEMA
        .pointer("/properties/spec/properties/config")
        .unwrap();
    let mut wrong = Vec::new();
    walk(config, "config", &mut |path, schema| {
        if schema.get("default").is_some() {
            wrong.push(format!("{path}: default"));
        }
        let keeps = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
        if schema.get("type") == Some(&json!("object"))
            && schema.get("additionalProperties").is_none()
            && !keeps
        {
            wrong.push(format!("{path}: drops unknown fields"));
        }
    });
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn configuration_lists_namespaces_by_name_and_leaves_out_what_the_operator_writes() {
    let config = SCHEMA
        .pointer("/properties/spec/properties/config/properties")
        .unwrap();
    let namespaces = config.pointer("/channel/properties/namespaces").unwrap();
    assert_eq!(namespaces["x-kubernetes-list-type"], "map");
    assert_eq!(namespaces["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(namespaces["maxItems"], 200);
    for owned in ["http_server", "broker", "engine", "health", "prometheus"] {
        assert!(config.get(owned).is_none(), "{owned}");
    }
    assert!(
        config
            .pointer("/client/properties/token/properties/hmac_secret_key")
            .is_none()
    );
    let options = config.pointer("/client/properties").unwrap();
    assert!(options.get("allowed_origins").is_some());
    let live = namespaces["description"].as_str().unwrap();
    assert!(live.ends_with("(live)"), "{live}");
}

#[test]
fn definition_has_scale_with_selector_and_a_default_for_replicas() {
    let value = serde_json::to_value(crd().unwrap()).unwrap();
    assert_eq!(
        value
            .pointer("/spec/versions/0/subresources/scale")
            .unwrap(),
        &json!({
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        })
    );
    assert_eq!(
        SCHEMA.pointer("/properties/spec/properties/replicas/default"),
        Some(&json!(2))
    );
    assert_eq!(
        value.pointer("/spec/names/shortNames").unwrap(),
        &json!(["rtc"])
    );
}

#[test]
fn good_specs_pass_every_rule() {
    for good in [
        json!({}),
        json!({"replicas": 0}),
        json!({"replicas": 1, "broker": {"memory": {}}}),
        json!({"broker": {"nats": {"replicas": 1, "streamReplicas": 1}}}),
        json!({"broker": {"nats": {"replicas": 5, "streamReplicas": 3}}}),
        json!({"disruption": {"minAvailable": "50%"}}),
        json!({"rollout": {"maxSurge": 0, "maxUnavailable": 1}}),
        json!({"rollout": {"maxSurge": "25%", "maxUnavailable": 0}}),
    ] {
        assert_eq!(refusal(&good, None), None, "{good}");
    }
}

#[test]
fn bad_specs_are_refused_with_the_reason() {
    for (bad, words) in [
        (json!({"broker": {"memory": {}}}), "set replicas to 1"),
        (
            json!({"replicas": 1, "broker": {"memory": {}, "nats": {}}}),
            "not both",
        ),
        (json!({"broker": {"nats": {"replicas": 2}}}), "1, 3 or 5"),
        (
            json!({"broker": {"nats": {"replicas": 3, "streamReplicas": 5}}}),
            "more than replicas",
        ),
        (
            json!({"disruption": {"minAvailable": 1, "maxUnavailable": 1}}),
            "not both",
        ),
        (
            json!({"rollout": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            "both be zero",
        ),
    ] {
        let message = refusal(&bad, None).unwrap_or_default();
        assert!(message.contains(words), "{bad}: {message}");
    }
}

#[test]
fn changes_that_would_lose_data_are_refused() {
    let nats = |value: Value| json!({"broker": {"nats": value}});
    for (old, new, words) in [
        (
            nats(json!({"replicas": 1})),
            nats(json!({"replicas": 3})),
            "cannot become several",
        ),
        (
            json!({}),
            nats(json!({"replicas": 1})),
            "cannot become several",
        ),
        (
            nats(json!({"storage": {"size": "20Gi"}})),
            json!({}),
            "cannot shrink",
        ),
        (
            nats(json!({"replicas": 5})),
            nats(json!({"replicas": 3})),
            "cannot be lowered",
        ),
        (
            nats(json!({"storage": {"size": "10Gi"}})),
            nats(json!({"storage": {"size": "5Gi"}})),
            "cannot shrink",
        ),
        (
            nats(json!({"storage": {}})),
            nats(json!({"storage": {"storageClassName": "fast"}})),
            "class cannot",
        ),
    ] {
        let message = refusal(&new, Some(&old)).unwrap_or_default();
        assert!(message.contains(words), "{old} -> {new}: {message}");
    }
    for (old, new) in [
        (nats(json!({"replicas": 3})), nats(json!({"replicas": 5}))),
        (
            nats(json!({"storage": {"size": "10Gi"}})),
            nats(json!({"storage": {"size": "20Gi"}})),
        ),
        (json!({}), json!({"replicas": 3})),
        (
            json!({}),
            nats(json!({"replicas": 5, "storage": {"size": "11Gi"}})),
        ),
        (
            nats(json!({"replicas": 5})),
            json!({"replicas": 1, "broker": {"memory": {}}}),
        ),
    ] {
        assert_eq!(refusal(&new, Some(&old)), None, "{old} -> {new}");
    }
}

#[test]
fn names_that_children_could_not_carry_are_refused() {
    let named = |name: &str| {
        let mut object = cluster(&json!({}));
        object["metadata"]["name"] = json!(name);
        check_rules(&object, None)
    };
    assert_eq!(named(&"a".repeat(NAME_CHARS_MAX)), Ok(()));
    assert!(named(&"a".repeat(NAME_CHARS_MAX + 1)).is_err());
    assert!(named("1st").is_err());
    assert!(named("with.dot").is_err());
}
