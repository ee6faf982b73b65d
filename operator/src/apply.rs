//! Fourth step: children are written in a stated order, what is no longer wanted is deleted, and nothing that belongs
//! to somebody else is touched.
//!
//! Order: what pods mount or run as comes first (accounts, keys, configuration, addresses), then the limits on their
//! disruption, then NATS, and the nodes last, so that no pod starts without something it needs.

use std::{collections::BTreeSet, fmt::Debug};

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    context::FIELD_MANAGER,
    error::Error,
    fetch::Fetched,
    resources::{
        Built, ClaimGrowth, Resources,
        names::{CLUSTER_LABEL, Identity},
    },
    rollout::Revision,
};

/// An object with a child's name that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Kind and name.
    pub object: String,
    /// Who owns it, as far as it says so.
    pub owner: String,
}

/// What came of applying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Objects that were left alone.
    pub conflicts: Vec<Conflict>,
    /// Volume claims that could not grow, with the reason.
    pub claims_refused: Vec<String>,
}

/// Writes the children of one cluster.
pub struct Applier<'a> {
    client: &'a Client,
    identity: &'a Identity,
    outcome: Applied,
}

/// Whether an object that nobody owns may be taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Adoption {
    /// It may, if it carries the cluster's label: it was retained.
    Retained,
    /// It may not.
    Never,
}

impl<'a> Applier<'a> {
    /// An applier for one cluster.
    #[must_use]
    pub fn new(client: &'a Client, identity: &'a Identity) -> Self {
        Self {
            client,
            identity,
            outcome: Applied::default(),
        }
    }

    /// Applies every child in order. After a conflict among what pods need, pods are left alone.
    ///
    /// # Errors
    /// [`Error::Fetch`] or [`Error::Apply`]; what came before stays applied, retry.
    pub async fn apply(mut self, resources: Resources<Built>) -> Result<Resources<Applied>, Error> {
        let Resources {
            service_accounts,
            secrets,
            config_maps,
            services,
            disruption_budgets,
            stateful_sets,
            deployments,
            state: Built,
        } = resources;
        let mut applied = Resources {
            service_accounts: self.all(service_accounts, Adoption::Never).await?,
            secrets: self.secrets(secrets).await?,
            config_maps: self.all(config_maps, Adoption::Never).await?,
            services: self.all(services, Adoption::Never).await?,
            disruption_budgets: self.all(disruption_budgets, Adoption::Never).await?,
            ..Resources::<Applied>::default()
        };
        for set in &stateful_sets {
            self.check_claims(set).await?;
        }
        if self.outcome.conflicts.is_empty() {
            applied.stateful_sets = self.all(stateful_sets, Adoption::Never).await?;
            applied.deployments = self.all(deployments, Adoption::Never).await?;
        }
        applied.state = self.outcome;
        Ok(applied)
    }

    async fn secrets(&mut self, secrets: Vec<Secret>) -> Result<Vec<Secret>, Error> {
        let mut applied = Vec::new();
        for secret in secrets {
            let adoption = match secret.owner_references() {
                [] => Adoption::Retained,
                _ => Adoption::Never,
            };
            applied.extend(self.one(secret, adoption).await?);
        }
        Ok(applied)
    }

    async fn all<K>(&mut self, objects: Vec<K>, adoption: Adoption) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let mut applied = Vec::new();
        for object in objects {
            applied.extend(self.one(object, adoption).await?);
        }
        Ok(applied)
    }

    async fn one<K>(&mut self, object: K, adoption: Adoption) -> Result<Option<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let name = object.name_any();
        let what = format!("{}/{name}", K::kind(&()));
        if self.is_foreign(&api, &name, adoption).await? {
            return Ok(None);
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch(&name, &params, &Patch::Apply(&object)).await;
        Ok(Some(
            written.map_err(|source| Error::Apply { what, source })?,
        ))
    }

    /// Whether the object exists and is not ours; if so, it becomes a conflict.
    async fn is_foreign<K>(
        &mut self,
        api: &Api<K>,
        name: &str,
        adoption: Adoption,
    ) -> Result<bool, Error>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let object = format!("{}/{name}", K::kind(&()));
        let existing = api.get_metadata_opt(name).await;
        let existing = existing.map_err(|source| Error::Fetch {
            what: object.clone(),
            source,
        })?;
        let Some(existing) = existing else {
            return Ok(false);
        };
        let metadata = &existing.metadata;
        if self.identity.owns(metadata)
            || adoption == Adoption::Retained && self.identity.may_adopt(metadata)
        {
            return Ok(false);
        }
        let owners: Vec<String> = metadata
            .owner_references
            .iter()
            .flatten()
            .map(|owner| format!("{}/{}", owner.kind, owner.name))
            .collect();
        let owner = if owners.is_empty() {
            "no owner".to_owned()
        } else {
            owners.join(", ")
        };
        self.outcome.conflicts.push(Conflict { object, owner });
        Ok(true)
    }

    /// A new StatefulSet would silently take volume claims that carry its names.
    async fn check_claims(&mut self, set: &StatefulSet) -> Result<(), Error> {
        let Some(spec) = &set.spec else {
            return Ok(());
        };
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &self.identity.namespace);
        for template in spec.volume_claim_templates.iter().flatten() {
            for index in 0..spec.replicas.unwrap_or(0) {
                let name = format!("{}-{}-{index}", template.name_any(), set.name_any());
                self.is_foreign(&api, &name, Adoption::Retained).await?;
            }
        }
        Ok(())
    }
}

/// Lets volume claims grow. A refusal by the storage class is reported, not retried in vain.
///
/// # Errors
/// [`Error::Apply`] when the API server does not answer.
pub async fn grow_claims(
    client: &Client,
    identity: &Identity,
    growth: &[ClaimGrowth],
) -> Result<Vec<String>, Error> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &identity.namespace);
    let mut refused = Vec::new();
    for ClaimGrowth { claim, size } in growth {
        let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        match api
            .patch(claim, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => {
                refused.push(format!("{claim}: {}", status.message));
            }
            Err(source) => {
                return Err(Error::Apply {
                    what: format!("PersistentVolumeClaim/{claim}"),
                    source,
                });
            }
        }
    }
    Ok(refused)
}

/// Deletes children of ours that were not applied this time, over a fixed list of kinds. Boot ConfigMaps that a
/// ReplicaSet still names stay: a rollback needs them. Returns what was deleted.
///
/// # Errors
/// [`Error::Fetch`] or [`Error::Prune`]; retry.
pub async fn prune(
    client: &Client,
    identity: &Identity,
    applied: &Resources<Applied>,
    fetched: &Fetched,
) -> Result<Vec<String>, Error> {
    let Resources {
        service_accounts,
        // Generated keys are never deleted: somebody may still hold a token signed with them.
        secrets: _,
        config_maps,
        services,
        disruption_budgets,
        stateful_sets,
        deployments,
        state: _,
    } = applied;
    let mut kept_maps = names(config_maps);
    kept_maps.extend(
        fetched
            .replica_sets
            .iter()
            .filter_map(Revision::of_replica_set)
            .map(|revision| identity.boot(&revision.boot_hash)),
    );
    let pruner = Pruner { client, identity };
    let mut deleted = pruner.kind::<Deployment>(&names(deployments)).await?;
    deleted.extend(pruner.kind::<StatefulSet>(&names(stateful_sets)).await?);
    deleted.extend(
        pruner
            .kind::<PodDisruptionBudget>(&names(disruption_budgets))
            .await?,
    );
    deleted.extend(pruner.kind::<Service>(&names(services)).await?);
    deleted.extend(pruner.kind::<ConfigMap>(&kept_maps).await?);
    deleted.extend(
        pruner
            .kind::<ServiceAccount>(&names(service_accounts))
            .await?,
    );
    Ok(deleted)
}

fn names<K: Resource>(objects: &[K]) -> BTreeSet<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

struct Pruner<'a> {
    client: &'a Client,
    identity: &'a Identity,
}

impl Pruner<'_> {
    async fn kind<K>(&self, kept: &BTreeSet<String>) -> Result<Vec<String>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let ours = ListParams::default().labels(&format!("{CLUSTER_LABEL}={}", self.identity.name));
        let found = api.list_metadata(&ours).await;
        let found = found.map_err(|source| Error::Fetch {
            what: K::plural(&()).into_owned(),
            source,
        })?;
        let mut deleted = Vec::new();
        for object in found.items {
            let name = object.name_any();
            let ending = object.metadata.deletion_timestamp.is_some();
            if ending || kept.contains(&name) || !self.identity.owns(&object.metadata) {
                continue;
            }
            let params = DeleteParams {
                // Not an object of the same name that appeared meanwhile.
                preconditions: Some(Preconditions {
                    uid: object.metadata.uid.clone(),
                    resource_version: None,
                }),
                ..DeleteParams::background()
            };
            let what = format!("{}/{name}", K::kind(&()));
            match api.delete(&name, &params).await {
                Ok(_) => deleted.push(what),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(source) => return Err(Error::Prune { what, source }),
            }
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests;
