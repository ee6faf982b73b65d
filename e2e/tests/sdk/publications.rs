//! What is published arrives, once, in order, and only where it may be.

use anyhow::{Result, ensure};
use futures::future::try_join;
use serde_json::json;
use tidewire_e2e::edge::BareEdge;
use tidewire_e2e::sdk::{Sdk, SdkClient};

use crate::{channels, every};

#[tokio::test]
async fn every_sdk_receives_what_the_api_publishes() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let token = edge.token("alice")?;
    let mut clients =
        every(async |sdk| SdkClient::subscribed(sdk, &edge.address, &token, &["news"]).await)
            .await?;
    let data = json!({"text": "hellö", "number": 7, "none": null});
    edge.api().publish("news", &data).await?;
    for client in &mut clients {
        let publication = client.expect("publication").await?;
        assert_eq!(
            (publication.field("channel"), publication.data()),
            ("news", &data)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_publication_of_one_sdk_reaches_all_others() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let (alice, bob) = (edge.token("alice")?, edge.token("bob")?);
    let (mut receivers, mut publishers) = try_join(
        every(async |sdk| SdkClient::subscribed(sdk, &edge.address, &alice, &["chat:room"]).await),
        every(async |sdk| SdkClient::start(sdk, &edge.address, &bob, &[]).await),
    )
    .await?;
    for (publisher, sdk) in publishers.iter_mut().zip(Sdk::ALL) {
        let data = json!({"from": format!("{sdk:?}")});
        let answer = publisher.publish("chat:room", &data).await?;
        ensure!(answer.name() == "published", "{sdk:?}: {answer:?}");
        for receiver in &mut receivers {
            assert_eq!(receiver.expect("publication").await?.data(), &data);
        }
    }
    Ok(())
}

#[tokio::test]
async fn publications_of_one_channel_arrive_in_order() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let token = edge.token("alice")?;
    let mut clients =
        every(async |sdk| SdkClient::subscribed(sdk, &edge.address, &token, &["news"]).await)
            .await?;
    for number in 0..200 {
        edge.api().publish("news", &json!(number)).await?;
    }
    for client in &mut clients {
        for number in 0..200 {
            assert_eq!(client.expect("publication").await?.data(), &json!(number));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_may_not_publish_where_it_is_not_permitted() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let token = edge.token("alice")?;
    every(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &[]).await?;
        client.expect("connected").await?;
        let answer = client.publish("news", &json!({})).await?;
        assert_eq!((answer.name(), answer.code()), ("error", 103), "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_subscription_that_is_not_permitted_is_refused_with_103() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let token = edge.token("alice")?;
    every(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &["closed:room"]).await?;
        assert_eq!(client.expect("unsubscribed").await?.code(), 103, "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_channel_of_an_unknown_namespace_is_refused_with_102() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let request = json!({"channel": "nosuch:room", "data": {}});
    let reply = edge.api().call("publish", &request).await?;
    assert_eq!((reply.status, reply.error_code()), (200, 102));
    let token = edge.token("alice")?;
    every(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &["nosuch:room"]).await?;
        assert_eq!(client.expect("unsubscribed").await?.code(), 102, "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}
