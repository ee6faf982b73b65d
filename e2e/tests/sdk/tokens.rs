//! Tokens: right, wrong, expired, refreshed.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};
use tidewire_e2e::edge::{BareEdge, TOKEN_SECRET};
use tidewire_e2e::sdk::{Sdk, SdkClient};
use tidewire_e2e::token;

use crate::{channels, every, features, sdks};

/// A token of this user that expires in so many seconds.
fn expiring(user: &str, seconds: i64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({"sub": user, "exp": now.saturating_add_signed(seconds)});
    token::signed(TOKEN_SECRET, &claims)
}

/// Gives the SDK the token that it asked for.
async fn give(client: &mut SdkClient, token: &str) -> Result<()> {
    client.send(&json!({"op": "token", "token": token})).await
}

/// A client whose SDK asks for a token: it has none, or an expired one.
async fn wants_a_token(
    sdk: Sdk,
    edge: &BareEdge,
    token: &str,
    channels: &[&str],
) -> Result<SdkClient> {
    let mut client =
        SdkClient::start_with(sdk, &edge.address, token, channels, &["--refresh"]).await?;
    client.expect("token_wanted").await?;
    Ok(client)
}

/// A client that is subscribed, with a token of alice that soon expires, until the SDK wants another.
async fn wants_another_token(sdk: Sdk, edge: &BareEdge) -> Result<SdkClient> {
    let mut client = wants_a_token(sdk, edge, "", &["kept:room"]).await?;
    // Issued now and not before the SDK was started, which may take long.
    give(&mut client, &expiring("alice", 4)?).await?;
    client.expect("subscribed").await?;
    client.expect("token_wanted").await?;
    Ok(client)
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_3500() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let forged = token::connection("another secret", "alice")?;
    every(async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &forged, &[]).await?;
        assert_eq!(client.expect("disconnected").await?.code(), 3500, "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let expired = expiring("alice", -60)?;
    every(async |sdk| {
        let mut client = wants_a_token(sdk, &edge, &expired, &[]).await?;
        give(&mut client, &expiring("alice", 600)?).await?;
        client.expect("connected").await?;
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_forged_token_does_not_replace_one_that_has_expired() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let expired = expiring("alice", -60)?;
    let forged = token::connection("another secret", "alice")?;
    every(async |sdk| {
        let mut client = wants_a_token(sdk, &edge, &expired, &[]).await?;
        give(&mut client, &forged).await?;
        assert_eq!(client.expect("disconnected").await?.code(), 3500, "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_lives_on_when_its_token_is_refreshed_and_only_then() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let mut clients = every(async |sdk| {
        let mut client = wants_another_token(sdk, &edge).await?;
        give(&mut client, &expiring("alice", 600)?).await?;
        Ok(client)
    })
    .await?;
    let connected = || async {
        let request = json!({"channel": "kept:room"});
        let body = edge.api().call("presence", &request).await?.body;
        let clients = body.pointer("/result/presence").and_then(Value::as_object);
        anyhow::Ok(clients.map(|clients| clients.keys().cloned().collect::<BTreeSet<_>>()))
    };
    let before = connected().await?;
    assert_eq!(before.as_ref().map(BTreeSet::len), Some(sdks().count()));
    // The token of one that is not refreshed expires after all of theirs.
    let mut other = wants_another_token(Sdk::GoJson, &edge).await?;
    assert_eq!(other.expect("connecting").await?.code(), 3005);
    assert_eq!(connected().await?, before, "the same connections");
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
    every(async |sdk| {
        let mut client = wants_another_token(sdk, &edge).await?;
        give(&mut client, &expiring("mallory", 600)?).await?;
        assert_eq!(client.expect("disconnected").await?.code(), 3500, "{sdk:?}");
        Ok(())
    })
    .await?;
    Ok(())
}
