//! The official SDKs against one edge with the memory engine.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidewire_e2e::api::ApiClient;
use tidewire_e2e::bad_input;
use tidewire_e2e::edge::BareEdge;
use tidewire_e2e::sdk::{Sdk, SdkClient};
use tidewire_e2e::token;

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
