//! One channel's stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use tidewire_protocol::Publication;
use tokio::time::Instant;

use crate::broker::BrokerError;
use crate::broker::event::Published;
use crate::broker::stream::{HistoryFilter, HistoryPage, Position, StreamOptions};

/// Publications with rising offsets, of one epoch.
#[derive(Debug)]
pub(super) struct Stream {
    epoch: Arc<str>,
    top: u64,
    kept: VecDeque<Arc<Published>>,
    version: u64,
    version_epoch: String,
    /// The publications are dropped then.
    clear_at: Option<Instant>,
    /// Offset and epoch are forgotten then.
    forget_at: Option<Instant>,
}

impl Stream {
    pub(super) fn new() -> Self {
        let letters = rand::rng()
            .sample_iter(Alphanumeric)
            .take(8)
            .map(char::from);
        Self {
            epoch: letters.collect::<String>().into(),
            top: 0,
            kept: VecDeque::new(),
            version: 0,
            version_epoch: String::new(),
            clear_at: None,
            forget_at: None,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            offset: self.top,
            epoch: Arc::clone(&self.epoch),
        }
    }

    /// Drops what has expired; false if the whole stream has.
    pub(super) fn live(&mut self, now: Instant) -> bool {
        if self.clear_at.is_some_and(|at| at <= now) {
            self.clear();
        }
        self.forget_at.is_none_or(|at| at > now)
    }

    /// Use keeps offset and epoch alive.
    pub(super) fn used(&mut self, now: Instant, meta_ttl: Duration) {
        self.forget_at = (!meta_ttl.is_zero()).then(|| now + meta_ttl);
    }

    pub(super) fn clear(&mut self) {
        self.kept = VecDeque::new();
        self.clear_at = None;
    }

    /// Whether a version is not newer than what was published.
    pub(super) fn has_version(&self, version: u64, epoch: &str) -> bool {
        version > 0 && (epoch.is_empty() || epoch == self.version_epoch) && version <= self.version
    }

    pub(super) fn set_version(&mut self, version: u64, epoch: &str) {
        if version > 0 {
            self.version = version;
            epoch.clone_into(&mut self.version_epoch);
        }
    }

    /// The publication as it would be appended now.
    pub(super) fn next(&self, publication: Publication, delta: bool) -> Published {
        let offset = self.top + 1;
        let base = self
            .kept
            .back()
            .filter(|_| delta)
            .map(|last| last.publication.data.clone());
        let epoch = if offset == 1 {
            self.epoch.to_string()
        } else {
            String::new()
        };
        Published {
            prev: self.top,
            epoch: Arc::clone(&self.epoch),
            base,
            publication: Publication {
                offset,
                epoch,
                ..publication
            },
        }
    }

    /// Appends what [`Stream::next`] gave.
    pub(super) fn append(
        &mut self,
        published: Arc<Published>,
        options: StreamOptions,
        now: Instant,
    ) {
        self.top = published.publication.offset;
        self.kept.push_back(published);
        while self.kept.len() > options.size {
            self.kept.pop_front();
        }
        self.clear_at = Some(now + options.ttl);
    }

    /// Reads part of the stream.
    pub(super) fn read(&self, filter: &HistoryFilter) -> Result<HistoryPage, BrokerError> {
        filter.check()?;
        let since = match &filter.since {
            Some(since) if !since.epoch.is_empty() && since.epoch != self.epoch => {
                return Err(BrokerError::UnknownEpoch);
            }
            Some(since) => Some(since.offset),
            None => None,
        };
        let limit = filter.limit.unwrap_or(usize::MAX);
        let offset = |published: &&Arc<Published>| published.publication.offset;
        let publications: Vec<Arc<Published>> = if filter.reverse {
            let before = |it: &&Arc<Published>| since.is_none_or(|since| offset(it) < since);
            self.kept
                .iter()
                .rev()
                .filter(before)
                .take(limit)
                .cloned()
                .collect()
        } else {
            let after = |it: &&Arc<Published>| since.is_none_or(|since| offset(it) > since);
            self.kept
                .iter()
                .filter(after)
                .take(limit)
                .cloned()
                .collect()
        };
        let complete = !filter.reverse && self.is_complete(since.unwrap_or(0), &publications);
        Ok(HistoryPage {
            publications,
            top: self.position(),
            complete,
        })
    }

    /// Whether `since` and what follows reach the top without a gap.
    fn is_complete(&self, since: u64, publications: &[Arc<Published>]) -> bool {
        match (publications.first(), publications.last()) {
            (Some(first), Some(last)) => first.prev == since && last.publication.offset == self.top,
            _ => since == self.top,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn options(size: usize) -> StreamOptions {
        StreamOptions {
            size,
            ttl: HOUR,
            meta_ttl: HOUR,
        }
    }

    fn filled(count: u64, size: usize) -> Stream {
        let mut stream = Stream::new();
        for number in 1..=count {
            let publication = Publication {
                data: number.to_string().into(),
                ..Publication::default()
            };
            let next = stream.next(publication, false);
            stream.append(Arc::new(next), options(size), Instant::now());
        }
        stream
    }

    fn offsets(page: &HistoryPage) -> Vec<u64> {
        page.publications
            .iter()
            .map(|it| it.publication.offset)
            .collect()
    }

    proptest! {
        #[test]
        fn reading_agrees_with_a_naive_model(
            count in 0..20_u64,
            size in 1..12_usize,
            since in prop::option::of(0..25_u64),
            limit in prop::option::of(0..8_usize),
            reverse in any::<bool>(),
        ) {
            let stream = filled(count, size);
            let kept: Vec<u64> = (1..=count).rev().take(size).collect::<Vec<_>>().into_iter().rev().collect();
            let filter = HistoryFilter {
                since: since.map(|offset| Position { offset, ..Position::default() }),
                limit,
                reverse,
            };
            let page = stream.read(&filter);
            if reverse && since == Some(0) {
                prop_assert!(matches!(page, Err(BrokerError::BadFilter)));
                return Ok(());
            }
            let page = page.unwrap();
            let mut expected: Vec<u64> = kept
                .into_iter()
                .filter(|offset| since.is_none_or(|since| if reverse { *offset < since } else { *offset > since }))
                .collect();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit.unwrap_or(usize::MAX));
            prop_assert_eq!(offsets(&page), &expected[..]);
            prop_assert_eq!(page.top.offset, count);
            // Complete means: the client has everything up to `since`, and now everything.
            let has: Vec<u64> = (1..=since.unwrap_or(0)).chain(expected).collect();
            let everything: Vec<u64> = (1..=count).collect();
            prop_assert_eq!(page.complete, !reverse && has == everything);
        }
    }

    #[test]
    fn another_epoch_is_refused_and_an_empty_one_is_any() {
        let stream = filled(3, 10);
        let since = |epoch: &str| HistoryFilter {
            since: Some(Position {
                offset: 1,
                epoch: Arc::from(epoch),
            }),
            ..HistoryFilter::default()
        };
        assert!(matches!(
            stream.read(&since("other")),
            Err(BrokerError::UnknownEpoch)
        ));
        assert_eq!(offsets(&stream.read(&since("")).unwrap()), [2, 3]);
        assert_eq!(
            offsets(&stream.read(&since(&stream.epoch)).unwrap()),
            [2, 3]
        );
    }

    #[test]
    fn expired_publications_go_and_the_position_stays_until_it_expires_too() {
        let mut stream = filled(3, 10);
        let now = Instant::now();
        stream.used(now, 2 * HOUR);
        assert!(stream.live(now + HOUR + Duration::from_secs(1)));
        assert_eq!(
            stream
                .read(&HistoryFilter::default())
                .unwrap()
                .publications
                .len(),
            0
        );
        assert_eq!(stream.position().offset, 3);
        assert!(!stream.live(now + 2 * HOUR));
    }

    #[test]
    fn only_the_first_publication_carries_the_epoch() {
        let stream = filled(2, 10);
        let epochs: Vec<_> = stream
            .kept
            .iter()
            .map(|it| it.publication.epoch.clone())
            .collect();
        assert_eq!(epochs, [stream.epoch.to_string(), String::new()]);
    }

    #[test]
    fn versions_count_within_their_epoch() {
        let mut stream = filled(0, 10);
        stream.set_version(5, "a");
        assert!(stream.has_version(5, "a") && stream.has_version(4, ""));
        assert!(
            !stream.has_version(6, "a")
                && !stream.has_version(5, "b")
                && !stream.has_version(0, "a")
        );
    }
}
