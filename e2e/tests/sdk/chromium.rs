//! The JavaScript SDK in a page of Chromium, over every transport. The page's origin is not that of the edge.
//! Few tests with much in each: starting a browser costs more than all the rest.

use anyhow::{Result, ensure};
use serde_json::json;
use tidewire_e2e::edge::{BareEdge, TOKEN_SECRET};
use tidewire_e2e::sdk::{Sdk, SdkClient};
use tidewire_e2e::token;

use crate::recovery::{knows_its_loss, recovers};
use crate::{each, features, features_for_pages_of};

/// Runs the scenario with every transport and ends its clients.
async fn in_pages(scenario: impl AsyncFn(Sdk) -> Result<SdkClient>) -> Result<()> {
    for client in each(Sdk::IN_CHROMIUM.into_iter(), scenario).await? {
        client.end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_page_publishes_and_recovers_what_it_missed_during_a_cut() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    in_pages(async |sdk| {
        let (mut client, _proxy) = recovers(&edge, sdk).await?;
        let subscribe = json!({"op": "subscribe", "channel": "chat:room"});
        client.send(&subscribe).await?;
        client.expect("subscribed").await?;
        let data = json!({"from": format!("{sdk:?}")});
        let answer = client.publish("chat:room", &data).await?;
        ensure!(answer.name() == "published", "{answer:?}");
        let answer = client.publish("kept:room", &data).await?;
        ensure!(answer.code() == 103, "{answer:?}");
        Ok(client)
    })
    .await
}

#[tokio::test]
async fn a_page_knows_what_it_lost_during_a_cut() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    in_pages(async |sdk| knows_its_loss(&edge, sdk).await).await
}

#[tokio::test]
async fn a_page_with_a_wrong_token_is_refused_with_3500() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let forged = token::connection("another secret", "alice")?;
    in_pages(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &forged, &[]).await?;
        let code = client.expect("disconnected").await?.code();
        ensure!(code == 3500, "disconnected with {code}");
        Ok(client)
    })
    .await
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_allowed_does_not_get_in() -> Result<()> {
    let edge = BareEdge::start(features_for_pages_of("https://example.com")).await?;
    let token = token::connection(TOKEN_SECRET, "alice")?;
    in_pages(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &["kept:room"]).await?;
        for _ in 0..2 {
            // It tries again and again.
            let error = client.expect("error").await?;
            ensure!(error.field("op").starts_with("transport"), "{error:?}");
        }
        Ok(client)
    })
    .await?;
    let request = json!({"channel": "kept:room"});
    let present = edge.api().call("presence_stats", &request).await?;
    let clients = present.body.pointer("/result/num_clients");
    assert_eq!(clients, Some(&json!(0)), "{present:?}");
    Ok(())
}
