//! The official SDKs against one edge with the memory engine.

mod deltas;
mod origins;
mod presence;
mod publications;
mod recovery;
mod server_side;
mod strangers;
mod tokens;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tidewire_e2e::edge::TOKEN_SECRET;
use tidewire_e2e::sdk::{Ability, Sdk};

/// Every SDK over every transport; JavaScript in Node and in Chromium.
fn sdks() -> impl Iterator<Item = Sdk> {
    let more = Sdk::OVER_HTTP.into_iter().chain(Sdk::IN_CHROMIUM);
    Sdk::ALL.into_iter().chain(more)
}

/// Runs the scenario with every SDK, all at the same time.
async fn every<T>(scenario: impl AsyncFn(Sdk) -> Result<T>) -> Result<Vec<T>> {
    each(sdks(), scenario).await
}

/// Runs the scenario with every SDK that has the ability, and says which have not.
async fn every_able<T>(
    ability: Ability,
    scenario: impl AsyncFn(Sdk) -> Result<T>,
) -> Result<Vec<T>> {
    for sdk in sdks() {
        if let Some(reason) = sdk.lacks(ability) {
            eprintln!("{sdk:?} lacks {ability:?}: {reason}");
        }
    }
    let able = sdks().filter(|sdk| sdk.lacks(ability).is_none());
    each(able, scenario).await
}

async fn each<T>(
    sdks: impl Iterator<Item = Sdk>,
    scenario: impl AsyncFn(Sdk) -> Result<T>,
) -> Result<Vec<T>> {
    let scenario = &scenario;
    let runs =
        sdks.map(|sdk| async move { scenario(sdk).await.with_context(|| format!("with {sdk:?}")) });
    try_join_all(runs).await
}

/// A channel, or a user, of this SDK alone.
fn own(prefix: &str, sdk: Sdk) -> String {
    format!("{prefix}{sdk:?}")
}

/// Any page of this machine: those of Chromium have a port of their own.
const PAGES: &str = "http://127.0.0.1:*";

/// Clients may subscribe to any channel but those of `closed`, and publish in the namespace `chat`.
fn channels() -> Value {
    json!({"client": client(PAGES), "channel": {
        "without_namespace": {"allow_subscribe_for_client": true},
        "namespaces": [
            {"name": "chat", "allow_subscribe_for_client": true, "allow_publish_for_client": true},
            {"name": "closed"},
        ],
    }})
}

/// The section `client`, for pages of this origin. Connections are closed some seconds after their token
/// has expired: time for an SDK on a busy machine to bring another.
fn client(origin: &str) -> Value {
    json!({
        "token": {"hmac_secret_key": TOKEN_SECRET},
        "allowed_origins": [origin],
        "expired_close_delay": "5s",
    })
}

/// Namespaces with what a session may have, and others without.
fn features() -> Value {
    json!({
        "client": client(PAGES),
        "channel": {"namespaces": [
            {"name": "kept", "allow_subscribe_for_client": true, "history_size": 5, "history_ttl": "60s",
             "force_recovery": true, "presence": true, "allow_presence_for_subscriber": true,
             "allow_history_for_subscriber": true},
            {"name": "plain", "allow_subscribe_for_client": true, "presence": true,
             "history_size": 5, "history_ttl": "60s"},
            {"name": "delta", "allow_subscribe_for_client": true, "history_size": 50, "history_ttl": "60s",
             "force_recovery": true, "delta_publish": true, "allowed_delta_types": ["fossil"]},
            {"name": "whole", "allow_subscribe_for_client": true, "history_size": 50, "history_ttl": "60s",
             "force_recovery": true, "delta_publish": true},
        ]},
    })
}
