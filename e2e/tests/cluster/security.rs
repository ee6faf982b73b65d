//! Least rights and the restricted profile.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use tidewire_e2e::cluster::{OPERATOR, SYSTEM_NAMESPACE};
use tidewire_e2e::namespace::{TestNamespace, in_namespace};

use super::{in_memory, open_channels};

/// Verb, group, resource and subresource.
type Right = (&'static str, &'static str, &'static str, &'static str);

const RBAC: &str = "rbac.authorization.k8s.io";
const OWN: &str = "realtime.tidewire.dev";

/// What nobody needs in order to run edges.
const FORBIDDEN: &[Right] = &[
    ("*", "*", "*", ""),
    ("create", "", "pods", ""),
    ("delete", "", "pods", ""),
    ("create", "", "pods", "exec"),
    ("get", "", "pods", "log"),
    ("create", "", "serviceaccounts", "token"),
    ("delete", "", "namespaces", ""),
    ("get", "", "nodes", ""),
    ("get", "", "nodes", "proxy"),
    ("delete", "", "persistentvolumes", ""),
    ("create", RBAC, "clusterroles", ""),
    ("create", RBAC, "clusterrolebindings", ""),
    ("create", RBAC, "roles", ""),
    ("create", RBAC, "rolebindings", ""),
    ("bind", RBAC, "clusterroles", ""),
    ("escalate", RBAC, "clusterroles", ""),
    ("impersonate", "", "users", ""),
    ("impersonate", "", "serviceaccounts", ""),
    (
        "create",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "",
    ),
    (
        "create",
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        "",
    ),
    ("create", OWN, "realtimeclusters", ""),
    ("delete", OWN, "realtimeclusters", ""),
    ("update", "coordination.k8s.io", "leases", ""),
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
        let user = format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{account}");
        for right in FORBIDDEN {
            ensure!(
                !may(namespace, &user, right).await?,
                "the operator may {right:?}"
            );
        }
        ensure!(may(namespace, &user, &("patch", "apps", "deployments", "")).await?);
        Ok(())
    })
    .await
}

/// Asks the API server, as an administrator, whether the user may do it in the whole cluster.
async fn may(namespace: &TestNamespace, user: &str, right: &Right) -> Result<bool> {
    let (verb, group, resource, subresource) = right;
    let attributes = ResourceAttributes {
        verb: Some((*verb).to_owned()),
        group: Some((*group).to_owned()),
        resource: Some((*resource).to_owned()),
        subresource: Some((*subresource).to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview {
        spec,
        ..SubjectAccessReview::default()
    };
    let reviews = Api::all(namespace.cluster.client.clone());
    let review: SubjectAccessReview = reviews.create(&PostParams::default(), &review).await?;
    Ok(review.status.context("no answer")?.allowed)
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
