//! NATS: a StatefulSet with JetStream on. Volumes outlive the cluster.

use std::{cmp::Ordering, collections::BTreeMap};

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec},
        core::v1::{
            Affinity, ConfigMap, ConfigMapVolumeSource, Container, EmptyDirVolumeSource,
            ExecAction, Lifecycle, LifecycleHandler, PersistentVolumeClaim,
            PersistentVolumeClaimSpec, PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec,
            Probe, Volume, VolumeMount, VolumeResourceRequirements, WeightedPodAffinityTerm,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};
use kube::ResourceExt;

use super::{
    container_security, http_probe,
    names::{
        Component, Identity, NATS_CLIENT_PORT, NATS_CLUSTER_PORT, NATS_CONFIG_ANNOTATION,
        NATS_MONITOR_PORT,
    },
    pod_name, pod_security, port, quantity, requirements,
};
use crate::validate::{Nats, short_hash};

const CONFIG_FILE: &str = "nats.conf";
const CONFIG_PATH: &str = "/etc/nats";
const DATA_PATH: &str = "/data";
const VOLUME: &str = "data";
const PID_PATH: &str = "/run/nats";
const PID_FILE: &str = "nats.pid";
/// Seconds a server may take to hand its clients over and to write its streams. Lame duck takes at most half of them.
const GRACE_SECONDS: i64 = 60;

/// Configuration of every server. Names come from the environment, so that all share one file.
pub(super) fn config_map(identity: &Identity, nats: &Nats) -> ConfigMap {
    let mut text = format!(
        "server_name: $POD_NAME\n\
         listen: \"0.0.0.0:{NATS_CLIENT_PORT}\"\n\
         http: \"0.0.0.0:{NATS_MONITOR_PORT}\"\n\
         pid_file: \"{PID_PATH}/{PID_FILE}\"\n\
         lame_duck_grace_period: 5s\n\
         lame_duck_duration: 30s\n\
         jetstream {{\n  store_dir: \"{DATA_PATH}\"\n}}\n"
    );
    // A single server has no one to agree with; a cluster block would make it wait for others.
    if nats.replicas > 1 {
        let service = identity.nats();
        let routes: String = (0..nats.replicas)
            .map(|index| {
                format!(
                    "    \"nats://{service}-{index}.{service}.{}.svc:{NATS_CLUSTER_PORT}\"\n",
                    identity.namespace
                )
            })
            .collect();
        text.push_str(&format!(
            "cluster {{\n  name: \"{}\"\n  listen: \"0.0.0.0:{NATS_CLUSTER_PORT}\"\n  routes: [\n{routes}  ]\n}}\n",
            identity.subject_prefix()
        ));
    }
    ConfigMap {
        metadata: identity.owned(identity.nats(), Component::Nats),
        data: Some(BTreeMap::from([(CONFIG_FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// The StatefulSet. Its volume template can never change, so an existing one keeps its own.
pub(super) fn stateful_set(
    identity: &Identity,
    nats: &Nats,
    config: &ConfigMap,
    existing: Option<&StatefulSet>,
) -> StatefulSet {
    StatefulSet {
        metadata: identity.owned(identity.nats(), Component::Nats),
        spec: Some(StatefulSetSpec {
            replicas: Some(nats.replicas),
            service_name: Some(identity.nats()),
            // Servers wait for each other, so they cannot start one by one.
            pod_management_policy: Some("Parallel".to_owned()),
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some("Retain".to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            selector: LabelSelector {
                match_labels: Some(identity.selector(Component::Nats)),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(identity.labels(Component::Nats)),
                    annotations: Some(BTreeMap::from([(
                        NATS_CONFIG_ANNOTATION.to_owned(),
                        short_hash(&config.data),
                    )])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(identity, nats)),
            },
            volume_claim_templates: Some(claims(identity, nats, existing)),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// What the API server holds goes back whole: labels, access modes and what it filled in can change as little as the size.
fn claims(
    identity: &Identity,
    nats: &Nats,
    existing: Option<&StatefulSet>,
) -> Vec<PersistentVolumeClaim> {
    existing
        .and_then(|set| set.spec.as_ref()?.volume_claim_templates.clone())
        .filter(|templates| !templates.is_empty())
        .unwrap_or_else(|| vec![claim(identity, nats)])
}

fn claim(identity: &Identity, nats: &Nats) -> PersistentVolumeClaim {
    let size = nats.storage.size.clone();
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(VOLUME.to_owned()),
            labels: Some(identity.labels(Component::Nats)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: nats.storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

fn requested(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    claim
        .spec
        .as_ref()?
        .resources
        .as_ref()?
        .requests
        .as_ref()?
        .get("storage")
}

fn pod(identity: &Identity, nats: &Nats) -> PodSpec {
    PodSpec {
        service_account_name: Some(identity.nats()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod_security(true)),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        affinity: Some(Affinity {
            pod_anti_affinity: Some(PodAntiAffinity {
                preferred_during_scheduling_ignored_during_execution: Some(vec![
                    apart(identity, "kubernetes.io/hostname", 100),
                    apart(identity, "topology.kubernetes.io/zone", 50),
                ]),
                ..PodAntiAffinity::default()
            }),
            ..Affinity::default()
        }),
        containers: vec![container(nats)],
        volumes: Some(vec![
            Volume {
                name: "config".to_owned(),
                config_map: Some(ConfigMapVolumeSource {
                    name: identity.nats(),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
            Volume {
                name: "run".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource::default()),
                ..Volume::default()
            },
        ]),
        ..PodSpec::default()
    }
}

fn apart(identity: &Identity, key: &str, weight: i32) -> WeightedPodAffinityTerm {
    WeightedPodAffinityTerm {
        weight,
        pod_affinity_term: PodAffinityTerm {
            topology_key: key.to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(identity.selector(Component::Nats)),
                ..LabelSelector::default()
            }),
            ..PodAffinityTerm::default()
        },
    }
}

fn container(nats: &Nats) -> Container {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    Container {
        name: "nats".to_owned(),
        image: Some(nats.image.clone()),
        args: Some(vec![
            "-c".to_owned(),
            format!("{CONFIG_PATH}/{CONFIG_FILE}"),
        ]),
        env: Some(vec![pod_name("POD_NAME")]),
        ports: Some(vec![
            port("client", NATS_CLIENT_PORT),
            port("cluster", NATS_CLUSTER_PORT),
            port("monitor", NATS_MONITOR_PORT),
        ]),
        resources: Some(requirements(&nats.resources)),
        security_context: Some(container_security()),
        // A server that is told to terminate stops at once, unless it is already handing its clients over. The image
        // may hold nothing but the server, which is therefore its own messenger.
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some(vec![
                        "nats-server".to_owned(),
                        "--signal".to_owned(),
                        format!("ldm={PID_PATH}/{PID_FILE}"),
                    ]),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // Not plain /healthz: it fails until the servers have elected a leader, for which they must find each other.
        startup_probe: Some(Probe {
            failure_threshold: Some(120),
            ..probe("/healthz?js-server-only=true", 1)
        }),
        readiness_probe: Some(Probe {
            failure_threshold: Some(3),
            ..probe("/healthz?js-server-only=true", 2)
        }),
        liveness_probe: Some(Probe {
            failure_threshold: Some(6),
            ..probe("/healthz?js-enabled-only=true", 10)
        }),
        volume_mounts: Some(vec![
            mount(VOLUME, DATA_PATH, None),
            mount("config", CONFIG_PATH, Some(true)),
            mount("run", PID_PATH, None),
        ]),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32) -> Probe {
    http_probe("monitor", path, period_seconds, 3)
}

/// A volume claim that has to grow.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimGrowth {
    /// Name of the claim.
    pub claim: String,
    /// Its new size.
    pub size: Quantity,
}

/// Claims that are smaller than wanted. One that somebody made larger stays so: volumes cannot shrink.
#[must_use]
pub fn claim_growth(
    identity: &Identity,
    nats: &Nats,
    claims: &[PersistentVolumeClaim],
) -> Vec<ClaimGrowth> {
    let prefix = format!("{VOLUME}-{}-", identity.nats());
    let ours = claims.iter().filter(|claim| {
        claim.name_any().starts_with(&prefix) && identity.may_adopt(&claim.metadata)
    });
    let too_small =
        |size: &Quantity| quantity::compare(size, &nats.storage.size) == Some(Ordering::Less);
    ours.filter(|claim| requested(claim).is_some_and(too_small))
        .map(|claim| ClaimGrowth {
            claim: claim.name_any(),
            size: nats.storage.size.clone(),
        })
        .collect()
}
