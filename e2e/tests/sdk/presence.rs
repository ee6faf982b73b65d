//! Who is there, and what was said before.

use anyhow::Result;
use serde_json::json;
use tidewire_e2e::edge::BareEdge;
use tidewire_e2e::sdk::{Sdk, SdkClient};

use crate::{every, features, sdks};

/// Two users share the SDKs between them.
fn user(sdk: Sdk) -> &'static str {
    let place = sdks().position(|one| one == sdk);
    if place.is_some_and(|place| place % 2 == 0) {
        "alice"
    } else {
        "bob"
    }
}

#[tokio::test]
async fn presence_and_history_are_for_subscribers_of_channels_that_allow_it() -> Result<()> {
    let edge = BareEdge::start(features()).await?;
    let mut clients = every(async |sdk| {
        let token = edge.token(user(sdk))?;
        SdkClient::subscribed(sdk, &edge.address, &token, &["kept:room", "plain:room"]).await
    })
    .await?;
    for number in 1..=7 {
        edge.api().publish("kept:room", &json!(number)).await?;
    }
    let mut users: Vec<_> = sdks().map(user).collect();
    users.sort_unstable();
    let present = json!({"users": users, "clients": users.len(), "distinct": 2});
    for (client, sdk) in clients.iter_mut().zip(sdks()) {
        let presence = json!({"op": "presence", "channel": "kept:room"});
        let answer = client.ask(&presence, "presence").await?;
        assert_eq!(answer.data(), &present, "{sdk:?}");
        let history = json!({"op": "history", "channel": "kept:room", "limit": 10});
        let answer = client.ask(&history, "history").await?;
        assert_eq!(answer.data(), &json!([7, 6, 5, 4, 3]), "{sdk:?}");
        for op in ["presence", "history"] {
            let refused = json!({"op": op, "channel": "plain:room", "limit": 10});
            let answer = client.ask(&refused, op).await?;
            let refusal = (answer.name(), answer.code());
            assert_eq!(refusal, ("error", 103), "{sdk:?}: {op}");
        }
    }
    Ok(())
}
