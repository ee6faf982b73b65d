//! What is delivered besides the binary: the chart's copy of the definition, the plain install and the examples.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

use std::path::PathBuf;

use serde_json::Value;
use tidewire_operator::{
    api::{
        RealtimeCluster,
        crd::{check_rules, crd, crd_yaml},
    },
    context::Images,
    validate::{identity, validate},
};

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(path)).unwrap()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents
        .iter()
        .filter(|document| document["kind"] == kind)
        .collect()
}

#[test]
fn examples_are_accepted_by_the_rules_and_by_the_edge_without_a_warning() {
    for example in ["manifests/quickstart.yaml", "manifests/production.yaml"] {
        let documents = documents(example);
        let clusters = of_kind(&documents, "RealtimeCluster");
        assert_eq!(clusters.len(), 1, "{example}");
        assert_eq!(check_rules(clusters[0], None), Ok(()), "{example}");
        let mut cluster: RealtimeCluster = serde_json::from_value(clusters[0].clone()).unwrap();
        cluster.metadata.namespace = Some("default".to_owned());
        cluster.metadata.uid = Some("uid".to_owned());
        let images = Images {
            edge: "edge".to_owned(),
            nats: "nats".to_owned(),
        };
        let valid = validate(&cluster, &identity(&cluster).unwrap(), &images).unwrap();
        assert!(valid.warnings.is_empty(), "{example}: {:?}", valid.warnings);
    }
}

/// Keys that the definition does not know would be dropped in silence by the API server.
#[test]
fn examples_use_no_field_that_the_definition_lacks() {
    fn walk(schema: &Value, value: &Value, path: &str, unknown: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    let path = format!("{path}.{name}");
                    let known = schema["properties"]
                        .get(name)
                        .or_else(|| schema.get("additionalProperties"));
                    match known {
                        Some(schema) => walk(schema, inner, &path, unknown),
                        None => unknown.push(path),
                    }
                }
            }
            Value::Array(items) => items
                .iter()
                .for_each(|item| walk(&schema["items"], item, path, unknown)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let definition = serde_json::to_value(crd().unwrap()).unwrap();
    let schema =
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    for example in ["manifests/quickstart.yaml", "manifests/production.yaml"] {
        let mut unknown = Vec::new();
        for document in documents(example) {
            walk(schema, &document["spec"], "spec", &mut unknown);
        }
        assert!(unknown.is_empty(), "{example}: {unknown:?}");
    }
}

#[test]
fn the_autoscaler_example_scales_the_quickstart_through_its_scale_subresource() {
    let autoscaler = &documents("manifests/hpa.yaml")[0];
    let target = &autoscaler["spec"]["scaleTargetRef"];
    let quickstart = &documents("manifests/quickstart.yaml")[0];
    assert_eq!(target["apiVersion"], quickstart["apiVersion"]);
    assert_eq!(target["kind"], quickstart["kind"]);
    assert_eq!(target["name"], quickstart["metadata"]["name"]);
}

#[test]
fn every_copy_of_the_definition_is_current() {
    assert!(
        read("charts/tidewire/crds/realtimeclusters.yaml") == crd_yaml().unwrap(),
        "run charts/generate.sh"
    );
    let install = documents("manifests/install.yaml");
    let installed = of_kind(&install, "CustomResourceDefinition");
    assert_eq!(installed.len(), 1);
    assert!(
        *installed[0] == serde_json::to_value(crd().unwrap()).unwrap(),
        "run charts/generate.sh"
    );
}

#[test]
fn the_install_brings_its_namespace_first_and_enforces_the_restricted_profile() {
    let install = documents("manifests/install.yaml");
    assert_eq!(install[0]["kind"], "Namespace");
    assert_eq!(
        install[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    for object in of_kind(&install, "Deployment")
        .into_iter()
        .chain(of_kind(&install, "ServiceAccount"))
    {
        assert_eq!(
            object["metadata"]["namespace"],
            install[0]["metadata"]["name"]
        );
    }
    let pod = &of_kind(&install, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"][0], "ALL");
}

#[test]
fn the_operator_gets_no_wildcards_and_cannot_delete_keys_or_pods() {
    let install = documents("manifests/install.yaml");
    let roles: Vec<&Value> = of_kind(&install, "ClusterRole")
        .into_iter()
        .chain(of_kind(&install, "Role"))
        .collect();
    assert_eq!(roles.len(), 2);
    for rule in roles
        .iter()
        .flat_map(|role| role["rules"].as_array().unwrap())
    {
        let words = |key: &str| -> Vec<&str> {
            rule[key]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect()
        };
        let (resources, verbs) = (words("resources"), words("verbs"));
        assert!(!resources.contains(&"*") && !verbs.contains(&"*"), "{rule}");
        for precious in [
            "secrets",
            "pods",
            "persistentvolumeclaims",
            "realtimeclusters",
        ] {
            assert!(
                !(resources.contains(&precious) && verbs.contains(&"delete")),
                "{rule}"
            );
        }
    }
}

#[test]
fn the_chart_says_how_the_definition_is_upgraded_and_how_rights_are_narrowed() {
    for (text, folder) in [
        ("charts/tidewire/README.md", "charts/tidewire/crds/"),
        ("charts/tidewire/templates/NOTES.txt", "crds/"),
    ] {
        let said = read(text);
        assert!(
            said.contains(&format!(
                "kubectl apply --server-side --force-conflicts -f {folder}"
            )),
            "{text}"
        );
        assert!(said.contains("--set watchNamespace="), "{text}");
    }
    let values = &documents("charts/tidewire/values.yaml")[0];
    assert_eq!(values["watchNamespace"], "", "the README calls it unset");
}

#[test]
fn release_manifests_name_released_images_of_this_version() {
    let install = documents("manifests/install.yaml");
    let container =
        &of_kind(&install, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        container["image"],
        format!("ghcr.io/tidewire/operator:{version}")
    );
    let environment = container["env"].as_array().unwrap();
    let value = |name: &str| {
        environment
            .iter()
            .find(|entry| entry["name"] == name)
            .map(|entry| entry["value"].clone())
    };
    assert_eq!(
        value("EDGE_IMAGE"),
        Some(format!("ghcr.io/tidewire/edge:{version}").into())
    );
    assert_eq!(
        value("NATS_IMAGE"),
        Some("docker.io/library/nats:2.15.2".into())
    );
}
