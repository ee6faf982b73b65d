//! Deltas: the same publications in fewer bytes.

use anyhow::{Result, ensure};
use serde_json::json;
use tidewire_e2e::edge::BareEdge;
use tidewire_e2e::proxy::Proxy;
use tidewire_e2e::sdk::{Ability, Sdk, SdkClient};

use crate::{every_able, features, own};

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
    every_able(Ability::Delta, async |sdk| {
        let with = bytes_of_documents(sdk, &edge, &own("delta:", sdk)).await?;
        // Where deltas are not allowed, who asks for them gets whole documents.
        let without = bytes_of_documents(sdk, &edge, &own("whole:", sdk)).await?;
        ensure!(without > 20 * 5_000, "{without} bytes whole");
        ensure!(with < without / 5, "{with} of {without} bytes");
        Ok(())
    })
    .await?;
    Ok(())
}
