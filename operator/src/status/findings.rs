//! Conditions, each decided from what was observed.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Observation, Verdict};
use crate::{
    api::status::Pending,
    conditions::{self, ConditionType, Finding},
    nodes::versions,
    reminder::{PROMPT_SECONDS, SELDOM_SECONDS},
    rollout::{deadline_exceeded, ready_servers},
    validate::Broker,
};

impl Observation<'_> {
    /// Every condition, the summary first.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let config_valid = self.config_valid();
        let keys_ready = self.keys_ready();
        let conflict = self.conflict();
        let broker_ready = self.broker_ready();
        let available = self.available();
        let progressing = self.progressing();
        let config_applied = self.config_applied();
        let degraded = self.degraded();
        let decisive = [
            &config_valid,
            &keys_ready,
            &conflict,
            &broker_ready,
            &available,
            &progressing,
            &config_applied,
        ];
        let ready = match decisive.into_iter().find(|finding| !finding.is_good()) {
            Some(first) => Finding {
                kind: ConditionType::Ready,
                verdict: not_ready(first),
                ..first.clone()
            },
            None if !self.settled() => {
                Finding::no(ConditionType::Ready, "RollPending", "a roll is under way")
            }
            None => Finding::yes(
                ConditionType::Ready,
                "Ready",
                format!("{}/{} nodes serve", self.ready_replicas(), self.replicas),
            ),
        };
        vec![
            ready,
            available,
            progressing,
            degraded,
            config_valid,
            config_applied,
            broker_ready,
            keys_ready,
            conflict,
        ]
    }

    fn config_valid(&self) -> Finding {
        match &self.verdict {
            Verdict::Refused(invalid) => {
                Finding::no(ConditionType::ConfigValid, "Invalid", invalid.summary())
            }
            Verdict::Planned { cluster, .. } if !cluster.warnings.is_empty() => Finding::yes(
                ConditionType::ConfigValid,
                "UnknownOptions",
                cluster.warnings.join("; "),
            ),
            Verdict::Planned { cluster, .. } if !cluster.without_effect.is_empty() => Finding::yes(
                ConditionType::ConfigValid,
                "OptionsWithoutEffect",
                format!(
                    "these options have no effect yet: {}",
                    cluster.without_effect.join(", ")
                ),
            ),
            Verdict::Planned { .. } => Finding::yes(
                ConditionType::ConfigValid,
                "Accepted",
                "the edge accepts the configuration",
            ),
        }
    }

    fn keys_ready(&self) -> Finding {
        let missing: Vec<String> = self
            .missing
            .iter()
            .map(|reference| format!("Secret {} has no key {}", reference.name, reference.key))
            .collect();
        if missing.is_empty() {
            Finding::yes(ConditionType::KeysReady, "KeysPresent", "every key exists")
        } else {
            Finding::no(
                ConditionType::KeysReady,
                "SecretMissing",
                missing.join("; "),
            )
        }
    }

    fn conflict(&self) -> Finding {
        let conflicts: Vec<String> = self
            .applied
            .conflicts
            .iter()
            .map(|conflict| format!("{} belongs to {}", conflict.object, conflict.owner))
            .collect();
        if conflicts.is_empty() {
            Finding::no(
                ConditionType::ResourceConflict,
                "NoConflict",
                "every child is ours",
            )
        } else {
            Finding::yes(
                ConditionType::ResourceConflict,
                "NotOurs",
                conflicts.join("; "),
            )
        }
    }

    fn broker_ready(&self) -> Finding {
        let kind = ConditionType::BrokerReady;
        let servers = match &self.verdict {
            Verdict::Planned { cluster, .. } => match &cluster.broker {
                Broker::Memory => {
                    return Finding::yes(kind, "Memory", "a single node needs no broker");
                }
                Broker::Nats(nats) => nats.replicas,
            },
            // The broker of the last good spec goes on.
            Verdict::Refused(_) => match self.nats.and_then(|set| set.spec.as_ref()?.replicas) {
                Some(servers) => servers,
                None => return Finding::unknown(kind, "ConfigInvalid", "no broker is known"),
            },
        };
        let up = self.nats.map_or(0, ready_servers);
        if up < servers / 2 + 1 {
            let message = format!("{up} of {servers} NATS servers are ready");
            return Finding::no(kind, "NatsNotReady", message);
        }
        // A node that is starting may still be connecting; it counts only while none serves.
        let any_ready = self.nodes.iter().any(|node| node.ready);
        let cut_off: Vec<String> = self
            .reports()
            .filter(|(node, report)| (node.ready || !any_ready) && !report.broker.connected)
            .map(|(node, report)| {
                format!(
                    "{}: {}",
                    node.pod,
                    report.broker.error.as_deref().unwrap_or("not connected")
                )
            })
            .collect();
        if !cut_off.is_empty() {
            return Finding::no(kind, "Unreachable", cut_off.join("; "));
        }
        if let Some(silent) = self.silent() {
            return Finding::unknown(kind, "NodeUnreachable", silent);
        }
        if self.replicas > 0 && self.reports().next().is_none() {
            return Finding::unknown(kind, "NoNodes", "no node is up to tell");
        }
        Finding::yes(
            kind,
            "Connected",
            format!("{up}/{servers} NATS servers, every node is connected"),
        )
    }

    fn available(&self) -> Finding {
        let available = self
            .deployment
            .and_then(|d| d.status.as_ref()?.available_replicas)
            .unwrap_or(0);
        let spec = self
            .deployment
            .and_then(|deployment| deployment.spec.as_ref());
        let strategy = spec.and_then(|spec| {
            spec.strategy
                .as_ref()?
                .rolling_update
                .as_ref()?
                .max_unavailable
                .as_ref()
        });
        let may_miss = strategy.map_or(0, |value| amount(value, self.replicas));
        let needed = (self.replicas - may_miss).max(self.replicas.min(1));
        let message = format!("{available} of {} nodes serve", self.replicas);
        if available >= needed {
            Finding::yes(ConditionType::Available, "NodesAvailable", message)
        } else {
            Finding::no(ConditionType::Available, "NodesUnavailable", message)
        }
    }

    fn progressing(&self) -> Finding {
        let kind = ConditionType::Progressing;
        if self.paused {
            return Finding::no(kind, "Paused", "spec.operation.paused is set");
        }
        if let Verdict::Planned { plan, .. } = &self.verdict {
            if let Some(rollback) = &plan.rollback {
                let message = format!(
                    "nodes with image {} and configuration {} did not get ready; the previous ones came back",
                    rollback.image, rollback.boot_hash
                );
                return Finding::no(kind, "ProgressDeadlineExceeded", message);
            }
            if let Some(frozen) = plan.frozen {
                return Finding::no(
                    kind,
                    frozen.reason(),
                    "new nodes wait until what they need is there",
                );
            }
        }
        if self.deployment.is_some_and(deadline_exceeded) {
            return Finding::no(
                kind,
                "ProgressDeadlineExceeded",
                "new nodes did not get ready in time",
            );
        }
        if self.settled() {
            Finding::yes(kind, "Settled", "no roll is needed")
        } else {
            Finding::yes(kind, "Rolling", "a roll is moving")
        }
    }

    fn config_applied(&self) -> Finding {
        let kind = ConditionType::ConfigApplied;
        let Verdict::Planned { cluster, plan } = &self.verdict else {
            return Finding::no(kind, "ConfigInvalid", "the previous configuration stays");
        };
        let applied = self.applied_nodes(cluster);
        let message = format!(
            "{applied} of {} nodes run the wanted configuration",
            self.nodes.len()
        );
        if plan.rollback.is_some() {
            return Finding::no(kind, "RolledBack", message);
        }
        if let Some(silent) = self.silent() {
            return Finding::unknown(kind, "NodeUnreachable", silent);
        }
        match self.pending(cluster) {
            Pending::None => Finding::yes(kind, "Applied", message),
            Pending::Live => match overdue(&self.overdue(cluster)) {
                Some(overdue) => {
                    Finding::no(kind, "ReloadOverdue", format!("{message}; {overdue}"))
                }
                None => Finding::no(kind, "Reloading", message),
            },
            Pending::Boot => {
                let held = plan
                    .live_held
                    .as_ref()
                    .map(|why| format!("; live options wait for the roll: {why}"));
                Finding::no(kind, "RollPending", message + &held.unwrap_or_default())
            }
        }
    }

    fn degraded(&self) -> Finding {
        let kind = ConditionType::Degraded;
        if let Verdict::Planned { cluster, plan } = &self.verdict {
            if plan.rollback.is_some() {
                return Finding::yes(
                    kind,
                    "RolledBack",
                    "the wanted revision failed; the previous one runs",
                );
            }
            if let Broker::Nats(nats) = &cluster.broker {
                let up = self.nats.map_or(0, ready_servers);
                if up < nats.replicas {
                    return Finding::yes(
                        kind,
                        "NatsServersMissing",
                        format!("{up} of {} NATS servers are ready", nats.replicas),
                    );
                }
            }
            if !cluster.without_history.is_empty() {
                let namespaces = cluster.without_history.join(", ");
                return Finding::yes(
                    kind,
                    "HistoryUnavailable",
                    format!(
                        "history and recovery need spec.broker.memory so far, not NATS; without them are: {namespaces}"
                    ),
                );
            }
            if let Some(overdue) = overdue(&self.overdue(cluster)) {
                return Finding::yes(kind, "ReloadOverdue", overdue);
            }
        }
        if !self.applied.claims_refused.is_empty() {
            return Finding::yes(
                kind,
                "StorageNotExpanded",
                self.applied.claims_refused.join("; "),
            );
        }
        if self.settled() && versions(self.nodes).len() > 1 {
            return Finding::yes(kind, "MixedVersions", "nodes report different versions");
        }
        Finding::no(kind, "AsExpected", "nothing works worse than asked")
    }
}

fn overdue(nodes: &[&str]) -> Option<String> {
    (!nodes.is_empty()).then(|| {
        format!(
            "not loaded {PROMPT_SECONDS} s after the change, reminded every {SELDOM_SECONDS} s: {}",
            nodes.join(", ")
        )
    })
}

fn not_ready(first: &Finding) -> conditions::Verdict {
    match first.verdict {
        conditions::Verdict::Unknown => conditions::Verdict::Unknown,
        conditions::Verdict::True | conditions::Verdict::False => conditions::Verdict::False,
    }
}

/// A number, or a percentage rounded down as Kubernetes does for maxUnavailable.
pub(super) fn amount(value: &IntOrString, of: i32) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i32 = text.trim_end_matches('%').parse().unwrap_or(0);
            of.saturating_mul(percent) / 100
        }
    }
}
