//! What a subscribe says about the past: every row of client-protocol section 10.

use tidewire_protocol::FilterNode;

use super::*;
use crate::broker::Published;

const TOP: u64 = 7;

/// Where the stream stands in these tests.
fn top() -> Position {
    Position {
        offset: TOP,
        epoch: "e".into(),
    }
}

/// A page of publications with these offsets; odd ones are tagged so.
fn page(offsets: &[u64], complete: bool) -> HistoryPage {
    let published = |offset: &u64| {
        let tags = if offset.is_multiple_of(2) {
            BTreeMap::new()
        } else {
            [("odd".to_owned(), "1".to_owned())].into()
        };
        Arc::new(Published {
            publication: Publication {
                offset: *offset,
                data: format!("{{\"text\":\"{}\",\"n\":{offset}}}", "x".repeat(50)).into(),
                tags,
                ..Publication::default()
            },
            ..Published::default()
        })
    };
    HistoryPage {
        publications: offsets.iter().map(published).collect(),
        top: top(),
        complete,
    }
}

/// A stream with what the broker finds in it.
fn found(page: Option<HistoryPage>) -> Option<Attached> {
    Some(Attached {
        position: top(),
        page,
    })
}

/// A client in a channel of this recovery mode.
fn client(options: Value) -> Client {
    let mut all = json!({"allow_subscribe_for_client": true, "history_size": 10, "history_ttl": "60s",
        "allow_tags_filter": true, "allowed_delta_types": ["fossil"], "force_recovery": true});
    tidewire_config::merge(&mut all, options);
    let recovery = json!({"recovery_max_publication_limit": 5});
    Client::connected(
        &json!({"client": recovery, "channel": {"without_namespace": all}}),
        "42",
    )
}

fn since(offset: u64, epoch: &str) -> SubscribeRequest {
    SubscribeRequest {
        channel: "a".to_owned(),
        recover: true,
        offset,
        epoch: epoch.to_owned(),
        ..SubscribeRequest::default()
    }
}

fn odd() -> Option<Box<FilterNode>> {
    Some(Box::new(FilterNode {
        key: "odd".to_owned(),
        cmp: "ex".to_owned(),
        ..FilterNode::default()
    }))
}

/// `was_recovering`, `recovered`, offset, and the offsets of the publications of the reply.
type Told<'a> = (bool, bool, u64, &'a [u64]);

#[test]
fn every_outcome_of_recovery_is_told_as_the_contract_says() {
    let (stream, cache) = (json!({}), json!({"force_recovery_mode": "cache"}));
    let automatic = json!({"force_recovery_mode": "cache", "auto_cache_recover": true});
    let simple = SubscribeRequest {
        channel: "a".to_owned(),
        ..SubscribeRequest::default()
    };
    let filtered = SubscribeRequest {
        tf: odd(),
        ..since(4, "e")
    };
    #[rustfmt::skip]
    let rows: Vec<(&str, &Value, SubscribeRequest, Option<HistoryPage>, Told<'_>)> = vec![
        ("not asked", &stream, simple.clone(), None, (false, false, TOP, &[])),
        ("cache, not asked", &cache, simple.clone(), None, (false, false, TOP, &[])),
        ("continuous", &stream, since(5, "e"), Some(page(&[6, 7], true)), (true, true, 5, &[6, 7])),
        ("any epoch", &stream, since(5, ""), Some(page(&[6, 7], true)), (true, true, 5, &[6, 7])),
        ("from the start", &stream, since(0, ""), Some(page(&[1, 2, 3, 4, 5, 6, 7], true)),
            (true, true, 0, &[1, 2, 3, 4, 5, 6, 7])),
        ("at the top", &stream, since(TOP, "e"), Some(page(&[], true)), (true, true, TOP, &[])),
        ("a gap", &stream, since(3, "e"), Some(page(&[6, 7], false)), (true, false, TOP, &[])),
        ("more than the limit", &stream, since(1, "e"), Some(page(&[2, 3, 4, 5, 6], false)), (true, false, TOP, &[])),
        ("another epoch", &stream, since(TOP, "f"), Some(page(&[], false)), (true, false, TOP, &[])),
        ("another epoch, whatever the broker says", &stream, since(5, "f"), Some(page(&[6, 7], true)),
            (true, false, TOP, &[])),
        ("the broker read nothing", &stream, since(TOP, "e"), None, (true, false, TOP, &[])),
        ("only what the filter lets through", &stream, filtered.clone(), Some(page(&[5, 6, 7], true)),
            (true, true, 4, &[5, 7])),
        ("cache, a newer one", &cache, since(3, "e"), Some(page(&[7], false)), (true, true, 3, &[7])),
        ("cache, another epoch", &cache, since(3, "f"), Some(page(&[7], false)), (true, true, 3, &[7])),
        ("cache, at the top", &cache, since(TOP, "e"), Some(page(&[7], false)), (true, true, TOP, &[])),
        ("cache, at the top of another epoch", &cache, since(TOP, "f"), Some(page(&[7], false)), (true, true, TOP, &[7])),
        ("cache, nothing stored", &cache, since(3, "e"), Some(page(&[], false)), (true, false, TOP, &[])),
        ("cache, the newest that the filter lets through", &cache, SubscribeRequest { tf: odd(), ..since(1, "e") },
            Some(page(&[6, 5, 4, 3], false)), (true, true, 1, &[5])),
        ("cache, nothing that the filter lets through", &cache, SubscribeRequest { tf: odd(), ..since(1, "e") },
            Some(page(&[6, 4], false)), (true, false, TOP, &[])),
        ("automatic", &automatic, simple, Some(page(&[7], false)), (true, true, 0, &[7])),
        ("automatic, asked as well", &automatic, since(TOP, "e"), Some(page(&[7], false)), (true, true, TOP, &[])),
    ];
    for (name, options, request, page, told) in rows {
        let mut client = client(options.clone());
        client.place.stream = found(page);
        assert_eq!(client.subscribe_as(request), Done, "{name}");
        let result = client.last().subscribe.clone().unwrap();
        let offsets: Vec<u64> = result.publications.iter().map(|it| it.offset).collect();
        assert_eq!(
            (
                result.was_recovering,
                result.recovered,
                result.offset,
                &*offsets
            ),
            told,
            "{name}"
        );
        assert_eq!(
            (result.positioned, result.recoverable, &*result.epoch),
            (true, true, "e")
        );
        // Whatever was told, live publications follow the top.
        assert_eq!(client.granted("a").position, Some(top()), "{name}");
    }
}

#[test]
fn where_recovery_is_not_in_force_a_wish_for_it_is_only_noted() {
    let mut client = client(json!({"force_recovery": false, "allow_positioning": true}));
    client.place.stream = found(None);
    let positioned = SubscribeRequest {
        positioned: true,
        ..since(5, "e")
    };
    for (request, channel) in [(since(5, "e"), "a"), (positioned, "b")] {
        let request = SubscribeRequest {
            channel: channel.to_owned(),
            ..request
        };
        assert_eq!(client.subscribe_as(request), Done);
        let result = client.last().subscribe.clone().unwrap();
        assert!(result.was_recovering && !result.recovered && !result.recoverable);
        let position = (result.offset, &*result.epoch);
        assert_eq!(
            position,
            if result.positioned {
                (TOP, "e")
            } else {
                (0, "")
            }
        );
        assert_eq!(client.place.attached.last().unwrap().read, None);
    }
}

#[test]
fn who_wants_all_or_an_error_gets_the_error_in_stream_mode() {
    #[rustfmt::skip]
    let rows = [
        ("stream", page(&[6, 7], false), Error(112)),
        ("stream", page(&[4, 5, 6, 7], true), Done),
        ("cache", page(&[], false), Done),
    ];
    for (mode, page, expected) in rows {
        let mut client = client(json!({"force_recovery_mode": mode}));
        client.place.stream = found(Some(page));
        let request = SubscribeRequest {
            flag: 2,
            ..since(3, "e")
        };
        assert_eq!(client.subscribe_as(request.clone()), expected, "{mode}");
        let subscribed = if expected == Done {
            Subscribed::Yes
        } else {
            Subscribed::No
        };
        assert_eq!(client.place.subscribed("a"), subscribed, "{mode}");
        let plain = SubscribeRequest {
            flag: 1,
            channel: "b".to_owned(),
            ..request
        };
        assert_eq!(
            client.subscribe_as(plain),
            Done,
            "{mode}, without that flag"
        );
    }
}

#[test]
fn of_the_past_no_more_is_read_than_is_needed() {
    let filter = |since: Option<Position>, limit: usize, reverse: bool| HistoryFilter {
        since,
        limit: Some(limit),
        reverse,
    };
    let position = Position {
        offset: 3,
        epoch: "e".into(),
    };
    let rows = [
        ("stream", None, filter(Some(position), 5, false)),
        ("cache", None, filter(None, 1, true)),
        ("cache", odd(), filter(None, 5, true)),
    ];
    for (mode, tf, expected) in rows {
        let mut client = client(json!({"force_recovery_mode": mode}));
        client.place.stream = found(Some(page(&[], true)));
        assert_eq!(
            client.subscribe_as(SubscribeRequest {
                tf,
                ..since(3, "e")
            }),
            Done
        );
        let attached = client.place.attached.pop().unwrap();
        assert_eq!(attached.read, Some(expected), "{mode}");
        assert!(attached.positioned && attached.stream.is_some_and(|stream| stream.size == 10));
    }
}

#[test]
fn recovered_publications_are_whole_first_and_patches_then() {
    let request = |since: SubscribeRequest| SubscribeRequest {
        delta: "fossil".to_owned(),
        ..since
    };
    let mut client = client(json!({}));
    client.place.stream = found(Some(page(&[6, 7], true)));
    assert_eq!(client.subscribe_as(request(since(5, "e"))), Done);
    let result = client.last().subscribe.clone().unwrap();
    let deltas: Vec<bool> = result.publications.iter().map(|it| it.delta).collect();
    assert_eq!(deltas, [false, true]);
    assert_eq!(client.granted("a").delta, Delta::AtOnce);
    // Without a publication in the reply the client may have no base.
    client.place.stream = found(Some(page(&[], true)));
    let again = SubscribeRequest {
        channel: "b".to_owned(),
        ..since(TOP, "e")
    };
    assert_eq!(client.subscribe_as(request(again)), Done);
    assert_eq!(client.granted("b").delta, Delta::AfterWhole);
}
