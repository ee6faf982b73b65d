//! Who has no right, asks for what is not there, or does not speak the protocol.

use anyhow::Result;
use serde_json::{Value, json};
use tidewire_e2e::api::ApiClient;
use tidewire_e2e::bad_input;
use tidewire_e2e::edge::BareEdge;

use crate::channels;

#[tokio::test]
async fn a_wrong_api_key_is_refused_with_401() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let reply = ApiClient::new(&edge.address, "wrong")
        .call("publish", &json!({"channel": "news", "data": {}}))
        .await?;
    assert_eq!((reply.status, reply.body), (401, Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_publication_in_an_unknown_namespace_is_refused_with_102() -> Result<()> {
    let edge = BareEdge::start(channels()).await?;
    let request = json!({"channel": "nosuch:room", "data": {}});
    let reply = edge.api().call("publish", &request).await?;
    assert_eq!((reply.status, reply.error_code()), (200, 102));
    Ok(())
}

#[tokio::test]
async fn bad_input_gets_the_protocols_code_and_does_not_end_the_process() -> Result<()> {
    let mut edge = BareEdge::start(channels()).await?;
    bad_input::check(&edge.address, &edge.token("alice")?).await?;
    assert!(edge.is_running()?);
    assert_eq!(edge.api().get("/health").await?.0, 200);
    Ok(())
}
