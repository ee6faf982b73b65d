//! Pages of other origins. All pages of these tests have one that is not the edge's.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tidewire_e2e::edge::BareEdge;
use tidewire_e2e::sdk::{Sdk, SdkClient};
use tidewire_e2e::wait::{self, Seen};

use crate::{client, each};

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_allowed_does_not_get_in() -> Result<()> {
    let edge = BareEdge::start(json!({"client": client("https://example.com")})).await?;
    let token = edge.token("alice")?;
    each(Sdk::IN_CHROMIUM.into_iter(), async |sdk| {
        let mut client = SdkClient::start(sdk, &edge.address, &token, &[]).await?;
        // The browser does not tell the SDK why; it tries again and again.
        for _ in 0..2 {
            let error = client.expect("error").await?;
            ensure!(error.field("op").starts_with("transport"), "{error:?}");
        }
        Ok(())
    })
    .await?;
    // A stream is opened without CORS headers, and the browser gives it up: none stays.
    wait::until("no client", Duration::from_secs(20), async || {
        let info = edge.api().call("info", &json!({})).await?;
        let clients = info.body.pointer("/result/nodes/0/num_clients");
        Ok(Seen::when(clients == Some(&json!(0)), || {
            format!("{info:?}")
        }))
    })
    .await?;
    // Who has no origin is no page.
    let mut other = SdkClient::start(Sdk::GoJson, &edge.address, &token, &[]).await?;
    other.expect("connected").await?;
    Ok(())
}
