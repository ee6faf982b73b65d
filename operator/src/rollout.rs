//! What the nodes shall run next, pure: the new revision, the current one while something is missing, or the previous
//! one because the new one failed; and whether the live options may be written now.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    api::{ResourcesSpec, status::RollbackStatus},
    fetch::Fetched,
    resources::names::REVISION_ANNOTATION,
    validate::{Broker, Image, Invalid, MountedKey, ValidatedCluster, check_mixed, short_hash},
};

/// What varies between pod templates. It is written beside the template, so the previous one can be rebuilt from the
/// previous ReplicaSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Image and how it is pulled.
    pub image: Image,
    /// Hash of the options that need a roll.
    pub boot_hash: String,
    /// Compute resources.
    pub resources: ResourcesSpec,
    /// Where each key is mounted from.
    pub keys: Vec<MountedKey>,
    /// Seconds a node may take to end.
    pub grace_seconds: i64,
}

impl Revision {
    /// What the spec asks for.
    #[must_use]
    pub fn wanted(cluster: &ValidatedCluster) -> Self {
        Self {
            image: cluster.image.clone(),
            boot_hash: cluster.config.boot_hash.clone(),
            resources: cluster.resources.clone(),
            keys: cluster.keys.clone(),
            grace_seconds: cluster.grace_seconds,
        }
    }

    /// Identity of the revision in the status.
    #[must_use]
    pub fn hash(&self) -> String {
        short_hash(self)
    }

    fn of_template(annotations: Option<&BTreeMap<String, String>>) -> Option<Self> {
        serde_json::from_str(annotations?.get(REVISION_ANNOTATION)?).ok()
    }

    /// What a Deployment runs.
    #[must_use]
    pub fn of_deployment(deployment: &Deployment) -> Option<Self> {
        let template = &deployment.spec.as_ref()?.template;
        Self::of_template(template.metadata.as_ref()?.annotations.as_ref())
    }

    /// What a ReplicaSet runs.
    #[must_use]
    pub fn of_replica_set(set: &ReplicaSet) -> Option<Self> {
        let template = set.spec.as_ref()?.template.as_ref()?;
        Self::of_template(template.metadata.as_ref()?.annotations.as_ref())
    }
}

/// Why a change of the nodes is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// The message broker has no quorum.
    BrokerDown,
    /// A referenced Secret or a key in it is missing.
    SecretMissing,
}

impl Frozen {
    /// Stable word for the condition.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::BrokerDown => "FrozenBrokerDown",
            Self::SecretMissing => "FrozenSecretMissing",
        }
    }
}

/// What to do with the nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What they shall run; none while the first nodes cannot be started.
    pub revision: Option<Revision>,
    /// How many of them.
    pub replicas: i32,
    /// The live options to write.
    pub live: Value,
    /// Why newer live options wait, if they do.
    pub live_held: Option<String>,
    /// Why a new revision waits, if it does.
    pub frozen: Option<Frozen>,
    /// The revision that was taken back, if one was.
    pub rollback: Option<RollbackStatus>,
}

impl Plan {
    /// Whether the plan takes a revision back that the status did not know as failed.
    #[must_use]
    pub fn rolls_back(&self, known: Option<&RollbackStatus>) -> bool {
        self.rollback.is_some() && self.rollback.as_ref() != known
    }
}

/// Decides what the nodes shall run next.
///
/// # Errors
/// [`Invalid`] when neither the old nor the new live options fit the new boot options: it takes two steps then.
pub fn plan(
    cluster: &ValidatedCluster,
    fetched: &Fetched,
    secret_missing: bool,
    known: Option<&RollbackStatus>,
) -> Result<Plan, Invalid> {
    let wanted = Revision::wanted(cluster);
    let current = fetched
        .deployment
        .as_ref()
        .and_then(Revision::of_deployment);
    let rollback = rollback(cluster, &wanted, current.as_ref(), fetched, known);
    let goal = match (&rollback, &current) {
        (None, _) => wanted.clone(),
        (Some(_), Some(current)) if *current != wanted => current.clone(),
        (Some(_), _) => previous(fetched, &wanted).unwrap_or_else(|| wanted.clone()),
    };
    let frozen = frozen(
        cluster,
        fetched,
        secret_missing,
        current.as_ref() != Some(&goal),
    );
    let running = fetched
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.spec.as_ref()?.replicas);
    let (revision, replicas) = match frozen {
        None => (Some(goal), cluster.replicas),
        Some(Frozen::BrokerDown) => (Some(current.clone().unwrap_or(goal)), cluster.replicas),
        Some(Frozen::SecretMissing) => {
            (current.clone(), cluster.replicas.min(running.unwrap_or(0)))
        }
    };
    let (live, live_held) = live_options(cluster, fetched, revision.as_ref())?;
    Ok(Plan {
        revision,
        replicas,
        live,
        live_held,
        frozen,
        rollback,
    })
}

/// The failed revision to remember: a known one while the spec still asks for it, or one that has just failed.
fn rollback(
    cluster: &ValidatedCluster,
    wanted: &Revision,
    current: Option<&Revision>,
    fetched: &Fetched,
    known: Option<&RollbackStatus>,
) -> Option<RollbackStatus> {
    if !cluster.rollout.auto_rollback {
        return None;
    }
    let known = known
        .filter(|known| known.revision == wanted.hash() && known.spec_hash == cluster.spec_hash);
    let failed_now = current == Some(wanted)
        && fetched.deployment.as_ref().is_some_and(deadline_exceeded)
        && previous(fetched, wanted).is_some();
    known.cloned().or_else(|| {
        failed_now.then(|| RollbackStatus {
            revision: wanted.hash(),
            boot_hash: wanted.boot_hash.clone(),
            image: wanted.image.reference.clone(),
            spec_hash: cluster.spec_hash.clone(),
        })
    })
}

/// Whether a Deployment has given up on its current template.
#[must_use]
pub fn deadline_exceeded(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.conditions.iter().flatten().any(|condition| {
            condition.type_ == "Progressing"
                && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        })
}

/// The newest revision other than `wanted` that has ready nodes and whose boot options still exist.
fn previous(fetched: &Fetched, wanted: &Revision) -> Option<Revision> {
    let mut candidates: Vec<(i64, Revision)> = fetched
        .replica_sets
        .iter()
        .filter(|set| {
            set.status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0)
                > 0
        })
        .filter_map(|set| Some((sequence(set), Revision::of_replica_set(set)?)))
        .filter(|(_, revision)| {
            revision != wanted && fetched.boots.contains_key(&revision.boot_hash)
        })
        .collect();
    candidates.sort_by_key(|(sequence, _)| *sequence);
    candidates.pop().map(|(_, revision)| revision)
}

fn sequence(set: &ReplicaSet) -> i64 {
    let number = set.annotations().get("deployment.kubernetes.io/revision");
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn frozen(
    cluster: &ValidatedCluster,
    fetched: &Fetched,
    secret_missing: bool,
    changes: bool,
) -> Option<Frozen> {
    if secret_missing {
        return Some(Frozen::SecretMissing);
    }
    let Broker::Nats(nats) = &cluster.broker else {
        return None;
    };
    let exists = fetched.deployment.is_some() && changes;
    let down = fetched
        .nats
        .as_ref()
        .is_none_or(|set| ready_servers(set) < nats.quorum());
    (exists && down).then_some(Frozen::BrokerDown)
}

/// NATS servers that answer.
#[must_use]
pub fn ready_servers(set: &StatefulSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0)
}

/// The live options to write: the new ones, unless nodes that still run would refuse them.
fn live_options(
    cluster: &ValidatedCluster,
    fetched: &Fetched,
    target: Option<&Revision>,
) -> Result<(Value, Option<String>), Invalid> {
    let new = &cluster.config.live;
    let Some(old) = fetched.live.as_ref().filter(|old| *old != new) else {
        return Ok((new.clone(), None));
    };
    let boot_of = |hash: &str| {
        if hash == cluster.config.boot_hash {
            Some(&cluster.config.boot)
        } else {
            fetched.boots.get(hash)
        }
    };
    let running = fetched
        .replica_sets
        .iter()
        .filter(|set| set.spec.as_ref().and_then(|spec| spec.replicas) > Some(0));
    let mut boots: Vec<String> = running
        .filter_map(Revision::of_replica_set)
        .map(|revision| revision.boot_hash)
        .collect();
    boots.extend(target.map(|revision| revision.boot_hash.clone()));
    let refused = boots
        .iter()
        .filter_map(|hash| boot_of(hash))
        .find_map(|boot| check_mixed(boot, new).err());
    let Some(refused) = refused else {
        return Ok((new.clone(), None));
    };
    if let Some(boot) = target.and_then(|revision| boot_of(&revision.boot_hash)) {
        check_mixed(boot, old)?;
    }
    Ok((old.clone(), Some(refused.summary())))
}

#[cfg(test)]
mod tests;
