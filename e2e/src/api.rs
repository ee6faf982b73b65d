//! The HTTP API of an edge, as a backend calls it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A client of `/api/<method>` at one address.
pub struct ApiClient {
    base: String,
    key: String,
    http: reqwest::Client,
}

/// What a call answered.
#[derive(Debug)]
pub struct ApiReply {
    /// The HTTP status code.
    pub status: u16,
    /// The body, `Null` when it is not JSON.
    pub body: Value,
}

impl ApiReply {
    /// The code of a method's error, 0 when the call succeeded.
    #[must_use]
    pub fn error_code(&self) -> u64 {
        self.body
            .pointer("/error/code")
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }
}

impl ApiClient {
    /// A client of the server at `address` (host and port) with an API key.
    #[must_use]
    pub fn new(address: &str, key: &str) -> Self {
        Self {
            base: format!("http://{address}"),
            key: key.to_owned(),
            http: reqwest::Client::new(),
        }
    }

    /// Calls a method.
    ///
    /// # Errors
    /// When no HTTP answer comes. An answer that is an error is a value.
    pub async fn call(&self, method: &str, request: &Value) -> Result<ApiReply> {
        let response = self
            .http
            .post(format!("{}/api/{method}", self.base))
            .header("X-API-Key", &self.key)
            .json(request)
            .send()
            .await
            .with_context(|| format!("call of {method}"))?;
        let status = response.status().as_u16();
        let body = response.json().await.unwrap_or(Value::Null);
        Ok(ApiReply { status, body })
    }

    /// Publishes and insists on success.
    ///
    /// # Errors
    /// When the publication was refused.
    pub async fn publish(&self, channel: &str, data: &Value) -> Result<()> {
        let reply = self
            .call(
                "publish",
                &serde_json::json!({"channel": channel, "data": data}),
            )
            .await?;
        ensure!(
            reply.status == 200 && reply.error_code() == 0,
            "publish to {channel}: {reply:?}"
        );
        Ok(())
    }

    /// The status of a GET of another path, such as `/health`.
    ///
    /// # Errors
    /// When no HTTP answer comes.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}
