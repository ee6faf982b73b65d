//! Subscriptions that the server makes.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use serde_json::json;
use tidewire_e2e::edge::{BareEdge, TOKEN_SECRET};
use tidewire_e2e::proxy::Proxy;
use tidewire_e2e::sdk::{Event, Sdk, SdkClient};
use tidewire_e2e::token;

use crate::{every, features, own};

/// A token that subscribes its user to these channels.
fn subscribing_to(user: &str, channels: &[&str]) -> Result<String> {
    token::signed(TOKEN_SECRET, &json!({"sub": user, "channels": channels}))
}

#[tokio::test]
async fn subscriptions_come_with_the_token_and_later() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    every(async |sdk| {
        let (user, mine, later) = (own("", sdk), own("kept:", sdk), own("plain:", sdk));
        let token = subscribing_to(&user, &[&mine])?;
        let mut client = SdkClient::start(sdk, &edge.address, &token, &[]).await?;
        let subscribed = client.expect("subscribed").await?;
        ensure!(subscribed.field("channel") == mine, "{subscribed:?}");
        ensure!(subscribed.is("server_side"), "{subscribed:?}");

        let api = edge.api();
        let request = json!({"user": user, "channel": later});
        api.call("subscribe", &request).await?;
        let subscribed = client.expect("subscribed").await?;
        ensure!(subscribed.field("channel") == later, "{subscribed:?}");
        for channel in [&later, &mine] {
            api.publish(channel, &json!(channel)).await?;
            let publication = client.expect("publication").await?;
            assert_eq!(publication.data(), channel, "{sdk:?}");
            ensure!(publication.is("server_side"), "{publication:?}");
        }

        let request = json!({"user": user, "channel": mine});
        api.call("unsubscribe", &request).await?;
        let unsubscribed = client.expect("unsubscribed").await?;
        ensure!(unsubscribed.field("channel") == mine, "{unsubscribed:?}");
        // Nothing comes of the one that was ended.
        api.publish(&mine, &json!("unheard")).await?;
        api.publish(&later, &json!("heard")).await?;
        assert_eq!(client.expect("publication").await?.data(), "heard");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_token_that_subscribes_to_a_channel_that_cannot_be_is_refused_with_102() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let token = subscribing_to("alice", &["kept:mine", "nosuch:mine"])?;
    every(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &[]).await?;
        assert_eq!(client.expect("disconnected").await?.code(), 102, "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

/// A client that was cut off from the channel of its token while these numbers were published.
async fn cut_off(
    sdk: Sdk,
    edge: &BareEdge,
    channel: &str,
    missed: RangeInclusive<u64>,
) -> Result<(SdkClient, Event, Proxy)> {
    let proxy = Proxy::start(&edge.address).await?;
    let token = subscribing_to("alice", &[channel])?;
    let mut client = SdkClient::start(sdk, &proxy.address, &token, &[]).await?;
    client.expect("subscribed").await?;
    edge.api().publish(channel, &json!(0)).await?;
    assert_eq!(client.expect("publication").await?.data(), &json!(0));
    proxy.cut();
    client.expect("connecting").await?;
    for number in missed {
        edge.api().publish(channel, &json!(number)).await?;
    }
    proxy.restore();
    let again = client.expect("subscribed").await?;
    Ok((client, again, proxy))
}

#[tokio::test]
async fn what_they_missed_during_a_cut_is_recovered_in_order() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    every(async |sdk| {
        let channel = own("kept:", sdk);
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, 1..=5).await?;
        ensure!(again.is("recovered"), "{again:?}");
        edge.api().publish(&channel, &json!(6)).await?;
        for number in 1..=6 {
            assert_eq!(
                client.expect("publication").await?.data(),
                number,
                "{sdk:?}"
            );
        }
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_they_missed_beyond_the_history_is_not_said_to_be_recovered() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    every(async |sdk| {
        let channel = own("kept:", sdk);
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, 1..=6).await?;
        ensure!(!again.is("recovered"), "{again:?}");
        edge.api().publish(&channel, &json!(7)).await?;
        assert_eq!(client.expect("publication").await?.data(), 7, "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}
