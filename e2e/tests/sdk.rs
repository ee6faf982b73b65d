//! The official SDKs against one edge with the memory engine.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidewire_e2e::api::ApiClient;
use tidewire_e2e::bad_input;
use tidewire_e2e::edge::{BareEdge, TOKEN_SECRET};
use tidewire_e2e::proxy::Proxy;
use tidewire_e2e::sdk::{Event, Sdk, SdkClient};
use tidewire_e2e::token;
use tokio::time::sleep;

/// Clients may subscribe to any channel, and publish in the namespace `chat`.
fn channels() -> Value {
    json!({"channel": {
        "without_namespace": {"allow_subscribe_for_client": true},
        "namespaces": [{"name": "chat", "allow_subscribe_for_client": true, "allow_publish_for_client": true}],
    }})
}

#[tokio::test]
async fn every_sdk_receives_what_the_api_publishes() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    for sdk in Sdk::ALL {
        let mut client =
            SdkClient::subscribed(sdk, &edge.address, &edge.token("alice")?, &["news"]).await?;
        let data = json!({"text": "hellö", "number": 7, "by": format!("{sdk:?}")});
        edge.api().publish("news", &data).await?;
        let publication = client.expect("publication").await?;
        assert_eq!(
            (publication.field("channel"), publication.data()),
            ("news", &data),
            "{sdk:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_publication_of_one_sdk_reaches_all_others() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let mut clients = Vec::new();
    for sdk in Sdk::ALL {
        clients.push(
            SdkClient::subscribed(sdk, &edge.address, &edge.token("alice")?, &["chat:room"])
                .await?,
        );
    }
    for sdk in Sdk::ALL {
        let mut publisher = SdkClient::start(sdk, &edge.address, &edge.token("bob")?, &[]).await?;
        publisher.expect("connected").await?;
        let data = json!({"from": format!("{sdk:?}")});
        let answer = publisher.publish("chat:room", &data).await?;
        ensure!(answer.name() == "published", "{sdk:?}: {answer:?}");
        for client in &mut clients {
            assert_eq!(client.expect("publication").await?.data(), &data);
        }
    }
    Ok(())
}

#[tokio::test]
async fn publications_of_one_channel_arrive_in_order() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let mut client = SdkClient::subscribed(
        Sdk::JavaScriptProtobuf,
        &edge.address,
        &edge.token("alice")?,
        &["news"],
    )
    .await?;
    for number in 0..200 {
        edge.api().publish("news", &json!(number)).await?;
    }
    for number in 0..200 {
        assert_eq!(client.expect("publication").await?.data(), &json!(number));
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_3500() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let forged = token::connection("another secret", "alice")?;
    for sdk in Sdk::ALL {
        let mut client = SdkClient::start(sdk, &edge.address, &forged, &[]).await?;
        assert_eq!(client.expect("disconnected").await?.code(), 3500, "{sdk:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_may_not_publish_where_it_is_not_permitted() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    for sdk in Sdk::ALL {
        let mut client = SdkClient::start(sdk, &edge.address, &edge.token("alice")?, &[]).await?;
        client.expect("connected").await?;
        let answer = client.publish("news", &json!({})).await?;
        assert_eq!((answer.name(), answer.code()), ("error", 103), "{sdk:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_of_an_unknown_namespace_is_refused_with_102() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let reply = edge
        .api()
        .call("publish", &json!({"channel": "nosuch:room", "data": {}}))
        .await?;
    assert_eq!((reply.status, reply.error_code()), (200, 102));
    for sdk in Sdk::ALL {
        let mut client =
            SdkClient::start(sdk, &edge.address, &edge.token("alice")?, &["nosuch:room"]).await?;
        assert_eq!(client.expect("unsubscribed").await?.code(), 102, "{sdk:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_api_key_is_refused_with_401() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let reply = ApiClient::new(&edge.address, "wrong")
        .call("publish", &json!({"channel": "news", "data": {}}))
        .await?;
    assert_eq!((reply.status, reply.body), (401, Value::Null));
    Ok(())
}

#[tokio::test]
async fn bad_input_gets_the_protocols_code_and_does_not_end_the_process() -> Result<()> {
    let mut edge = BareEdge::start(channels()).await?;
    bad_input::check(&edge.address, &edge.token("alice")?).await?;
    assert!(edge.is_running()?);
    assert_eq!(edge.api().get("/health").await?.0, 200);
    Ok(())
}

/// Namespaces with what a session may have, and others without.
fn features() -> Value {
    json!({
        "client": {
            "token": {"hmac_secret_key": TOKEN_SECRET},
            "expired_close_delay": "1s",
        },
        "channel": {"namespaces": [
            {"name": "kept", "allow_subscribe_for_client": true, "history_size": 5, "history_ttl": "60s",
             "force_recovery": true, "presence": true, "allow_presence_for_subscriber": true,
             "allow_history_for_subscriber": true},
            {"name": "plain", "allow_subscribe_for_client": true, "presence": true,
             "history_size": 5, "history_ttl": "60s"},
            {"name": "delta", "allow_subscribe_for_client": true, "history_size": 50, "history_ttl": "60s",
             "force_positioning": true, "delta_publish": true, "allowed_delta_types": ["fossil"]},
            {"name": "whole", "allow_subscribe_for_client": true, "history_size": 50, "history_ttl": "60s",
             "force_positioning": true, "delta_publish": true},
        ]},
    })
}

/// A token of this user that expires in so many seconds.
fn expiring(user: &str, seconds: u64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    token::signed(TOKEN_SECRET, &json!({"sub": user, "exp": now + seconds}))
}

/// Connected and subscribed to `kept:room` with a token that soon expires, until the SDK wants another.
async fn wants_a_token(sdk: Sdk, edge: &BareEdge) -> Result<SdkClient> {
    let soon = expiring("alice", 2)?;
    let channels = ["kept:room"];
    let mut client =
        SdkClient::start_with(sdk, &edge.address, &soon, &channels, &["--refresh"]).await?;
    client.expect("subscribed").await?;
    client.expect("token_wanted").await?;
    Ok(client)
}

#[tokio::test]
async fn a_connection_whose_token_is_refreshed_lives_on() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let mut clients = Vec::new();
    for sdk in Sdk::ALL {
        let mut client = wants_a_token(sdk, &edge).await?;
        client
            .send(&json!({"op": "token", "token": expiring("alice", 600)?}))
            .await?;
        clients.push(client);
    }
    let connected = || async {
        edge.api()
            .call("presence", &json!({"channel": "kept:room"}))
            .await
    };
    let before = connected().await?.body;
    // Longer than what was left of the first token, and its grace.
    sleep(Duration::from_secs(4)).await;
    assert_eq!(connected().await?.body, before, "the same connections");
    edge.api()
        .publish("kept:room", &json!("still here"))
        .await?;
    for client in &mut clients {
        let publication = client.expect("publication").await?;
        assert_eq!(publication.data(), "still here");
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_with_a_token_of_somebody_else_ends_the_connection() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    for sdk in Sdk::ALL {
        let mut client = wants_a_token(sdk, &edge).await?;
        client
            .send(&json!({"op": "token", "token": expiring("mallory", 600)?}))
            .await?;
        assert_eq!(client.expect("disconnected").await?.code(), 3500, "{sdk:?}");
    }
    Ok(())
}

/// A client that was cut off from `channel` while these numbers were published.
async fn cut_off(
    sdk: Sdk,
    edge: &BareEdge,
    channel: &str,
    missed: RangeInclusive<u64>,
) -> Result<(SdkClient, Event, Proxy)> {
    let proxy = Proxy::start(&edge.address).await?;
    let token = edge.token("alice")?;
    let mut client = SdkClient::subscribed(sdk, &proxy.address, &token, &[channel]).await?;
    edge.api().publish(channel, &json!(0)).await?;
    assert_eq!(client.expect("publication").await?.data(), &json!(0));
    proxy.cut();
    client.expect("subscribing").await?;
    for number in missed {
        edge.api().publish(channel, &json!(number)).await?;
    }
    proxy.restore();
    let again = client.expect("subscribed").await?;
    Ok((client, again, proxy))
}

#[tokio::test]
async fn what_was_missed_during_a_cut_is_recovered_in_order() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    for sdk in Sdk::ALL {
        let channel = format!("kept:{sdk:?}");
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, 1..=5).await?;
        ensure!(
            again.is("was_recovering") && again.is("recovered"),
            "{again:?}"
        );
        edge.api().publish(&channel, &json!(6)).await?;
        for number in 1..=6 {
            assert_eq!(
                client.expect("publication").await?.data(),
                &json!(number),
                "{sdk:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_was_trimmed_during_a_cut_is_not_said_to_be_recovered() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    for sdk in Sdk::ALL {
        let channel = format!("kept:{sdk:?}");
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, 1..=6).await?;
        ensure!(
            again.is("was_recovering") && !again.is("recovered"),
            "{again:?}"
        );
        edge.api().publish(&channel, &json!(7)).await?;
        assert_eq!(
            client.expect("publication").await?.data(),
            &json!(7),
            "{sdk:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_recovery_what_was_missed_during_a_cut_is_lost() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    for sdk in Sdk::ALL {
        let channel = format!("plain:{sdk:?}");
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, 1..=2).await?;
        ensure!(
            !again.is("was_recovering") && !again.is("recovered"),
            "{again:?}"
        );
        edge.api().publish(&channel, &json!(3)).await?;
        assert_eq!(
            client.expect("publication").await?.data(),
            &json!(3),
            "{sdk:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn presence_and_history_are_for_subscribers_of_channels_that_allow_it() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let mut clients = Vec::new();
    for (sdk, user) in Sdk::ALL.into_iter().zip(["alice", "bob", "alice"]) {
        let token = edge.token(user)?;
        let channels = ["kept:room", "plain:room"];
        clients.push(SdkClient::subscribed(sdk, &edge.address, &token, &channels).await?);
    }
    for number in 1..=7 {
        edge.api().publish("kept:room", &json!(number)).await?;
    }
    for client in &mut clients {
        let presence = json!({"op": "presence", "channel": "kept:room"});
        let answer = client.ask(&presence, "presence").await?;
        let users = json!({"users": ["alice", "alice", "bob"], "clients": 3, "distinct": 2});
        assert_eq!(answer.data(), &users);
        let history = json!({"op": "history", "channel": "kept:room", "limit": 10});
        let answer = client.ask(&history, "history").await?;
        assert_eq!(answer.data(), &json!([7, 6, 5, 4, 3]));
        for op in ["presence", "history"] {
            let refused = json!({"op": op, "channel": "plain:room", "limit": 10});
            let answer = client.ask(&refused, op).await?;
            assert_eq!((answer.name(), answer.code()), ("error", 103), "{op}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn subscriptions_that_the_server_makes_come_with_the_token_and_later() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let claims = json!({"sub": "alice", "channels": ["kept:mine"]});
    let token = token::signed(TOKEN_SECRET, &claims)?;
    for sdk in Sdk::ALL {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &[]).await?;
        let subscribed = client.expect("subscribed").await?;
        assert_eq!(subscribed.field("channel"), "kept:mine", "{sdk:?}");
        ensure!(subscribed.is("server_side"), "{subscribed:?}");
        let api = edge.api();
        let request = json!({"user": "alice", "channel": "plain:later"});
        api.call("subscribe", &request).await?;
        if sdk != Sdk::PythonProtobuf {
            // That SDK does not know this push.
            assert_eq!(
                client.expect("subscribed").await?.field("channel"),
                "plain:later"
            );
            api.publish("plain:later", &json!("later")).await?;
            assert_eq!(
                client.expect("publication").await?.data(),
                "later",
                "{sdk:?}"
            );
        }
        api.publish("kept:mine", &json!("mine")).await?;
        let publication = client.expect("publication").await?;
        assert_eq!(publication.data(), "mine", "{sdk:?}");
        ensure!(publication.is("server_side"), "{publication:?}");
        api.call(
            "unsubscribe",
            &json!({"user": "alice", "channel": "kept:mine"}),
        )
        .await?;
        assert_eq!(
            client.expect("unsubscribed").await?.field("channel"),
            "kept:mine",
            "{sdk:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_subscribes_to_a_channel_that_cannot_be_is_refused_with_102() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let claims = json!({"sub": "alice", "channels": ["kept:mine", "nosuch:mine"]});
    let token = token::signed(TOKEN_SECRET, &claims)?;
    for sdk in Sdk::ALL {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &[]).await?;
        assert_eq!(client.expect("disconnected").await?.code(), 102, "{sdk:?}");
    }
    Ok(())
}

/// Publishes large documents that differ little to a subscriber that wants deltas; the bytes that it received.
async fn bytes_of_documents(sdk: Sdk, edge: &BareEdge, channel: &str) -> Result<u64> {
    let proxy = Proxy::start(&edge.address).await?;
    let token = edge.token("alice")?;
    let mut client =
        SdkClient::start_with(sdk, &proxy.address, &token, &[channel], &["--delta"]).await?;
    client.expect("subscribed").await?;
    let before = proxy.received();
    for number in 0..20 {
        let document = json!({"text": "Lorem ipsüm ".repeat(400), "number": number, "end": "€"});
        edge.api().publish(channel, &document).await?;
        let publication = client.expect("publication").await?;
        assert_eq!(publication.data(), &document, "{sdk:?}");
    }
    Ok(proxy.received() - before)
}

#[tokio::test]
async fn deltas_carry_the_same_documents_in_fewer_bytes() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    for sdk in Sdk::ALL {
        let channel = |namespace: &str| format!("{namespace}:{sdk:?}");
        let with = bytes_of_documents(sdk, &edge, &channel("delta")).await?;
        let without = bytes_of_documents(sdk, &edge, &channel("whole")).await?;
        ensure!(without > 20 * 5_000, "{sdk:?}: {without} bytes whole");
        ensure!(with < without / 5, "{sdk:?}: {with} of {without} bytes");
    }
    Ok(())
}
