//! What brokers with history keep to, and how the others refuse.

use tokio::time::{advance, pause};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn kept(size: usize) -> StreamOptions {
    StreamOptions {
        size,
        ttl: HOUR,
        meta_ttl: 3 * HOUR,
    }
}

fn into_stream(size: usize) -> PublishOptions {
    PublishOptions {
        stream: Some(kept(size)),
        ..PublishOptions::default()
    }
}

/// Everything after this offset, in any epoch.
fn after(offset: u64) -> HistoryFilter {
    HistoryFilter {
        since: Some(Position {
            offset,
            epoch: Arc::default(),
        }),
        ..HistoryFilter::default()
    }
}

fn offsets(page: &HistoryPage) -> Vec<u64> {
    let offsets = page.publications.iter().map(|it| it.publication.offset);
    offsets.collect()
}

impl Harness {
    async fn publish_as(&self, payload: &str, options: &PublishOptions) -> Outcome {
        let sent = publication(payload);
        self.broker.publish("a", sent, options).await.unwrap()
    }

    /// Publishes so many and returns where the stream stands.
    async fn fill(&self, count: usize, size: usize) -> Position {
        let mut position = Position::default();
        for payload in numbers(0..count) {
            let outcome = self.publish_as(&payload, &into_stream(size)).await;
            position = outcome.position;
        }
        position
    }

    async fn read(&self, filter: &HistoryFilter) -> HistoryPage {
        let page = self.broker.history("a", filter, kept(3)).await;
        page.unwrap()
    }

    /// Attaches shard 0 and reads what comes after a position.
    async fn attach_after(&self, since: HistoryFilter) -> Attached {
        let options = AttachOptions {
            stream: Some(kept(10_000)),
            positioned: true,
            read: Some(since),
        };
        self.broker.attach("a", 0, &options).await.unwrap()
    }

    /// Offset and predecessor of everything in the inbox of shard 0.
    fn taken(&self) -> Vec<(u64, u64)> {
        let mut queue = self.inbox(0).queue.lock().unwrap();
        let place = |delivery: Delivery| {
            let published = published(&delivery);
            (published.publication.offset, published.prev)
        };
        queue.drain(..).map(place).collect()
    }
}

pub(super) async fn a_stream_numbers_its_publications_and_keeps_the_newest(harness: Harness) {
    harness.attach("a", 0).await;
    let top = harness.fill(5, 3).await;
    assert_eq!(top.offset, 5);
    assert!(!top.epoch.is_empty());
    let page = harness.read(&HistoryFilter::default()).await;
    assert_eq!((offsets(&page), &page.top), (vec![3, 4, 5], &top));
    let payloads: Vec<&[u8]> = page
        .publications
        .iter()
        .map(|it| &*it.publication.data)
        .collect();
    assert_eq!(payloads, [b"2", b"3", b"4"]);
    assert!(page.publications.iter().all(|it| it.epoch == top.epoch));
    // Everybody was given the same numbers.
    assert_eq!(harness.taken(), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]);
    let newest = HistoryFilter {
        limit: Some(2),
        reverse: true,
        ..HistoryFilter::default()
    };
    assert_eq!(offsets(&harness.read(&newest).await), [5, 4]);
    let none = HistoryFilter {
        limit: Some(0),
        ..after(1)
    };
    assert!(harness.read(&none).await.publications.is_empty());
    let before_the_first = HistoryFilter {
        reverse: true,
        ..after(0)
    };
    let refused = harness
        .broker
        .history("a", &before_the_first, kept(3))
        .await;
    assert!(
        matches!(refused, Err(BrokerError::BadFilter)),
        "{refused:?}"
    );
    // What is published without a stream has no number and is not kept.
    let outcome = harness
        .publish_as("plain", &PublishOptions::default())
        .await;
    assert_eq!(outcome, Outcome::default());
    assert_eq!(harness.taken(), [(0, 0)]);
    assert_eq!(harness.read(&after(5)).await.top, top);
}

pub(super) async fn a_read_begins_a_stream_and_publications_go_on_from_it(harness: Harness) {
    let empty = harness.read(&HistoryFilter::default()).await;
    assert_eq!((offsets(&empty), empty.top.offset), (vec![], 0));
    let attached = harness.attach_after(after(0)).await;
    assert_eq!(attached.position, empty.top);
    assert!(attached.page.unwrap().complete, "nothing is missing");
    let first = harness.fill(1, 3).await;
    assert_eq!((first.offset, &first.epoch), (1, &empty.top.epoch));
    let other = harness
        .broker
        .history("b", &HistoryFilter::default(), kept(3))
        .await;
    assert_ne!(other.unwrap().top.epoch, first.epoch);
}

pub(super) async fn a_page_is_complete_exactly_if_it_reaches_the_top_without_a_gap(
    harness: Harness,
) {
    harness.fill(6, 3).await;
    // since, limit, what is read, whether the subscriber has everything then
    let rows: [(u64, Option<usize>, &[u64], bool); 7] = [
        (2, None, &[4, 5, 6], false),
        (3, None, &[4, 5, 6], true),
        (3, Some(3), &[4, 5, 6], true),
        (3, Some(2), &[4, 5], false),
        (5, Some(2), &[6], true),
        (6, None, &[], true),
        (7, None, &[], false),
    ];
    for (since, limit, expected, complete) in rows {
        let filter = HistoryFilter {
            limit,
            ..after(since)
        };
        let page = harness.attach_after(filter).await.page.unwrap();
        assert_eq!(
            (&*offsets(&page), page.complete),
            (expected, complete),
            "since {since}, limit {limit:?}"
        );
    }
}

pub(super) async fn another_epoch_is_refused_to_readers_and_incomplete_for_subscribers(
    harness: Harness,
) {
    let top = harness.fill(3, 3).await;
    let same = HistoryFilter {
        since: Some(top.clone()),
        ..HistoryFilter::default()
    };
    assert!(harness.attach_after(same).await.page.unwrap().complete);
    let other = HistoryFilter {
        since: Some(Position {
            epoch: Arc::from("other"),
            ..top.clone()
        }),
        ..HistoryFilter::default()
    };
    let refused = harness.broker.history("a", &other, kept(3)).await;
    assert!(
        matches!(refused, Err(BrokerError::UnknownEpoch)),
        "{refused:?}"
    );
    let attached = harness.attach_after(other).await;
    assert_eq!(attached.position, top, "it is attached nevertheless");
    let page = attached.page.unwrap();
    assert_eq!((offsets(&page), page.complete), (vec![], false));
}

pub(super) async fn expired_publications_go_and_the_numbers_go_on(harness: Harness) {
    pause();
    let top = harness.fill(3, 3).await;
    advance(HOUR - Duration::from_secs(1)).await;
    assert_eq!(offsets(&harness.read(&after(0)).await), [1, 2, 3]);
    // A publication keeps all of them alive.
    assert_eq!(harness.fill(1, 3).await.offset, 4);
    advance(HOUR - Duration::from_secs(1)).await;
    assert_eq!(offsets(&harness.read(&after(0)).await), [2, 3, 4]);
    advance(Duration::from_secs(1)).await;
    let page = harness.attach_after(after(3)).await.page.unwrap();
    assert_eq!((offsets(&page), page.complete), (vec![], false));
    assert!(harness.attach_after(after(4)).await.page.unwrap().complete);
    let next = harness.fill(1, 3).await;
    assert_eq!((next.offset, next.epoch), (5, top.epoch));
}

pub(super) async fn a_stream_that_nobody_uses_is_forgotten(harness: Harness) {
    pause();
    let top = harness.fill(3, 3).await;
    // Reading is use, and so is attaching.
    for _ in 0..2 {
        advance(2 * HOUR).await;
        assert_eq!(harness.read(&after(0)).await.top, top);
        advance(2 * HOUR).await;
        assert_eq!(harness.attach_after(after(3)).await.position, top);
    }
    advance(3 * HOUR).await;
    let attached = harness.attach_after(HistoryFilter {
        since: Some(top.clone()),
        ..HistoryFilter::default()
    });
    let attached = attached.await;
    assert_eq!(attached.position.offset, 0);
    assert_ne!(attached.position.epoch, top.epoch);
    assert!(!attached.page.unwrap().complete);
    let first = harness.fill(1, 3).await;
    assert_eq!(first.offset, 1);
    let event = harness.inbox(0).queue.lock().unwrap().pop_front().unwrap();
    assert_eq!(published(&event).publication.epoch, *first.epoch);
}

pub(super) async fn removed_publications_go_and_the_numbers_go_on(harness: Harness) {
    let top = harness.fill(3, 3).await;
    harness.broker.remove_history("a").await.unwrap();
    harness.broker.remove_history("never").await.unwrap();
    let page = harness.read(&after(0)).await;
    assert_eq!((offsets(&page), page.complete), (vec![], false));
    assert_eq!(page.top, top);
    let next = harness.fill(1, 3).await;
    assert_eq!((next.offset, &next.epoch), (4, &top.epoch));
    assert_eq!(offsets(&harness.read(&after(0)).await), [4]);
}

pub(super) async fn a_key_is_published_once_in_five_minutes(harness: Harness) {
    pause();
    harness.attach("a", 0).await;
    for stream in [Some(kept(10)), None] {
        let options = PublishOptions {
            stream,
            idempotency_key: format!("{}", stream.is_some()),
            ..PublishOptions::default()
        };
        let first = harness.publish_as("first", &options).await;
        assert_eq!(first.suppressed, None);
        advance(Duration::from_secs(299)).await;
        let again = harness.publish_as("again", &options).await;
        assert_eq!(again.suppressed, Some(Suppressed::Idempotency));
        assert_eq!(again.position, first.position);
        assert_eq!(harness.inbox(0).take().len(), 1);
        let other = harness
            .broker
            .publish("b", publication("elsewhere"), &options)
            .await;
        assert_eq!(other.unwrap().suppressed, None);
        advance(Duration::from_secs(1)).await;
        let later = harness.publish_as("later", &options).await;
        assert_eq!(later.suppressed, None);
        assert_eq!(harness.inbox(0).take().len(), 1);
    }
}

pub(super) async fn an_older_version_is_not_published(harness: Harness) {
    harness.attach("a", 0).await;
    let publish = async |version: u64, epoch: &str| {
        let options = PublishOptions {
            version,
            version_epoch: epoch.to_owned(),
            ..into_stream(10)
        };
        harness.publish_as("x", &options).await
    };
    let rows = [
        (3, "e", true),
        (3, "e", false),
        (2, "", false),
        (0, "e", true),
        (2, "f", true),
        (3, "", true),
    ];
    let mut top = 0;
    for (version, epoch, accepted) in rows {
        let outcome = publish(version, epoch).await;
        let suppressed = (!accepted).then_some(Suppressed::Version);
        assert_eq!(outcome.suppressed, suppressed, "{version} {epoch}");
        top += u64::from(accepted);
        assert_eq!(outcome.position.offset, top, "{version} {epoch}");
    }
    assert_eq!(harness.taken().len() as u64, top);
}

pub(super) async fn a_patch_is_offered_against_the_previous_publication_of_the_stream(
    harness: Harness,
) {
    harness.attach("a", 0).await;
    let delta = PublishOptions {
        delta: true,
        ..into_stream(1)
    };
    harness.publish_as("one", &delta).await;
    harness.publish_as("two", &delta).await;
    harness
        .publish_as("apart", &PublishOptions::default())
        .await;
    harness.publish_as("three", &delta).await;
    harness.publish_as("four", &into_stream(1)).await;
    harness.broker.remove_history("a").await.unwrap();
    harness.publish_as("five", &delta).await;
    let queue = std::mem::take(&mut *harness.inbox(0).queue.lock().unwrap());
    let bases: Vec<Option<&[u8]>> = queue
        .iter()
        .map(|it| published(it).base.as_deref())
        .collect();
    let expected: [Option<&[u8]>; 6] = [None, Some(b"one"), None, Some(b"two"), None, None];
    assert_eq!(bases, expected);
}

pub(super) async fn a_publication_that_is_refused_leaves_no_trace(harness: Harness) {
    harness.attach("a", 0).await;
    harness.fill(1, 10).await;
    harness.inbox(0).set_capacity(0);
    let options = PublishOptions {
        when_full: WhenFull::Refuse,
        idempotency_key: "key".to_owned(),
        version: 5,
        ..into_stream(10)
    };
    let refused = harness
        .broker
        .publish("a", publication("lost"), &options)
        .await;
    assert!(matches!(refused, Err(BrokerError::Full)), "{refused:?}");
    assert_eq!(harness.read(&after(0)).await.top.offset, 1);
    harness.inbox(0).set_capacity(10);
    harness.inbox(0).take();
    let again = harness.publish_as("kept", &options).await;
    assert_eq!((again.position.offset, again.suppressed), (2, None));
    assert_eq!(harness.taken(), [(2, 1)]);
}

pub(super) async fn page_and_inbox_have_no_gap_and_no_duplicate_while_others_publish(
    harness: Harness,
) {
    const PUBLISHERS: u64 = 4;
    const EACH: u64 = 400;
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let broker = Arc::clone(&harness.broker);
            std::thread::spawn(move || {
                for _ in 0..EACH {
                    let options = into_stream(10_000);
                    let sent = publication("x");
                    broker.publish_now("a", &sent, &options).unwrap().unwrap();
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    let mut has = 0;
    let mut attaches = 0;
    while has < PUBLISHERS * EACH {
        let attached = harness.attach_after(after(has)).await;
        attaches += 1;
        let page = attached.page.unwrap();
        assert!(page.complete);
        assert_eq!(page.top, attached.position);
        let read: Vec<u64> = (has + 1..=attached.position.offset).collect();
        assert_eq!(offsets(&page), read);
        has = attached.position.offset;
        std::thread::yield_now();
        harness.broker.detach("a", 0);
        for (offset, prev) in harness.taken() {
            assert_eq!((offset, prev), (has + 1, has));
            has = offset;
        }
    }
    for publisher in publishers {
        publisher.join().unwrap();
    }
    assert!(attaches > 1, "{attaches}");
    assert_eq!(harness.attach_after(after(has)).await.position.offset, has);
}

pub(super) async fn history_and_positions_are_refused(harness: Harness) {
    let broker = &harness.broker;
    let filter = HistoryFilter::default();
    let page = broker.history("a", &filter, kept(3)).await;
    assert!(matches!(page, Err(BrokerError::NoHistory)), "{page:?}");
    let removed = broker.remove_history("a").await;
    assert!(matches!(removed, Err(BrokerError::NoHistory)));
    let mut options = AttachOptions {
        stream: Some(kept(3)),
        positioned: true,
        read: None,
    };
    let attached = broker.attach("a", 0, &options).await;
    assert!(
        matches!(attached, Err(BrokerError::NoHistory)),
        "{attached:?}"
    );
    assert_eq!(broker.channels(), 0, "it is not attached");
    // A channel with history is a plain one here, as long as nobody relies on it.
    options.positioned = false;
    let attached = broker.attach("a", 0, &options).await.unwrap();
    assert_eq!(attached.position, Position::default());
    assert!(attached.page.is_none());
    let outcome = harness.publish_as("x", &into_stream(3)).await;
    assert_eq!(outcome, Outcome::default());
    assert_eq!(harness.inbox(0).next(1).await, ["x"]);
    assert_eq!(harness.taken(), []);
}
