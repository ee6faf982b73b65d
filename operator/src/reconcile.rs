//! One look at one cluster: fetch → validate → plan and build → apply → status. No state is kept between two looks.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::{controller::Action, reflector::ObjectRef},
};
use serde_json::json;

use crate::{
    api::{
        RealtimeCluster,
        status::{Pending, RealtimeClusterStatus},
    },
    apply::{Applied, Applier, grow_claims, prune},
    conditions::{ConditionType, Finding},
    context::{Context, FIELD_MANAGER, Note},
    error::Error,
    fetch::{Fetched, fetch},
    nodes::Node,
    reminder::reminder,
    resources::{
        NewKeys, Resources, build, claim_growth,
        names::{Identity, LIVE_ANNOTATION},
    },
    rollout::{Plan, plan},
    status::{self, Observation, Verdict, is_settled},
    validate::{Broker, Invalid, ValidatedCluster, identity, validate},
};

/// One look at one cluster.
///
/// # Errors
/// [`Error`] when the API server refused or did not answer; retried by the controller's error policy.
pub async fn reconcile(cluster: Arc<RealtimeCluster>, ctx: Arc<Context>) -> Result<Action, Error> {
    let reference = ObjectRef::from_obj(cluster.as_ref());
    if cluster.metadata.deletion_timestamp.is_some() {
        // Kubernetes deletes what has the cluster as its owner; the rest is retained on purpose.
        ctx.succeeded(&reference);
        ctx.metrics.forget(&reference);
        return Ok(Action::await_change());
    }
    let identity = identity(&cluster)?;
    let fetched = Box::pin(fetch(&ctx.client, &identity, &cluster.spec.auth)).await?;
    let missing = fetched.missing(&cluster.spec.auth);
    let known = cluster
        .status
        .as_ref()
        .and_then(|status| status.rollback.as_ref());
    let decided = validate(&cluster, &identity, &ctx.images).and_then(|valid| {
        plan(&valid, &fetched, !missing.is_empty(), known).map(|plan| (valid, plan))
    });
    let children = match &decided {
        Ok((valid, plan)) if !cluster.spec.operation.paused => {
            Box::pin(apply(&ctx, valid, plan, &fetched)).await?
        }
        Ok(_) | Err(_) => Children::untouched(&fetched),
    };
    let token = fetched.node_status_token(&identity);
    let nodes = ctx.nodes.survey(&fetched.pods, token.as_deref()).await;
    let now = Timestamp::now();
    let observation = Observation {
        now: now.as_second(),
        verdict: match &decided {
            Ok((cluster, plan)) => Verdict::Planned { cluster, plan },
            Err(invalid) => Verdict::Refused(invalid),
        },
        replicas: cluster.spec.replicas,
        paused: cluster.spec.operation.paused,
        deployment: children.deployment.as_ref(),
        nats: children.nats.as_ref(),
        nodes: &nodes,
        applied: &children.applied,
        missing: &missing,
    };
    if let (Ok((valid, plan)), false) = (&decided, cluster.spec.operation.paused)
        && plan.live_held.is_none()
    {
        tell_nodes(&ctx, &identity, valid, &nodes, now.as_second()).await?;
    }
    let new = observation.status(&cluster, &identity, now);
    announce(&ctx, &cluster, decided.as_ref().map(|(_, plan)| plan), &new).await;
    status::write(&ctx.client, &identity, &cluster, &new).await?;
    let findings = observation.findings();
    ctx.metrics.show_conditions(&reference, &findings);
    ctx.succeeded(&reference);
    Ok(Action::requeue(next_look(&observation, &findings)))
}

/// The children whose own status counts.
#[derive(Default)]
struct Children {
    deployment: Option<Deployment>,
    nats: Option<StatefulSet>,
    applied: Applied,
}

impl Children {
    fn untouched(fetched: &Fetched) -> Self {
        Self {
            deployment: fetched.deployment.clone(),
            nats: fetched.nats.clone(),
            applied: Applied::default(),
        }
    }
}

async fn apply(
    ctx: &Context,
    valid: &ValidatedCluster,
    plan: &Plan,
    fetched: &Fetched,
) -> Result<Children, Error> {
    let identity = &valid.identity;
    let built = build(valid, plan, fetched, &NewKeys::random())?;
    let mut applied = Applier::new(&ctx.client, identity).apply(built).await?;
    if let Broker::Nats(nats) = &valid.broker {
        let growth = claim_growth(identity, nats, &fetched.claims);
        applied.state.claims_refused = grow_claims(&ctx.client, identity, &growth).await?;
    }
    // While old nodes run they still need what they were started with, an old broker for instance.
    if applied.state.conflicts.is_empty() && applied.deployments.iter().any(is_settled) {
        for deleted in prune(&ctx.client, identity, &applied, fetched).await? {
            tracing::info!(child = deleted, "deleted a child that is no longer wanted");
        }
    }
    let Resources {
        mut stateful_sets,
        mut deployments,
        state,
        ..
    } = applied;
    Ok(Children {
        // A child that was left alone shows itself as it was read.
        deployment: deployments.pop().or_else(|| fetched.deployment.clone()),
        nats: stateful_sets.pop().or_else(|| fetched.nats.clone()),
        applied: state,
    })
}

/// The kubelet brings a changed ConfigMap after up to a minute; a changed pod makes it look at once. It may still see
/// the old content then, so nodes are told again until they show the new hash, ever less often.
async fn tell_nodes(
    ctx: &Context,
    identity: &Identity,
    valid: &ValidatedCluster,
    nodes: &[Node],
    now: i64,
) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &identity.namespace);
    for (node, value) in nodes
        .iter()
        .filter_map(|node| Some((node, reminder(node, &valid.config.live_hash, now)?)))
    {
        let patch = json!({"metadata": {"annotations": {LIVE_ANNOTATION: value}}});
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match pods
            .patch_metadata(&node.pod, &params, &Patch::Merge(&patch))
            .await
        {
            Ok(_) => {}
            // The pod ended meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => {
                return Err(Error::Apply {
                    what: format!("Pod/{}", node.pod),
                    source,
                });
            }
        }
    }
    Ok(())
}

/// Publishes in words what changed: a refused spec, a rollback, what is missing or lost, and becoming ready.
async fn announce(
    ctx: &Context,
    cluster: &RealtimeCluster,
    decided: Result<&Plan, &Invalid>,
    new: &RealtimeClusterStatus,
) {
    let known = cluster.status.as_ref();
    let mut notes = Vec::new();
    match decided {
        Err(invalid) if says_otherwise(known, new, "ConfigValid") => {
            notes.extend(invalid.0.iter().take(EVENTS_MAX).map(|problem| {
                Note::warning(
                    "ConfigInvalid",
                    "Validate",
                    format!("{}: {}", problem.path, problem.message),
                )
            }));
        }
        Ok(plan) if plan.rolls_back(known.and_then(|status| status.rollback.as_ref())) => {
            let text = "new nodes did not get ready in time; the previous ones come back";
            notes.push(Note::warning("RolledBack", "Rollback", text));
        }
        Ok(_) | Err(_) => {}
    }
    for found in &new.conditions {
        let kind = found.type_.as_str();
        let reason = match (kind, found.status.as_str(), found.reason.as_str()) {
            ("ResourceConflict", "True", _) => "ResourceConflict",
            ("KeysReady", "False", _) => "SecretMissing",
            ("ConfigValid", _, "UnknownOptions") => "UnknownOptions",
            ("Degraded", _, "HistoryUnavailable") => "HistoryUnavailable",
            _ => continue,
        };
        if says_otherwise(known, new, kind) {
            notes.push(Note::warning(reason, "Reconcile", found.message.clone()));
        }
    }
    let moved = |kind: &str, to: &str| {
        let before = shown(known, kind).map(|condition| condition.status.as_str());
        shown(Some(new), kind).filter(|condition| condition.status == to && before != Some(to))
    };
    // A broker that is not up yet is no news; one that was up is.
    let was_up = shown(known, "BrokerReady").is_some_and(|condition| condition.status == "True");
    if let Some(broker) = moved("BrokerReady", "False").filter(|_| was_up) {
        notes.push(Note::warning(
            "BrokerLost",
            "Reconcile",
            broker.message.clone(),
        ));
    }
    if let Some(ready) = moved("Ready", "True") {
        notes.push(Note::normal("Ready", "Reconcile", ready.message.clone()));
    }
    for note in notes {
        ctx.publish(cluster, note).await;
    }
}

/// Events of one look at most, where a spec has many faults; the status counts them all.
const EVENTS_MAX: usize = 5;

fn shown<'a>(status: Option<&'a RealtimeClusterStatus>, kind: &str) -> Option<&'a Condition> {
    status?
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
}

/// Whether a condition has another value or another explanation than the object shows.
fn says_otherwise(
    known: Option<&RealtimeClusterStatus>,
    new: &RealtimeClusterStatus,
    kind: &str,
) -> bool {
    let text =
        |status| shown(status, kind).map(|condition| (&condition.status, &condition.message));
    text(known) != text(Some(new))
}

/// When to look again if no watch reports anything: soon while nodes are expected to say something else, since only
/// asking tells; late when nothing is expected, in case a change was missed, or no longer, when only nodes are awaited
/// that a minute of reminders did not move.
fn next_look(observation: &Observation<'_>, findings: &[Finding]) -> Duration {
    let bad = |kind| {
        findings
            .iter()
            .any(|finding| finding.kind == kind && !finding.is_good())
    };
    let seconds = match &observation.verdict {
        Verdict::Planned { cluster, plan } if plan.rollback.is_none() && !observation.paused => {
            let reloading = observation.pending(cluster) == Pending::Live;
            let overdue = reloading && observation.is_overdue(cluster);
            if reloading && !overdue {
                1.0
            } else if bad(ConditionType::BrokerReady)
                || bad(ConditionType::ConfigApplied) && !overdue
            {
                2.0
            } else if !observation.settled() {
                5.0
            } else {
                60.0
            }
        }
        Verdict::Planned { .. } | Verdict::Refused(_) => 60.0,
    };
    Duration::from_secs_f64(seconds * (1.0 + rand::random::<f64>() / 5.0))
}

#[cfg(test)]
mod tests;
