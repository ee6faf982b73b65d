//! Subscriptions with a token of their own, and those that end by themselves.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::server::{SECRET, Server};
use crate::support::token;

/// A channel that nobody may subscribe to without a token; subscriptions are looked at each second.
fn closed_channels() -> Value {
    json!({
        "client": {"presence_update_interval": "1s", "expired_sub_close_delay": "1s"},
        "channel": {"without_namespace": {"presence": true}},
    })
}

/// A subscription token of user 42 for channel `a` that expires in so many seconds.
fn expiring(seconds: u64) -> String {
    let claims = json!({"sub": "42", "channel": "a", "exp": token::now() + seconds});
    token::signed(&claims, SECRET)
}

#[tokio::test]
async fn an_expired_subscription_ends_after_its_grace_and_can_be_made_again() {
    let server = Server::start(&closed_channels());
    let mut client = Client::connected(&server, "42").await;
    let began = Instant::now();
    let request = json!({"channel": "a", "token": expiring(2)});
    let result = client.subscribe_as(request).await;
    assert_eq!(result["expires"], true);
    assert!(
        (1..=2).contains(&result["ttl"].as_u64().unwrap()),
        "{result}"
    );
    let push = json!({"unsubscribe": {"code": 2501, "reason": "subscription expired"}});
    assert_eq!(client.push("a").await, push);
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(2),
        "the grace is given: {took:?}"
    );
    assert!(
        took < Duration::from_secs(13),
        "it is looked at as often as configured: {took:?}"
    );
    let present = server.result("presence", json!({"channel": "a"})).await;
    assert_eq!(present["presence"], json!({}));
    let request = json!({"channel": "a", "token": expiring(60)});
    client.subscribe_as(request).await;
}

#[tokio::test]
async fn an_expired_subscription_that_the_server_made_ends_the_connection() {
    let server = Server::start(&closed_channels());
    let mut client = Client::connected(&server, "42").await;
    let request = json!({"user": "42", "channel": "a", "expire_at": token::now() + 1});
    server.result("subscribe", request).await;
    assert!(client.push("a").await["subscribe"].is_object());
    let closed = client.closed().await;
    assert_eq!(closed, (3006, "subscription expired".into()));
}

#[tokio::test]
async fn a_refreshed_subscription_lives_on_and_one_that_never_expired_can_begin_to() {
    let server = Server::start(&closed_channels());
    let refresh = |token: String| json!({"sub_refresh": {"channel": "a", "token": token}});
    let outlive = async |token: String| {
        let mut client = Client::connected(&server, "42").await;
        let request = json!({"channel": "a", "token": expiring(2)});
        client.subscribe_as(request).await;
        let reply = client.call(refresh(token)).await;
        client.silence(Duration::from_millis(4500)).await;
        server.publish("a", &json!("still here")).await;
        assert_eq!(client.publication("a").await, "still here");
        reply["sub_refresh"].clone()
    };
    let begin = async {
        let mut client = Client::connected(&server, "42").await;
        let claims = json!({"sub": "42", "channel": "a"});
        let request = json!({"channel": "a", "token": token::signed(&claims, SECRET)});
        assert_eq!(client.subscribe_as(request).await, json!({}));
        let reply = client.call(refresh(expiring(1))).await;
        assert_eq!(reply["sub_refresh"]["expires"], true);
        assert_eq!(client.push("a").await["unsubscribe"]["code"], 2501);
    };
    let (later, ()) = tokio::join!(outlive(expiring(600)), begin);
    assert_eq!(later["expires"], true);
    let ttl = later["ttl"].as_u64().unwrap();
    assert!((590..=600).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_refresh_with_an_expired_token_ends_the_subscription_so_that_it_is_made_anew() {
    let server = Server::start(&closed_channels());
    let mut client = Client::connected(&server, "42").await;
    let request = json!({"channel": "a", "token": expiring(60)});
    client.subscribe_as(request).await;
    let claims = json!({"sub": "42", "channel": "a", "exp": 100});
    let expired = json!({"channel": "a", "token": token::signed(&claims, SECRET)});
    let (pushes, reply) = client
        .call_among_pushes(json!({"sub_refresh": expired}))
        .await;
    let unsubscribe = json!({"code": 2501, "reason": "subscription expired"});
    let push = json!({"push": {"channel": "a", "unsubscribe": unsubscribe}});
    assert_eq!(pushes, [push]);
    assert_eq!(reply["sub_refresh"], json!({}));
    let refused = client.refused(json!({"subscribe": expired})).await;
    assert_eq!(refused, 109);
    let request = json!({"channel": "a", "token": expiring(60)});
    client.subscribe_as(request).await;
}
