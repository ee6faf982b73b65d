//! Least rights and the restricted profile.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tidewire_e2e::cluster::{OPERATOR, SYSTEM_NAMESPACE};
use tidewire_e2e::namespace::in_namespace;

use super::{in_memory, open_channels};

/// What nobody needs in order to run edges: the verb and the resource.
const FORBIDDEN: &[(&str, &str)] = &[
    ("*", "*"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("create", "serviceaccounts/token"),
    ("delete", "namespaces"),
    ("delete", "nodes"),
    ("get", "nodes"),
    ("delete", "persistentvolumes"),
    ("create", "clusterroles"),
    ("create", "clusterrolebindings"),
    ("create", "rolebindings"),
    ("impersonate", "users"),
    ("escalate", "clusterroles"),
    ("bind", "clusterroles"),
    ("create", "customresourcedefinitions"),
    ("create", "realtimeclusters.realtime.tidewire.dev"),
    ("delete", "realtimeclusters.realtime.tidewire.dev"),
];

#[tokio::test]
async fn the_operator_has_its_own_account_and_no_rights_that_it_does_not_need() -> Result<()> {
    in_namespace("rights", async |namespace| {
        let deployments =
            Api::<Deployment>::namespaced(namespace.cluster.client.clone(), SYSTEM_NAMESPACE);
        let pod = deployments
            .get(OPERATOR)
            .await?
            .spec
            .and_then(|spec| spec.template.spec)
            .context("no pod template")?;
        let account = pod
            .service_account_name
            .context("the operator runs as the default account")?;
        ensure!(
            account != "default",
            "the operator runs as the default account"
        );
        let identity = format!("--as=system:serviceaccount:{SYSTEM_NAMESPACE}:{account}");
        for (verb, resource) in FORBIDDEN {
            // kubectl ends with 1 when the answer is no.
            let allowed = namespace
                .kubectl(&["auth", "can-i", verb, resource, &identity])
                .await
                .is_ok();
            ensure!(!allowed, "the operator may {verb} {resource}");
        }
        namespace
            .kubectl(&["auth", "can-i", "patch", "deployments", &identity])
            .await
            .context("the question itself")?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_pod_runs_where_the_restricted_profile_is_enforced() -> Result<()> {
    in_namespace("restricted", async |namespace| {
        let bad = ["run", "bad", "--image=registry.local/tidewire-busybox:e2e"];
        let refused = namespace
            .kubectl(&bad)
            .await
            .err()
            .context("a pod outside the profile was admitted")?;
        ensure!(refused.to_string().contains("restricted"), "{refused}");
        let system = Api::<Namespace>::all(namespace.cluster.client.clone())
            .get(SYSTEM_NAMESPACE)
            .await?;
        let labels = system.metadata.labels.unwrap_or_default();
        assert_eq!(
            labels
                .get("pod-security.kubernetes.io/enforce")
                .map(String::as_str),
            Some("restricted")
        );

        namespace
            .create_cluster("chat", in_memory(&open_channels(&[])))
            .await?;
        namespace.wait_ready("chat").await?;
        for pod in namespace.edge_pods("chat").await? {
            let spec = pod.spec.context("a pod without a spec")?;
            assert_eq!(
                spec.automount_service_account_token,
                Some(false),
                "an edge needs no Kubernetes token"
            );
            assert_eq!(spec.enable_service_links, Some(false));
        }
        Ok(())
    })
    .await
}
