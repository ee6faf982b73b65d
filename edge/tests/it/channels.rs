//! The options of channels, each in both places where it can be set: in a namespace, and for channels without one.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tidewire_config::merge;
use tokio::time::sleep;

use crate::support::client::Client;
use crate::support::server::Server;

/// How the names of channels begin in the two places.
const PLACES: [&str; 2] = ["", "ns:"];

/// A server whose channels with names that begin so have these options; the others have none.
fn with(place: &str, options: &Value) -> Server {
    let (mut without, mut namespace) = (json!({}), json!({"name": "ns"}));
    let target = if place.is_empty() {
        &mut without
    } else {
        &mut namespace
    };
    merge(target, options.clone());
    Server::start(&json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {"without_namespace": without, "namespaces": [namespace]},
    }))
}

/// The same with more options, for channels that user 42 may subscribe to.
fn open(place: &str, mut options: Value) -> Server {
    options["allow_subscribe_for_client"] = true.into();
    with(place, &options)
}

async fn anonymous(server: &Server) -> Client {
    let mut client = Client::open(server).await;
    let reply = client.call(json!({"connect": {}})).await;
    assert!(reply["connect"].is_object(), "{reply}");
    client
}

/// The code of the error that a command comes to, or 0.
async fn outcome(client: &mut Client, command: Value) -> u64 {
    let (_, reply) = client.call_among_pushes(command).await;
    reply["error"]["code"].as_u64().unwrap_or(0)
}

/// A text that a patch is shorter than.
fn long(end: &str) -> Value {
    json!({"text": "Lorem ipsum ".repeat(20), "end": end})
}

#[tokio::test]
async fn who_may_subscribe_is_decided_where_it_is_configured() {
    let rows = [
        // options, channel, what comes of it for user 42 and for an anonymous client
        (json!({}), "a", [103, 103]),
        (json!({"allow_subscribe_for_client": true}), "a", [0, 103]),
        (
            json!({"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}),
            "a",
            [0, 0],
        ),
        (
            json!({"allow_user_limited_channels": true}),
            "a#42",
            [0, 103],
        ),
        (
            json!({"allow_subscribe_for_client": true, "channel_regex": "^b"}),
            "a",
            [107, 107],
        ),
    ];
    for place in PLACES {
        for (options, channel, expected) in &rows {
            let server = with(place, options);
            let mut clients = [
                Client::connected(&server, "42").await,
                anonymous(&server).await,
            ];
            for (client, expected) in clients.iter_mut().zip(expected) {
                let channel = format!("{place}{channel}");
                let subscribe = json!({"subscribe": {"channel": channel}});
                let code = outcome(client, subscribe).await;
                assert_eq!(code, *expected, "{channel} {options}");
            }
        }
    }
}

#[tokio::test]
async fn who_may_publish_and_ask_is_decided_where_it_is_configured() {
    let clients = json!({
        "allow_publish_for_client": true,
        "allow_presence_for_client": true,
        "allow_history_for_client": true,
    });
    let subscribers = json!({
        "allow_publish_for_subscriber": true,
        "allow_presence_for_subscriber": true,
        "allow_history_for_subscriber": true,
    });
    let anonymous_too = json!({
        "allow_publish_for_anonymous": true,
        "allow_presence_for_anonymous": true,
        "allow_history_for_anonymous": true,
    });
    let rows = [
        // rights, and who may: user 42, an anonymous client, both again when subscribed
        (vec![], [false; 4]),
        (vec![&clients], [true, false, true, false]),
        (vec![&subscribers], [false, false, true, false]),
        (vec![&clients, &anonymous_too], [true; 4]),
        (
            vec![&subscribers, &anonymous_too],
            [false, false, true, true],
        ),
    ];
    for place in PLACES {
        for (rights, expected) in &rows {
            let mut options = json!({
                "presence": true, "history_size": 1, "history_ttl": "60s",
                "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
            });
            for rights in rights {
                merge(&mut options, (*rights).clone());
            }
            let server = with(place, &options);
            let channel = format!("{place}a");
            let mut who = [
                Client::connected(&server, "42").await,
                anonymous(&server).await,
                Client::connected(&server, "42").await,
                anonymous(&server).await,
            ];
            for client in &mut who[2..] {
                client.subscribe(&channel).await;
            }
            for (client, may) in who.iter_mut().zip(expected) {
                for command in [
                    json!({"publish": {"channel": channel, "data": 1}}),
                    json!({"presence": {"channel": channel}}),
                    json!({"history": {"channel": channel}}),
                ] {
                    let code = outcome(client, command.clone()).await;
                    assert_eq!(code, if *may { 0 } else { 103 }, "{command} {options}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_gets_what_is_configured_for_its_place() {
    let everything = json!({"positioned": true, "recoverable": true, "delta": "fossil"});
    let history = json!({"history_size": 1, "history_ttl": "60s"});
    let rows = [
        // options, what is asked for, what is granted of it
        (json!({}), &everything, vec![]),
        (
            json!({"allow_positioning": true}),
            &everything,
            vec!["positioned"],
        ),
        (
            json!({"force_positioning": true}),
            &json!({}),
            vec!["positioned"],
        ),
        (
            json!({"allow_recovery": true}),
            &everything,
            vec!["positioned", "recoverable"],
        ),
        (
            json!({"force_recovery": true}),
            &json!({}),
            vec!["positioned", "recoverable"],
        ),
        (
            json!({"allowed_delta_types": ["fossil"]}),
            &everything,
            vec!["delta"],
        ),
    ];
    for place in PLACES {
        for (options, asked, expected) in &rows {
            let mut options = options.clone();
            merge(&mut options, history.clone());
            let server = open(place, options.clone());
            let mut client = Client::connected(&server, "42").await;
            let mut request = json!({"channel": format!("{place}a")});
            merge(&mut request, (*asked).clone());
            let result = client.subscribe_as(request).await;
            let mut granted = vec!["positioned", "recoverable", "delta"];
            granted.retain(|flag| result[flag] == true);
            assert_eq!(granted, *expected, "{place} {options}: {result}");
        }
    }
}

#[tokio::test]
async fn a_filter_is_for_the_place_that_allows_it() {
    for place in PLACES {
        for (allowed, expected) in [(false, 107), (true, 0)] {
            let server = open(place, json!({"allow_tags_filter": allowed}));
            let mut client = Client::connected(&server, "42").await;
            let filter = json!({"key": "n", "cmp": "eq", "val": "2"});
            let channel = format!("{place}a");
            let subscribe = json!({"subscribe": {"channel": channel, "tf": filter}});
            assert_eq!(outcome(&mut client, subscribe).await, expected, "{place}");
            if allowed {
                for n in ["1", "2"] {
                    let request = json!({"channel": channel, "data": n, "tags": {"n": n}});
                    server.result("publish", request).await;
                }
                assert_eq!(client.publication(&channel).await, "2");
            }
        }
    }
}

#[tokio::test]
async fn presence_joins_and_leaves_are_kept_and_told_where_it_is_configured() {
    for place in PLACES {
        let options = json!({"presence": true, "join_leave": true, "force_push_join_leave": true});
        let server = open(place, options);
        let channel = format!("{place}a");
        let mut first = Client::connected(&server, "1").await;
        first.subscribe(&channel).await;
        let user = async |client: &mut Client, event: &str| {
            let push = client.push(&channel).await;
            push[event]["info"]["user"].as_str().map(str::to_owned)
        };
        assert_eq!(user(&mut first, "join").await.as_deref(), Some("1"));
        let mut second = Client::connected(&server, "2").await;
        second.subscribe(&channel).await;
        assert_eq!(user(&mut first, "join").await.as_deref(), Some("2"));
        let stats = server.result("presence_stats", json!({"channel": channel}));
        assert_eq!(stats.await, json!({"num_clients": 2, "num_users": 2}));
        drop(second);
        assert_eq!(user(&mut first, "leave").await.as_deref(), Some("2"));
    }
}

#[tokio::test]
async fn deltas_of_every_publication_are_sent_where_it_is_configured() {
    for place in PLACES {
        for delta_publish in [false, true] {
            let server = open(
                place,
                json!({
                    "history_size": 1, "history_ttl": "60s", "force_positioning": true,
                    "allowed_delta_types": ["fossil"], "delta_publish": delta_publish,
                }),
            );
            let channel = format!("{place}a");
            let mut client = Client::connected(&server, "42").await;
            let request = json!({"channel": channel, "delta": "fossil"});
            client.subscribe_as(request).await;
            for (end, is_patch) in [("one", false), ("two", delta_publish)] {
                server.keep(&channel, &long(end)).await;
                let push = client.push(&channel).await;
                assert_eq!(push["pub"]["delta"] == true, is_patch, "{place} {end}");
            }
        }
    }
}

#[tokio::test]
async fn the_newest_publication_comes_with_the_subscription_where_it_is_configured() {
    for place in PLACES {
        let server = open(
            place,
            json!({
                "history_size": 3, "history_ttl": "60s", "force_recovery": true,
                "force_recovery_mode": "cache", "auto_cache_recover": true,
            }),
        );
        let channel = format!("{place}a");
        for n in 1..=3 {
            server.keep(&channel, &json!(n)).await;
        }
        let mut client = Client::connected(&server, "42").await;
        let result = client.subscribe_as(json!({"channel": channel})).await;
        assert_eq!(result["recovered"], true, "{place}: {result}");
        assert_eq!(result["publications"], json!([{"data": 3, "offset": 3}]));
    }
}

#[tokio::test]
async fn streams_keep_as_much_and_as_long_as_is_configured() {
    let of_the_place = |place: &str, options: Value| (place.to_owned(), with(place, &options));
    let of_all_channels = |place: &str, mut options: Value| {
        let global = options.as_object_mut().unwrap().remove("history_meta_ttl");
        let mut channel = json!({"history_meta_ttl": global, "namespaces": [{"name": "ns"}]});
        match place {
            "" => channel["without_namespace"] = options,
            _ => merge(&mut channel["namespaces"][0], options),
        }
        let server = Server::start(&json!({"channel": channel}));
        (place.to_owned(), server)
    };
    let options = |meta_ttl: &str| json!({"history_size": 2, "history_ttl": "2s", "history_meta_ttl": meta_ttl});
    let mut rows = Vec::new();
    for place in PLACES {
        // a server, and the offset of what comes after everything is gone
        rows.push((of_the_place(place, options("60s")), 4));
        rows.push((of_the_place(place, options("2s")), 1));
        rows.push((of_all_channels(place, options("60s")), 4));
        rows.push((of_all_channels(place, options("2s")), 1));
    }
    let attempts = rows.iter().map(async |((place, server), after)| {
        let channel = format!("{place}a");
        let kept = async || {
            let request = json!({"channel": channel, "limit": -1});
            let history = server.result("history", request).await;
            history["publications"].as_array().map_or(0, Vec::len)
        };
        for n in 1..=3 {
            assert_eq!(server.keep(&channel, &json!(n)).await, n);
        }
        assert_eq!(kept().await, 2, "{channel}");
        sleep(Duration::from_millis(2400)).await;
        assert_eq!(kept().await, 0, "{channel}");
        assert_eq!(server.keep(&channel, &json!("after")).await, *after);
    });
    join_all(attempts).await;
}

#[tokio::test]
async fn data_must_have_the_format_that_is_configured_for_the_place_or_for_all() {
    let format = "json_object";
    for place in PLACES {
        let global = json!({"publication_data_format": format, "namespaces": [{"name": "ns"}]});
        for server in [
            with(place, &json!({"publication_data_format": format})),
            Server::start(&json!({"channel": global})),
        ] {
            for (data, code) in [(json!({}), Value::Null), (json!([1]), json!(107))] {
                let request = json!({"channel": format!("{place}a"), "data": data});
                let answer = server.api("publish", &request).await;
                assert_eq!(answer["error"]["code"], code, "{request}");
            }
        }
    }
}

#[tokio::test]
async fn names_are_read_with_the_marks_that_are_configured() {
    let server = Server::start(&json!({
        "channel": {
            "namespace_boundary": "/", "private_prefix": "!", "user_boundary": "@", "user_separator": ";",
            "max_length": 12,
            "namespaces": [
                {"name": "all", "allow_subscribe_for_client": true},
                {"name": "me", "allow_user_limited_channels": true},
            ],
        },
        "rpc": {"namespace_boundary": "/", "namespaces": [{"name": "known"}]},
    }));
    let mut client = Client::connected(&server, "42").await;
    let rows = [
        ("all/a", 0),
        ("none/a", 102),
        ("all:a", 103),
        ("!all/a", 103),
        ("$all/a", 102),
        ("me/a@41;42", 0),
        ("me/a@41,42", 103),
        ("me/a#41;42", 103),
        ("all/12345678", 0),
        ("all/123456789", 107),
    ];
    for (channel, expected) in rows {
        let subscribe = json!({"subscribe": {"channel": channel}});
        assert_eq!(outcome(&mut client, subscribe).await, expected, "{channel}");
    }
    // Of an unknown namespace there is no method, of a known one it is not available.
    for (method, expected) in [("known/a", 108), ("none/a", 104), ("none:a", 108)] {
        let call = json!({"rpc": {"method": method}});
        assert_eq!(outcome(&mut client, call).await, expected, "{method}");
    }
}
