//! Reminders of new live options: an annotation of the pod, which makes the kubelet refresh its files.
//!
//! The annotation is all that is remembered between two looks: the hash that the node was told of, when it was first
//! told of it, and when last. A node that never shows the hash is thus reminded ever less often, also after a restart
//! of the operator.

use crate::nodes::Node;

/// Seconds for which a node is reminded often.
pub const PROMPT_SECONDS: i64 = 60;
/// Seconds between two reminders in that time.
const OFTEN_SECONDS: i64 = 2;
/// Seconds between two reminders afterwards.
pub const SELDOM_SECONDS: i64 = 60;

/// When a node was told of a hash, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    first: i64,
    last: i64,
}

impl Told {
    /// What the annotation says about this hash; nothing if the node was told of another one.
    fn of(node: &Node, live_hash: &str) -> Option<Self> {
        let times = node.told.as_deref()?.strip_prefix(live_hash)?;
        let (first, last) = times.strip_prefix('.')?.split_once('.')?;
        Some(Self {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        })
    }

    fn is_overdue(self, now: i64) -> bool {
        now.saturating_sub(self.first) >= PROMPT_SECONDS
    }
}

/// The value that the annotation must get now: nothing if the node shows the hash or was told of it just now.
#[must_use]
pub fn reminder(node: &Node, live_hash: &str, now: i64) -> Option<String> {
    if !is_behind(node, live_hash) {
        return None;
    }
    let told = Told::of(node, live_hash);
    if let Some(told) = told {
        let pause = if told.is_overdue(now) {
            SELDOM_SECONDS
        } else {
            OFTEN_SECONDS
        };
        if now.saturating_sub(told.last) < pause {
            return None;
        }
    }
    let first = told.map_or(now, |told| told.first);
    Some(format!("{live_hash}.{first}.{now}"))
}

/// Whether a node that answers runs other live options. One that is ending is left alone.
#[must_use]
pub fn is_behind(node: &Node, live_hash: &str) -> bool {
    node.report
        .as_ref()
        .is_ok_and(|report| report.live_hash != live_hash && !report.draining)
}

/// Whether a node was first told of the hash a minute ago or more and still does not show it.
#[must_use]
pub fn is_overdue(node: &Node, live_hash: &str, now: i64) -> bool {
    is_behind(node, live_hash) && Told::of(node, live_hash).is_some_and(|told| told.is_overdue(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::NodeReport;

    fn node(told: Option<&str>, live: &str) -> Node {
        Node {
            pod: "blue-a".to_owned(),
            ready: true,
            told: told.map(str::to_owned),
            report: Ok(NodeReport {
                live_hash: live.to_owned(),
                ..NodeReport::default()
            }),
        }
    }

    #[test]
    fn a_node_is_told_once_and_reminded_every_two_seconds_in_the_first_minute() {
        let value = |told, live| reminder(&node(told, live), "new", 100);
        assert_eq!(value(None, "old").as_deref(), Some("new.100.100"));
        assert_eq!(value(None, "new"), None);
        assert_eq!(value(Some("new.90.99"), "old"), None);
        assert_eq!(
            value(Some("new.90.98"), "old").as_deref(),
            Some("new.90.100")
        );
        assert_eq!(
            value(Some("older.90.99"), "old").as_deref(),
            Some("new.100.100"),
            "another change starts anew"
        );
        assert_eq!(
            value(Some("garbage"), "old").as_deref(),
            Some("new.100.100")
        );
    }

    #[test]
    fn a_node_that_never_shows_the_hash_is_reminded_every_minute() {
        let mut stubborn = node(None, "old");
        let mut reminders = Vec::new();
        for now in 0..600 {
            if let Some(value) = reminder(&stubborn, "new", now) {
                stubborn.told = Some(value);
                reminders.push(now);
            }
        }
        let (often, seldom): (Vec<i64>, Vec<i64>) =
            reminders.into_iter().partition(|now| *now < PROMPT_SECONDS);
        assert_eq!(often.len(), 30);
        assert_eq!(seldom, [118, 178, 238, 298, 358, 418, 478, 538, 598]);
    }

    #[test]
    fn a_node_is_overdue_a_minute_after_it_was_first_told() {
        let told = node(Some("new.40.99"), "old");
        assert!(!is_overdue(&told, "new", 99));
        assert!(is_overdue(&told, "new", 100));
        assert!(!is_overdue(&told, "newer", 100));
        assert!(!is_overdue(&node(Some("new.40.99"), "new"), "new", 100));
        assert!(!is_overdue(&node(None, "old"), "new", 100));
    }

    #[test]
    fn nodes_that_are_silent_or_ending_are_not_told() {
        let silent = Node {
            report: Err("no answer".to_owned()),
            ..node(None, "old")
        };
        assert_eq!(reminder(&silent, "new", 100), None);
        let mut ending = node(None, "old");
        ending.report.as_mut().unwrap().draining = true;
        assert_eq!(reminder(&ending, "new", 100), None);
    }
}
