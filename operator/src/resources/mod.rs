//! Third step, pure: every child of a cluster, built from what was validated and planned.

pub mod names;

mod config_maps;
mod deployment;
mod disruption;
mod nats;
mod quantity;
mod secrets;
mod service_accounts;
mod services;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{
        Capabilities, ConfigMap, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
        ObjectFieldSelector, PodSecurityContext, Probe, ResourceRequirements, SeccompProfile,
        Secret, SecurityContext, Service, ServiceAccount,
    },
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub use self::{
    nats::{ClaimGrowth, claim_growth},
    secrets::NewKeys,
};
use crate::{
    api::ResourcesSpec,
    error::Error,
    fetch::Fetched,
    rollout::Plan,
    validate::{Broker, ValidatedCluster},
};

/// Marks children that were built and not yet applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built;

/// Every child of a cluster, in the order in which they are applied. `S` tells whether that has happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources<S> {
    /// Identities of the pods, without rights.
    pub service_accounts: Vec<ServiceAccount>,
    /// Generated keys that do not exist yet, or not completely.
    pub secrets: Vec<Secret>,
    /// Configuration of nodes and NATS.
    pub config_maps: Vec<ConfigMap>,
    /// Addresses of nodes and NATS.
    pub services: Vec<Service>,
    /// Limits of voluntary disruptions.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// NATS.
    pub stateful_sets: Vec<StatefulSet>,
    /// The nodes.
    pub deployments: Vec<Deployment>,
    /// Built or applied.
    pub state: S,
}

/// Builds every child. `keys` are fresh random values for keys that do not exist.
///
/// # Errors
/// [`Error::Render`] when a child cannot be written as JSON; a fault in this program.
pub fn build(
    cluster: &ValidatedCluster,
    plan: &Plan,
    fetched: &Fetched,
    keys: &NewKeys,
) -> Result<Resources<Built>, Error> {
    let identity = &cluster.identity;
    let mut resources = Resources {
        service_accounts: vec![service_accounts::edge(identity)],
        secrets: secrets::missing(cluster, fetched, keys),
        config_maps: vec![
            config_maps::boot(cluster)?,
            config_maps::live(cluster, &plan.live)?,
        ],
        services: vec![services::clients(identity), services::api(identity)],
        disruption_budgets: vec![disruption::edge(cluster)],
        ..Resources::default()
    };
    if let Broker::Nats(nats) = &cluster.broker {
        let config = nats::config_map(identity, nats);
        resources
            .service_accounts
            .push(service_accounts::nats(identity));
        resources.services.push(services::nats(identity));
        resources
            .disruption_budgets
            .push(disruption::nats(identity));
        resources.stateful_sets.push(nats::stateful_set(
            identity,
            nats,
            &config,
            fetched.nats.as_ref(),
        ));
        resources.config_maps.push(config);
    }
    if let Some(revision) = &plan.revision {
        resources
            .deployments
            .push(deployment::build(cluster, revision, plan.replicas)?);
    }
    Ok(resources)
}

/// The user that every container runs as.
const USER: i64 = 65532;

/// Pod level of the restricted profile.
fn pod_security(group_for_volumes: bool) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: group_for_volumes.then_some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// Container level of the restricted profile, with a read-only root.
fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        ..SecurityContext::default()
    }
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn http_probe(port: &str, path: &str, period_seconds: i32, timeout_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(timeout_seconds),
        ..Probe::default()
    }
}

/// A variable that holds the name of the pod.
fn pod_name(variable: &str) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn requirements(resources: &ResourcesSpec) -> ResourceRequirements {
    ResourceRequirements {
        requests: Some(resources.requests.clone()).filter(|map| !map.is_empty()),
        limits: Some(resources.limits.clone()).filter(|map| !map.is_empty()),
        ..ResourceRequirements::default()
    }
}

#[cfg(test)]
mod tests;
