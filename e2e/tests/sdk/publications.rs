//! What is published arrives, once, in order, and only where it may be.

use anyhow::{Result, ensure};
use futures::future::try_join;
use serde_json::json;
use tidewire_e2e::edge::BareEdge;
use tidewire_e2e::sdk::SdkClient;

use crate::{channels, every, sdks};

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
    for (publisher, sdk) in publishers.iter_mut().zip(sdks()) {
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
async fn what_a_client_may_not_do_is_refused_with_its_code() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let token = edge.token("alice")?;
    every(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &["closed:room"]).await?;
        let refused = client.expect("unsubscribed").await?;
        ensure!(refused.code() == 103, "not permitted: {refused:?}");
        let answer = client.publish("news", &json!({})).await?;
        ensure!(
            answer.name() == "error" && answer.code() == 103,
            "{answer:?}"
        );
        let unknown = json!({"op": "subscribe", "channel": "nosuch:room"});
        client.send(&unknown).await?;
        let refused = client.expect("unsubscribed").await?;
        ensure!(refused.code() == 102, "an unknown namespace: {refused:?}");
        Ok(())
    })
    .await?;
    Ok(())
}
