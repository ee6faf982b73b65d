//! What keeps channel state, and what carries publications between nodes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::closed_set::closed_set;
use crate::Duration;

/// What keeps the state of channels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Engine {
    /// Kind of engine.
    #[serde(rename = "type")]
    pub r#type: EngineType,
}

/// A kind of engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum EngineType {
    /// In the memory of this process; nodes share nothing.
    #[default]
    Memory,
}

/// What carries publications between nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Broker {
    /// Use the broker of `broker.type` instead of the engine's own.
    pub enabled: bool,
    /// Kind of broker.
    #[serde(rename = "type")]
    pub r#type: BrokerType,
    /// The NATS broker: at most once, no history.
    pub nats: Nats,
}

/// A kind of broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum BrokerType {
    /// In the memory of this process.
    #[default]
    Memory,
    /// NATS subjects: at most once, between all nodes with the same prefix.
    Nats,
}

/// The NATS broker.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Nats {
    /// First part of every subject; nodes with the same prefix form one cluster.
    pub prefix: String,
    /// Addresses of NATS servers, separated by commas.
    pub url: String,
    /// Longest time to establish a connection.
    pub dial_timeout: Duration,
    /// Longest time for one write to the server.
    pub write_timeout: Duration,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            prefix: "centrifugo".to_owned(),
            url: "nats://localhost:4222".to_owned(),
            dial_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for Nats {
    /// Hides user name and password inside the addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url: Vec<String> = self.url.split(',').map(without_credentials).collect();
        f.debug_struct("Nats")
            .field("prefix", &self.prefix)
            .field("url", &url.join(","))
            .field("dial_timeout", &self.dial_timeout)
            .field("write_timeout", &self.write_timeout)
            .finish()
    }
}

fn without_credentials(address: &str) -> String {
    let Some((before, host)) = address.rsplit_once('@') else {
        return address.to_owned();
    };
    let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
    if scheme.is_empty() {
        format!("***@{host}")
    } else {
        format!("{scheme}://***@{host}")
    }
}

#[cfg(test)]
mod tests {
    use super::Nats;

    #[test]
    fn debug_output_hides_credentials_in_addresses() {
        let nats = Nats {
            url: "nats://user:p@ss@one:4222,token@two,nats://three:4222".to_owned(),
            ..Nats::default()
        };
        let printed = format!("{nats:?}");
        assert!(
            printed.contains("\"nats://***@one:4222,***@two,nats://three:4222\""),
            "{printed}"
        );
        assert!(!printed.contains("ss"), "{printed}");
    }
}
