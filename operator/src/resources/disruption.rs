//! PodDisruptionBudgets: what drains and evictions may take at a time.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::names::{Component, Identity};
use crate::validate::ValidatedCluster;

/// For the nodes, as the spec says.
pub(super) fn edge(cluster: &ValidatedCluster) -> PodDisruptionBudget {
    let identity = &cluster.identity;
    PodDisruptionBudget {
        metadata: identity.owned(identity.edge(), Component::Edge),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: cluster.disruption.min_available.clone(),
            max_unavailable: cluster.disruption.max_unavailable.clone(),
            selector: Some(selector(identity, Component::Edge)),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// For NATS: one at a time keeps the quorum of three and of five.
pub(super) fn nats(identity: &Identity) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: identity.owned(identity.nats(), Component::Nats),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(identity, Component::Nats)),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

fn selector(identity: &Identity, component: Component) -> LabelSelector {
    LabelSelector {
        match_labels: Some(identity.selector(component)),
        ..LabelSelector::default()
    }
}
