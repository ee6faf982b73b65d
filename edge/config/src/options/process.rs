//! The process itself: its log, its name, its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::closed_set::closed_set;
use crate::Duration;

/// What is logged, and where to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Log {
    /// Least severity that is logged.
    ///
    /// Letter case does not matter, and an unknown level counts as `info`, with a warning.
    #[schemars(extend("x-tidewire-fallback" = "info"))]
    pub level: LogLevel,
    /// File to which JSON lines are appended; empty logs to the standard streams.
    pub file: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            file: String::new(),
        }
    }
}

/// A severity, from nothing at all to what cannot be survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum LogLevel {
    /// Nothing is logged.
    None,
    /// Everything, single frames included.
    Trace,
    /// What a developer needs, HTTP requests included.
    Debug,
    /// What an operator wants to know in normal work.
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
    /// What ends the process.
    Fatal,
}

/// This node among the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Node {
    /// Name of this node, unique among the nodes; empty means host name and port.
    pub name: String,
    /// Time over which the figures in the answer of the API method `info` are gathered.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub info_metrics_aggregate_interval: Duration,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: String::new(),
            info_metrics_aggregate_interval: Duration::from_secs(60),
        }
    }
}

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Shutdown {
    /// Longest time for closing connections and ending; after it the process exits at once.
    ///
    /// It begins after the wait of `tidewire.drain.endpoint_propagation`.
    pub timeout: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
        }
    }
}
