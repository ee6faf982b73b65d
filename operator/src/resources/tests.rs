//! Minimal YAML → the real validator → every child, as snapshots.

use k8s_openapi::{ByteString, api::core::v1::PersistentVolumeClaim};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::test_support::{blue, planned, validated};

/// All children as values, kind and name first.
fn children(spec: &str, fetched: &Fetched) -> Value {
    let cluster = validated(spec);
    let plan = planned(&cluster, fetched);
    let Resources {
        service_accounts,
        secrets,
        config_maps,
        services,
        disruption_budgets,
        stateful_sets,
        deployments,
        state: Built,
    } = build(&cluster, &plan, fetched, &NewKeys::recognisable()).unwrap();
    json!([
        service_accounts,
        secrets,
        config_maps,
        services,
        disruption_budgets,
        stateful_sets,
        deployments
    ])
}

#[test]
fn an_empty_spec_builds_every_child_with_its_defaults() {
    insta::assert_yaml_snapshot!(children("{}", &Fetched::default()));
}

#[test]
fn a_single_node_without_broker_builds_no_nats() {
    insta::assert_yaml_snapshot!(children(
        "{replicas: 1, broker: {memory: {}}}",
        &Fetched::default()
    ));
}

#[test]
fn every_field_of_the_spec_reaches_a_child() {
    let spec = "
replicas: 7
image: {reference: 'registry.example/other@sha256:00', pullPolicy: Always, pullSecrets: [pull]}
config:
  client: {allowed_origins: ['https://a.example']}
  channel: {namespaces: [{name: chat, allow_subscribe_for_client: true}]}
  tidewire: {drain: {endpoint_propagation: 20s}}
auth:
  token: {hmac: {secretRef: {name: keys, key: token}}, audience: chat, issuer: me}
  apiKey: {secretRef: {name: keys, key: api}}
  admin: {secretRef: {name: keys, key: admin}}
broker:
  nats:
    replicas: 5
    streamReplicas: 3
    storage: {size: 50Gi, storageClassName: fast}
    resources: {requests: {cpu: 1}, limits: {memory: 1Gi}}
rollout: {maxSurge: 25%, maxUnavailable: 1, minReadySeconds: 90, autoRollback: false}
pod: {resources: {requests: {cpu: 2, memory: 1Gi}, limits: {memory: 2Gi}}}
disruption: {minAvailable: 80%}
";
    insta::assert_yaml_snapshot!(children(spec, &Fetched::default()));
}

#[test]
fn keys_that_exist_are_left_alone_and_missing_ones_are_added() {
    let complete: Secret = serde_json::from_value(json!({
        "metadata": {"name": "blue-token", "labels": {names::CLUSTER_LABEL: "blue"}}, "data": {"hmac_secret_key": "b2xk"},
    }))
    .unwrap();
    let half: Secret = serde_json::from_value(json!({
        "metadata": {"name": "blue-admin", "labels": {names::CLUSTER_LABEL: "blue"}}, "data": {"password": "b2xk", "secret": ""},
    }))
    .unwrap();
    let fetched = Fetched {
        generated: [
            ("blue-token".to_owned(), complete),
            ("blue-admin".to_owned(), half),
        ]
        .into(),
        ..Fetched::default()
    };
    let cluster = validated("{}");
    let built = build(
        &cluster,
        &planned(&cluster, &fetched),
        &fetched,
        &NewKeys::recognisable(),
    )
    .unwrap();
    let names: Vec<String> = built.secrets.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["blue-api-key", "blue-admin", "blue-node-status"]);
    let admin = built.secrets[1].data.clone().unwrap();
    assert_eq!(admin["password"], ByteString(b"old".to_vec()));
    assert_eq!(admin["secret"], ByteString(b"new-admin-secret".to_vec()));
}

#[test]
fn another_value_of_a_key_changes_nothing_that_the_operator_builds() {
    let holding = |value: &str| {
        let secrets = [
            ("blue-token", "hmac_secret_key"),
            ("blue-api-key", "key"),
        ]
        .map(|(name, key)| {
            let secret = serde_json::from_value(json!({
                "metadata": {"name": name, "labels": {names::CLUSTER_LABEL: "blue"}}, "data": {key: value},
            }));
            (name.to_owned(), secret.unwrap())
        });
        let fetched = Fetched {
            generated: secrets.into(),
            ..Fetched::default()
        };
        children("{}", &fetched)
    };
    assert_eq!(holding("b2xk"), holding("bmV3"));
}

#[test]
fn generated_keys_are_long_and_never_the_same() {
    let cluster = validated("{}");
    let plan = planned(&cluster, &Fetched::default());
    let values: Vec<Vec<u8>> = (0..2)
        .flat_map(|_| {
            build(&cluster, &plan, &Fetched::default(), &NewKeys::random())
                .unwrap()
                .secrets
        })
        .flat_map(|secret| secret.data.unwrap().into_values())
        .map(|ByteString(value)| value)
        .collect();
    assert_eq!(values.len(), 10);
    assert!(values.iter().all(|value| value.len() == 43));
    let different: std::collections::BTreeSet<_> = values.iter().collect();
    assert_eq!(different.len(), values.len());
}

#[test]
fn no_secret_value_stands_in_a_config_map() {
    let text = children("{}", &Fetched::default())[2].to_string();
    assert!(!text.contains("new-"), "{text}");
}

#[test]
fn a_volume_template_that_exists_keeps_its_size_and_the_claims_grow_instead() {
    let cluster = validated("broker: {nats: {storage: {size: 20Gi}}}");
    let Broker::Nats(nats) = &cluster.broker else {
        panic!("{:?}", cluster.broker)
    };
    let small = validated("{}");
    let before = build(
        &small,
        &planned(&small, &Fetched::default()),
        &Fetched::default(),
        &NewKeys::recognisable(),
    );
    let fetched = Fetched {
        nats: before.unwrap().stateful_sets.pop(),
        ..Fetched::default()
    };
    let after = build(
        &cluster,
        &planned(&cluster, &fetched),
        &fetched,
        &NewKeys::recognisable(),
    )
    .unwrap();
    let template = |set: &StatefulSet| {
        serde_json::to_value(&set.spec.as_ref().unwrap().volume_claim_templates).unwrap()
    };
    assert_eq!(
        template(&after.stateful_sets[0]),
        template(fetched.nats.as_ref().unwrap())
    );

    let claim = |name: &str, cluster: &str| -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {names::CLUSTER_LABEL: cluster}},
            "spec": {"resources": {"requests": {"storage": "10Gi"}}},
        }))
        .unwrap()
    };
    let claims = [
        claim("data-blue-nats-0", "blue"),
        claim("data-blue-nats-1", "other"),
        claim("other", "blue"),
    ];
    let growth = claim_growth(&blue(), nats, &claims);
    assert_eq!(growth.len(), 1);
    assert_eq!(
        (growth[0].claim.as_str(), growth[0].size.0.as_str()),
        ("data-blue-nats-0", "20Gi")
    );
}

#[test]
fn claims_grow_only_when_they_are_smaller_whatever_the_spelling() {
    let growth = |wanted: &str, held: &str| {
        let cluster = validated(&format!(
            "broker: {{nats: {{storage: {{size: {wanted}}}}}}}"
        ));
        let Broker::Nats(nats) = &cluster.broker else {
            panic!("{:?}", cluster.broker)
        };
        let claim = serde_json::from_value(json!({
            "metadata": {"name": "data-blue-nats-0", "labels": {names::CLUSTER_LABEL: "blue"}},
            "spec": {"resources": {"requests": {"storage": held}}},
        }));
        claim_growth(&blue(), nats, &[claim.unwrap()]).len()
    };
    assert_eq!(growth("1024Mi", "1Gi"), 0);
    assert_eq!(growth("10Gi", "20Gi"), 0);
    assert_eq!(growth("10Gi", "9Gi"), 1);
    assert_eq!(growth("10Gi", "10G"), 1);
}

#[test]
fn a_volume_template_that_exists_goes_back_as_the_api_server_holds_it() {
    let stored = json!([{
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": {"of": "an older operator"}, "annotations": {"a": "b"}},
        "spec": {
            "accessModes": ["ReadWriteOncePod"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "slow",
            "volumeMode": "Filesystem",
        },
        "status": {"phase": "Pending"},
    }]);
    let existing = json!({"spec": {
        "serviceName": "blue-nats", "selector": {}, "template": {}, "volumeClaimTemplates": stored,
    }});
    let fetched = Fetched {
        nats: Some(serde_json::from_value(existing).unwrap()),
        ..Fetched::default()
    };
    let all = children("broker: {nats: {storage: {size: 20Gi}}}", &fetched);
    assert_eq!(all[5][0]["spec"]["volumeClaimTemplates"], stored);
}

#[test]
fn a_single_nats_server_waits_for_no_others() {
    let config = |spec| {
        children(spec, &Fetched::default())[2][2]["data"]["nats.conf"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(!config("broker: {nats: {replicas: 1}}").contains("cluster {"));
    let three = config("{}");
    assert_eq!(three.matches("nats://blue-nats-").count(), 3, "{three}");
}

#[test]
fn a_nats_server_hands_its_clients_over_before_it_is_told_to_terminate() {
    let all = children("{}", &Fetched::default());
    let pod = all[5][0].pointer("/spec/template/spec").unwrap();
    let container = &pod["containers"][0];
    let hook = container
        .pointer("/lifecycle/preStop/exec/command")
        .unwrap();
    let pid_file = hook[2].as_str().unwrap().strip_prefix("ldm=").unwrap();
    let config = all[2][2]["data"]["nats.conf"].as_str().unwrap();
    assert!(
        config.contains(&format!("pid_file: \"{pid_file}\"\n")),
        "{config}"
    );
    // The root is read-only, so the file needs a volume.
    let folder = pid_file.rsplit_once('/').unwrap().0;
    let mount = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|mount| mount["mountPath"] == folder)
        .unwrap();
    let volume = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|volume| volume["name"] == mount["name"])
        .unwrap();
    assert_eq!(volume["emptyDir"], json!({}));
    assert!(config.contains("lame_duck_duration: 30s"), "{config}");
    assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() > 30);
}

#[test]
fn every_pod_fulfils_the_restricted_profile() {
    let all = children("{}", &Fetched::default());
    let mut pods = 0;
    for workload in [&all[5], &all[6]]
        .into_iter()
        .flat_map(|kind| kind.as_array().unwrap())
    {
        let pod = workload.pointer("/spec/template/spec").unwrap();
        assert_eq!(
            pod.pointer("/securityContext/runAsNonRoot"),
            Some(&json!(true))
        );
        assert_eq!(
            pod.pointer("/securityContext/seccompProfile/type"),
            Some(&json!("RuntimeDefault"))
        );
        assert_eq!(pod["automountServiceAccountToken"], json!(false));
        for container in pod["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], json!(false));
            assert_eq!(security["readOnlyRootFilesystem"], json!(true));
            assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
            pods += 1;
        }
    }
    assert_eq!(pods, 2);
}

#[test]
fn names_of_children_fit_into_a_label_at_the_longest_allowed_name() {
    let identity = names::Identity {
        name: "n".repeat(crate::api::crd::NAME_CHARS_MAX),
        ..blue()
    };
    // Services and Secrets are labels; pods of a StatefulSet get a label with a hash of eleven characters.
    for name in [
        identity.boot("0123456789"),
        identity.node_status_secret(),
        identity.api_key_secret(),
    ] {
        assert!(name.len() <= 63, "{name}");
    }
    assert!(identity.nats().len() + 12 <= 63, "{}", identity.nats());
}
