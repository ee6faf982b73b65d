//! The nodes. A plain Deployment: `kubectl rollout status` works, and so does everything else while the operator is
//! away.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            ConfigMapProjection, Container, KeyToPath, LocalObjectReference, PodSpec,
            PodTemplateSpec, Probe, ProjectedVolumeSource, SecretProjection,
            TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
        },
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{
    container_security, http_probe,
    names::{CLIENT_PORT, Component, INTERNAL_PORT, Identity, REVISION_ANNOTATION},
    pod_name, pod_security, port, requirements,
};
use crate::{
    error::Error,
    rollout::Revision,
    validate::{MountedKey, ValidatedCluster},
};

/// Seconds in which a roll has to move on before it counts as failed.
const PROGRESS_DEADLINE_SECONDS: i32 = 120;
const CONFIG_PATH: &str = "/etc/tidewire/config";
const SECRETS_PATH: &str = "/etc/tidewire/secrets";

/// The Deployment that runs `replicas` nodes of a revision.
pub(super) fn build(
    cluster: &ValidatedCluster,
    revision: &Revision,
    replicas: i32,
) -> Result<Deployment, Error> {
    let identity = &cluster.identity;
    let rollout = &cluster.rollout;
    Ok(Deployment {
        metadata: identity.owned(identity.edge(), Component::Edge),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            min_ready_seconds: Some(rollout.min_ready_seconds),
            progress_deadline_seconds: Some(progress_deadline(rollout.min_ready_seconds)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(rollout.max_surge.clone()),
                    max_unavailable: Some(rollout.max_unavailable.clone()),
                }),
            }),
            selector: LabelSelector {
                match_labels: Some(identity.selector(Component::Edge)),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(identity.labels(Component::Edge)),
                    annotations: Some(BTreeMap::from([(
                        REVISION_ANNOTATION.to_owned(),
                        text(revision)?,
                    )])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(identity, revision)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    })
}

/// 120 seconds, and always a minute more than a node has to be ready for: the API server demands more.
fn progress_deadline(min_ready_seconds: i32) -> i32 {
    PROGRESS_DEADLINE_SECONDS.max(min_ready_seconds.saturating_add(60))
}

fn text(revision: &Revision) -> Result<String, Error> {
    serde_json::to_string(revision).map_err(|source| Error::Render {
        what: "the revision",
        source,
    })
}

fn pod(identity: &Identity, revision: &Revision) -> PodSpec {
    let pull_secrets: Vec<LocalObjectReference> = revision
        .image
        .pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    PodSpec {
        service_account_name: Some(identity.edge()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: Some(pull_secrets).filter(|list| !list.is_empty()),
        security_context: Some(pod_security(false)),
        termination_grace_period_seconds: Some(revision.grace_seconds),
        topology_spread_constraints: Some(
            ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
                .map(|key| spread(identity, key))
                .to_vec(),
        ),
        containers: vec![container(revision)],
        volumes: Some(vec![
            config_volume(identity, revision),
            secrets_volume(&revision.keys),
        ]),
        ..PodSpec::default()
    }
}

fn container(revision: &Revision) -> Container {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "edge".to_owned(),
        image: Some(revision.image.reference.clone()),
        image_pull_policy: revision.image.pull_policy.clone(),
        command: Some(
            ["/edge", "--config", CONFIG_PATH, "--secrets", SECRETS_PATH]
                .map(str::to_owned)
                .to_vec(),
        ),
        env: Some(vec![pod_name("TIDEWIRE_NODE_NAME")]),
        ports: Some(vec![
            port("client", CLIENT_PORT),
            port("internal", INTERNAL_PORT),
        ]),
        resources: Some(requirements(&revision.resources)),
        security_context: Some(container_security()),
        // Two minutes to start, then readiness and liveness take over.
        startup_probe: Some(Probe {
            failure_threshold: Some(120),
            ..probe("/health/ready", 1)
        }),
        readiness_probe: Some(Probe {
            failure_threshold: Some(2),
            ..probe("/health/ready", 2)
        }),
        liveness_probe: Some(Probe {
            failure_threshold: Some(3),
            ..probe("/health", 10)
        }),
        volume_mounts: Some(vec![
            mount("config", CONFIG_PATH),
            mount("secrets", SECRETS_PATH),
        ]),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32) -> Probe {
    http_probe("internal", path, period_seconds, 2)
}

/// Preferred, not required: a cluster with one zone or one machine still runs every node.
fn spread(identity: &Identity, key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(identity.selector(Component::Edge)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}

fn config_volume(identity: &Identity, revision: &Revision) -> Volume {
    let file = |name: String| VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name,
            ..ConfigMapProjection::default()
        }),
        ..VolumeProjection::default()
    };
    projected(
        "config",
        vec![
            file(identity.boot(&revision.boot_hash)),
            file(identity.live()),
        ],
    )
}

fn secrets_volume(keys: &[MountedKey]) -> Volume {
    let sources = keys.iter().map(|key| VolumeProjection {
        secret: Some(SecretProjection {
            name: key.secret.clone(),
            items: Some(vec![KeyToPath {
                key: key.key.clone(),
                path: key.option.clone(),
                ..KeyToPath::default()
            }]),
            ..SecretProjection::default()
        }),
        ..VolumeProjection::default()
    });
    projected("secrets", sources.collect())
}

fn projected(name: &str, sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}
