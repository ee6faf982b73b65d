//! What happens to publications that were missed while the connection was cut.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use serde_json::json;
use tidewire_e2e::edge::BareEdge;
use tidewire_e2e::proxy::Proxy;
use tidewire_e2e::sdk::{Ability, Event, Sdk, SdkClient};

use crate::{every, every_able, features, own};

/// A client that was cut off from `channel` while these numbers were published.
async fn cut_off(
    sdk: Sdk,
    edge: &BareEdge,
    channel: &str,
    arguments: &[&str],
    missed: RangeInclusive<u64>,
) -> Result<(SdkClient, Event, Proxy)> {
    let proxy = Proxy::start(&edge.address).await?;
    let token = edge.token("alice")?;
    let mut client =
        SdkClient::start_with(sdk, &proxy.address, &token, &[channel], arguments).await?;
    client.expect("subscribed").await?;
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

/// The next publications have these numbers.
async fn expect_numbers(client: &mut SdkClient, numbers: RangeInclusive<u64>) -> Result<()> {
    for number in numbers {
        let publication = client.expect("publication").await?;
        ensure!(publication.data() == &json!(number), "{publication:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_missed_during_a_cut_is_recovered_in_order() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    every(async |sdk| {
        let channel = own("kept:", sdk);
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, &[], 1..=5).await?;
        ensure!(
            again.is("was_recovering") && again.is("recovered"),
            "{again:?}"
        );
        edge.api().publish(&channel, &json!(6)).await?;
        expect_numbers(&mut client, 1..=6).await
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_was_trimmed_during_a_cut_is_not_said_to_be_recovered() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    every(async |sdk| {
        let channel = own("kept:", sdk);
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, &[], 1..=6).await?;
        ensure!(
            again.is("was_recovering") && !again.is("recovered"),
            "{again:?}"
        );
        edge.api().publish(&channel, &json!(7)).await?;
        expect_numbers(&mut client, 7..=7).await
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn without_recovery_what_was_missed_during_a_cut_is_lost() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    every(async |sdk| {
        let channel = own("plain:", sdk);
        let (mut client, again, _proxy) = cut_off(sdk, &edge, &channel, &[], 1..=2).await?;
        ensure!(
            !again.is("was_recovering") && !again.is("recovered"),
            "{again:?}"
        );
        edge.api().publish(&channel, &json!(3)).await?;
        expect_numbers(&mut client, 3..=3).await
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn deltas_go_on_after_what_was_missed_is_recovered() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    every_able(Ability::Delta, async |sdk| {
        let channel = own("delta:", sdk);
        let (mut client, again, _proxy) =
            cut_off(sdk, &edge, &channel, &["--delta"], 1..=5).await?;
        ensure!(
            again.is("was_recovering") && again.is("recovered"),
            "{again:?}"
        );
        for number in 6..=8 {
            edge.api().publish(&channel, &json!(number)).await?;
        }
        expect_numbers(&mut client, 1..=8).await
    })
    .await?;
    Ok(())
}
