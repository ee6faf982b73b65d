//! Conditions: their names, and the merge that moves `lastTransitionTime` only when the status moves.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// An aspect of a cluster's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// The spec is fully applied and serving.
    Ready,
    /// Enough nodes serve.
    Available,
    /// A roll is moving, or none is needed.
    Progressing,
    /// Something works worse than asked; True is bad.
    Degraded,
    /// The edge would accept the configuration.
    ConfigValid,
    /// All nodes report the wanted configuration.
    ConfigApplied,
    /// Nodes and message broker are connected.
    BrokerReady,
    /// Every key exists.
    KeysReady,
    /// An object with a child's name belongs to somebody else; True is bad.
    ResourceConflict,
}

impl ConditionType {
    /// All of them, in the order of the status.
    pub const ALL: [Self; 9] = [
        Self::Ready,
        Self::Available,
        Self::Progressing,
        Self::Degraded,
        Self::ConfigValid,
        Self::ConfigApplied,
        Self::BrokerReady,
        Self::KeysReady,
        Self::ResourceConflict,
    ];

    /// The name in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::ConfigValid => "ConfigValid",
            Self::ConfigApplied => "ConfigApplied",
            Self::BrokerReady => "BrokerReady",
            Self::KeysReady => "KeysReady",
            Self::ResourceConflict => "ResourceConflict",
        }
    }

    /// Whether True is the bad value.
    #[must_use]
    pub fn true_is_bad(self) -> bool {
        matches!(self, Self::Degraded | Self::ResourceConflict)
    }
}

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

impl Verdict {
    /// The word in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition as decided now, without its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The aspect.
    pub kind: ConditionType,
    /// Its value.
    pub verdict: Verdict,
    /// Stable word for programs.
    pub reason: &'static str,
    /// Explanation for people.
    pub message: String,
}

impl Finding {
    /// A condition that holds.
    pub fn yes(kind: ConditionType, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            verdict: Verdict::True,
            reason,
            message: message.into(),
        }
    }

    /// A condition that does not hold.
    pub fn no(kind: ConditionType, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            verdict: Verdict::False,
            reason,
            message: message.into(),
        }
    }

    /// A condition that cannot be told.
    pub fn unknown(kind: ConditionType, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            verdict: Verdict::Unknown,
            reason,
            message: message.into(),
        }
    }

    /// Whether this is the value a healthy cluster has.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let good = if self.kind.true_is_bad() {
            Verdict::False
        } else {
            Verdict::True
        };
        self.verdict == good
    }
}

/// Longest message of a condition, in characters; the API server accepts 32768.
const MESSAGE_CHARS_MAX: usize = 2048;

/// The findings as conditions: an unchanged status keeps the time of its last transition.
#[must_use]
pub fn merge(
    previous: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .iter()
        .map(|finding| {
            let since = previous
                .iter()
                .find(|old| {
                    old.type_ == finding.kind.as_str() && old.status == finding.verdict.as_str()
                })
                .map_or(Time(now), |old| old.last_transition_time.clone());
            Condition {
                type_: finding.kind.as_str().to_owned(),
                status: finding.verdict.as_str().to_owned(),
                reason: finding.reason.to_owned(),
                message: finding.message.chars().take(MESSAGE_CHARS_MAX).collect(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn transition_time_moves_only_when_the_status_moves() {
        let first = merge(
            &[],
            &[Finding::no(ConditionType::Ready, "Starting", "0/2")],
            Some(1),
            at(10),
        );
        let same = merge(
            &first,
            &[Finding::no(ConditionType::Ready, "Waiting", "1/2")],
            Some(2),
            at(20),
        );
        assert_eq!(same[0].last_transition_time.0, at(10));
        assert_eq!(
            (same[0].reason.as_str(), same[0].message.as_str()),
            ("Waiting", "1/2")
        );
        assert_eq!(same[0].observed_generation, Some(2));
        let moved = merge(
            &same,
            &[Finding::yes(ConditionType::Ready, "Ready", "2/2")],
            Some(2),
            at(30),
        );
        assert_eq!(moved[0].last_transition_time.0, at(30));
    }

    #[test]
    fn degraded_and_resource_conflict_are_good_when_false() {
        assert!(Finding::no(ConditionType::Degraded, "AsExpected", "").is_good());
        assert!(!Finding::yes(ConditionType::ResourceConflict, "NotOurs", "").is_good());
        assert!(!Finding::unknown(ConditionType::Degraded, "Unknown", "").is_good());
        assert!(Finding::yes(ConditionType::Available, "NodesServe", "").is_good());
    }
}
