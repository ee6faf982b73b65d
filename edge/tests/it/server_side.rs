//! What backends do to their users' connections, on whatever shard these are.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::server::{SECRET, Server};
use crate::support::{eventually, token};

fn channels() -> Value {
    json!({
        "client": {"allow_anonymous_connect_without_token": true, "channel_limit": 3},
        "channel": {
            "without_namespace": {"allow_subscribe_for_client": true},
            "namespaces": [{"name": "kept", "history_size": 10, "history_ttl": "60s", "presence": true}],
        },
    })
}

fn error(code: u32, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

/// Connections of this user on all shards, with their ids.
async fn connections(server: &Server, user: &str, count: usize) -> Vec<(Client, String)> {
    let connections = (0..count).map(async |_| {
        let mut client = Client::open(server).await;
        let connected = client.connect(&token::of(user)).await;
        (client, connected["client"].as_str().unwrap().to_owned())
    });
    join_all(connections).await
}

#[tokio::test]
async fn disconnect_closes_a_users_connections_but_for_those_on_the_whitelist() {
    let server = Server::start(&channels());
    let mut all = connections(&server, "42", 6).await;
    let mut others = connections(&server, "43", 2).await;
    let request = json!({"user": "42", "client": all[0].1});
    server.result("disconnect", request).await;
    assert_eq!(
        all.remove(0).0.closed().await,
        (3503, "force disconnect".into())
    );
    // A client of somebody else is not this user's.
    let request = json!({"user": "42", "client": others[0].1});
    server.result("disconnect", request).await;
    let spared = [all[0].1.clone(), all[1].1.clone(), others[1].1.clone()];
    let request = json!({
        "user": "42", "whitelist": spared, "disconnect": {"code": 4321, "reason": "go away"},
    });
    server.result("disconnect", request).await;
    for (client, _) in &mut all[2..] {
        assert_eq!(client.closed().await, (4321, "go away".into()));
    }
    for (client, _) in all[..2].iter_mut().chain(&mut others) {
        client.subscribe("a").await;
    }
    server.result("disconnect", json!({"user": "nobody"})).await;
    assert_eq!(server.disconnects(3503).await, 1);
}

#[tokio::test]
async fn an_empty_user_addresses_the_anonymous_connections() {
    let server = Server::start(&channels());
    let mut known = Client::connected(&server, "42").await;
    let mut anonymous = Client::open(&server).await;
    anonymous.call(json!({"connect": {}})).await;
    server.result("disconnect", json!({})).await;
    assert_eq!(anonymous.closed().await.0, 3503);
    known.subscribe("a").await;
}

#[tokio::test]
async fn subscribe_and_unsubscribe_change_the_subscriptions_of_connected_clients() {
    let server = Server::start(&channels());
    let mut all = connections(&server, "42", 4).await;
    let mut other = Client::connected(&server, "43").await;
    let request = json!({"user": "42", "channel": "a", "data": {"hello": [1]}});
    server.result("subscribe", request).await;
    for (client, _) in &mut all {
        let push = json!({"subscribe": {"data": {"hello": [1]}}});
        assert_eq!(client.push("a").await, push);
        let subscribe = json!({"subscribe": {"channel": "a"}});
        assert_eq!(client.refused(subscribe).await, 105);
    }
    server.publish("a", &json!(1)).await;
    for (client, _) in &mut all {
        assert_eq!(client.publication("a").await, 1);
    }
    // Only one of them, and with a position.
    let request = json!({
        "user": "42", "client": all[0].1, "channel": "kept:a", "info": {"role": "one"},
        "override": {"force_recovery": {"value": true}},
    });
    server.keep("kept:a", &json!("before")).await;
    server.result("subscribe", request).await;
    let push = all[0].0.push("kept:a").await["subscribe"].clone();
    assert_eq!(
        (&push["recoverable"], &push["positioned"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(push["offset"], 1);
    assert!(push["epoch"].is_string(), "{push}");
    let present = server
        .result("presence", json!({"channel": "kept:a"}))
        .await;
    let present = present["presence"].as_object().unwrap();
    assert_eq!(present.len(), 1);
    assert_eq!(present[&all[0].1]["chan_info"], json!({"role": "one"}));
    server.keep("kept:a", &json!("after")).await;
    assert_eq!(all[0].0.publication("kept:a").await, "after");

    let request = json!({"user": "42", "client": all[1].1, "channel": "a"});
    server.result("unsubscribe", request).await;
    let left = json!({"unsubscribe": {"code": 2000, "reason": "server unsubscribe"}});
    assert_eq!(all[1].0.push("a").await, left);
    server.publish("a", &json!(2)).await;
    server
        .result("unsubscribe", json!({"user": "42", "channel": "a"}))
        .await;
    for (n, (client, _)) in all.iter_mut().enumerate() {
        if n != 1 {
            assert_eq!(client.publication("a").await, 2);
        }
        assert_eq!(client.push("a").await, left, "subscribed or not");
    }
    other.subscribe("b").await;
    let channels = server.result("channels", json!({})).await;
    let left = json!({"kept:a": {"num_clients": 1}, "b": {"num_clients": 1}});
    assert_eq!(channels["channels"], left);
}

#[tokio::test]
async fn a_subscription_of_the_client_is_replaced_and_one_too_many_ends_the_connection() {
    let server = Server::start(&channels());
    let mut client = Client::connected(&server, "42").await;
    client.subscribe("a").await;
    for _ in 0..2 {
        server
            .result("subscribe", json!({"user": "42", "channel": "a"}))
            .await;
        assert_eq!(client.push("a").await, json!({"subscribe": {}}));
    }
    server.publish("a", &json!("once")).await;
    assert_eq!(client.publication("a").await, "once");
    for channel in ["b", "c"] {
        server
            .result("subscribe", json!({"user": "42", "channel": channel}))
            .await;
        assert_eq!(client.push(channel).await, json!({"subscribe": {}}));
    }
    server
        .result("subscribe", json!({"user": "42", "channel": "d"}))
        .await;
    assert_eq!(client.closed().await, (3505, "channel limit".into()));
    eventually("nobody is left", [0; 4], async || server.counts().await).await;
}

#[tokio::test]
async fn what_cannot_be_done_to_a_channel_is_refused() {
    let server = Server::start(&channels());
    let rows = [
        (
            "subscribe",
            json!({"user": "42"}),
            error(107, "bad request"),
        ),
        (
            "subscribe",
            json!({"user": "42", "channel": "no:a"}),
            error(102, "unknown channel"),
        ),
        (
            "subscribe",
            json!({"user": "42", "channel": "a", "b64data": "!"}),
            error(107, "bad request"),
        ),
        (
            "subscribe",
            json!({"user": "42", "channel": "a", "b64info": "!"}),
            error(107, "bad request"),
        ),
        (
            "subscribe",
            json!({"user": "42", "channel": "a", "expire_at": 1}),
            error(100, "internal server error"),
        ),
        (
            "subscribe",
            json!({"user": "42", "channel": "a", "expire_at": -1}),
            error(100, "internal server error"),
        ),
        (
            "unsubscribe",
            json!({"user": "42", "channel": "no:a"}),
            error(102, "unknown channel"),
        ),
        ("unsubscribe", json!({"user": "42"}), json!({"result": {}})),
        (
            "presence",
            json!({"channel": "a"}),
            error(108, "not available"),
        ),
        (
            "presence_stats",
            json!({"channel": "no:a"}),
            error(102, "unknown channel"),
        ),
        (
            "history",
            json!({"channel": "a"}),
            error(108, "not available"),
        ),
        (
            "history_remove",
            json!({"channel": "a"}),
            error(108, "not available"),
        ),
        ("history_remove", json!({}), error(107, "bad request")),
        ("rpc", json!({"method": "x"}), error(104, "not found")),
    ];
    for (method, request, expected) in rows {
        assert_eq!(
            server.api(method, &request).await,
            expected,
            "{method} {request}"
        );
    }
}

#[tokio::test]
async fn refresh_moves_the_expiry_or_ends_the_connection() {
    let mut options = channels();
    options["client"]["expired_close_delay"] = "200ms".into();
    let server = Server::start(&options);
    let expiring = async || {
        let mut client = Client::open(&server).await;
        client.connect(&token::expiring(60)).await;
        client
    };
    let mut client = expiring().await;
    server
        .result(
            "refresh",
            json!({"user": "42", "expire_at": token::now() + 600}),
        )
        .await;
    let push = client.recv().await["push"]["refresh"].clone();
    assert_eq!(push["expires"], true);
    let ttl = push["ttl"].as_u64().unwrap();
    assert!((590..=600).contains(&ttl), "{ttl}");
    server.result("refresh", json!({"user": "42"})).await;
    assert_eq!(
        client.recv().await,
        json!({"push": {"refresh": {}}}),
        "it does not expire"
    );
    server
        .result("refresh", json!({"user": "43", "expired": true}))
        .await;
    client.subscribe("a").await;
    server
        .result("refresh", json!({"user": "42", "expired": true}))
        .await;
    let expired = (3005, "connection expired".to_owned());
    assert_eq!(client.closed().await, expired);
    let mut client = expiring().await;
    server
        .result("refresh", json!({"user": "42", "expire_at": 1}))
        .await;
    assert_eq!(client.closed().await, expired);
    let mut client = expiring().await;
    server
        .result(
            "refresh",
            json!({"user": "42", "expire_at": token::now() + 2}),
        )
        .await;
    assert_eq!(client.recv().await["push"]["refresh"]["expires"], true);
    assert_eq!(client.closed().await, expired, "when its new time is over");
}

#[tokio::test]
async fn a_user_has_at_most_as_many_connections_as_configured_over_all_shards() {
    let mut options = channels();
    options["client"]["user_connection_limit"] = 3.into();
    let server = Server::start(&options);
    let mut all = connections(&server, "42", 3).await;
    for _ in 0..3 {
        let mut more = Client::open(&server).await;
        let claims = json!({"sub": "42", "channels": ["kept:a"]});
        let connect = json!({"connect": {"token": token::signed(&claims, SECRET)}});
        more.command(connect).await;
        assert_eq!(more.closed().await, (3504, "connection limit".into()));
    }
    connections(&server, "43", 3).await;
    for _ in 0..5 {
        let mut anonymous = Client::open(&server).await;
        assert!(anonymous.call(json!({"connect": {}})).await["connect"].is_object());
        all.push((anonymous, String::new()));
    }
    all.remove(0).0.close().await;
    eventually("one has left", true, async || server.counts().await[0] <= 7).await;
    let mut again = Client::open(&server).await;
    again.connect(&token::of("42")).await;
    let channels = server.result("channels", json!({})).await;
    assert_eq!(
        channels["channels"],
        json!({}),
        "the refused have left nothing behind"
    );
}

#[tokio::test]
async fn a_user_with_a_single_connection_loses_the_older_ones() {
    let mut options = channels();
    options["client"]["subscribe_to_user_personal_channel"] =
        json!({"enabled": true, "personal_channel_namespace": "kept", "single_connection": true});
    let server = Server::start(&options);
    let mut first = Client::connected(&server, "42").await;
    let mut other = Client::connected(&server, "43").await;
    let mut second = Client::connected(&server, "42").await;
    assert_eq!(first.closed().await, (3504, "connection limit".into()));
    for (client, user) in [(&mut second, "42"), (&mut other, "43")] {
        server.keep(&format!("kept:#{user}"), &json!(1)).await;
        client.publication(&format!("kept:#{user}")).await;
    }
}

#[tokio::test]
async fn a_backend_subscribes_from_where_it_says() {
    let mut options = channels();
    options["channel"]["namespaces"][0]["force_recovery"] = json!(true);
    let server = Server::start(&options);
    for number in 1..=4 {
        server.keep("kept:a", &json!(number)).await;
    }
    let top = server.result("history", json!({"channel": "kept:a"})).await;
    for (since, delivered) in [(2, &[3, 4][..]), (4, &[])] {
        let mut client = Client::connected(&server, "42").await;
        let since = json!({"offset": since, "epoch": top["epoch"]});
        let request = json!({"user": "42", "channel": "kept:a", "recover_since": since});
        server.result("subscribe", request).await;
        let push = client.push("kept:a").await;
        assert_eq!(push["subscribe"]["offset"], since["offset"], "{push}");
        for number in delivered {
            assert_eq!(client.publication("kept:a").await, *number);
        }
        client.close().await;
    }
    // What is gone, or never was, cannot be had: the subscription begins at the top.
    let mut client = Client::connected(&server, "43").await;
    for since in [
        json!({"offset": 2, "epoch": "other"}),
        json!({"offset": 9, "epoch": top["epoch"]}),
    ] {
        let request = json!({"user": "43", "channel": "kept:a", "recover_since": since});
        server.result("subscribe", request).await;
        assert_eq!(client.push("kept:a").await["subscribe"]["offset"], 4);
    }
    server.keep("kept:a", &json!(5)).await;
    assert_eq!(client.publication("kept:a").await, 5);
}
