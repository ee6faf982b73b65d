//! The results of publications with an idempotency key, for five minutes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::stream::Position;

/// How long a key is remembered.
const TTL: Duration = Duration::from_secs(300);

/// A channel and a key in it.
type Key = (Box<str>, Box<str>);

/// Remembered results. They all live equally long, so they expire in the order of their insertion.
#[derive(Debug, Default)]
pub(super) struct Results {
    by_key: HashMap<Arc<Key>, Position>,
    order: VecDeque<(Instant, Arc<Key>)>,
}

impl Results {
    /// The first result of this key in this channel.
    pub(super) fn get(&mut self, channel: &str, key: &str, now: Instant) -> Option<Position> {
        if key.is_empty() {
            return None;
        }
        self.expire(now);
        self.by_key
            .get(&(Box::from(channel), Box::from(key)))
            .cloned()
    }

    /// Remembers a result.
    pub(super) fn insert(&mut self, channel: &str, key: &str, position: Position, now: Instant) {
        let id = Arc::new((Box::from(channel), Box::from(key)));
        self.by_key.insert(Arc::clone(&id), position);
        self.order.push_back((now + TTL, id));
    }

    /// Forgets what is older than five minutes.
    pub(super) fn expire(&mut self, now: Instant) {
        while self
            .order
            .front()
            .is_some_and(|(expires, _)| *expires <= now)
        {
            if let Some((_, id)) = self.order.pop_front() {
                self.by_key.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_five_minutes_within_its_channel() {
        let start = Instant::now();
        let mut results = Results::default();
        let position = Position {
            offset: 3,
            epoch: Arc::from("e"),
        };
        results.insert("a", "k", position.clone(), start);
        let almost = start + TTL - Duration::from_millis(1);
        assert_eq!(results.get("a", "k", almost), Some(position));
        assert_eq!(results.get("b", "k", start), None);
        assert_eq!(results.get("a", "", start), None);
        assert_eq!(results.get("a", "k", start + TTL), None);
        assert!(results.by_key.is_empty() && results.order.is_empty());
    }
}
