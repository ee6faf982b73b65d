//! Commands to every node: what the server API does to a user's connections.

use serde::{Deserialize, Serialize};

/// Whose connections a command is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The user; "" addresses the anonymous connections.
    pub user: String,
    /// Only this client id; "" = all of the user's.
    pub client: String,
    /// Only this session; "" = all.
    pub session: String,
}

/// Something that every node does to the connections that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeCommand {
    /// Close connections.
    Disconnect {
        /// Whose.
        target: Target,
        /// Client ids to spare.
        whitelist: Vec<String>,
        /// Close code.
        code: u32,
        /// Close reason.
        reason: String,
    },
    /// End a subscription.
    Unsubscribe {
        /// Whose.
        target: Target,
        /// The channel's full name.
        channel: String,
    },
    /// Subscribe connections.
    Subscribe {
        /// Whose.
        target: Target,
        /// To what, and how.
        subscription: ServerSubscription,
    },
    /// Change when connections expire.
    Refresh {
        /// Whose.
        target: Target,
        /// Close them as expired.
        expired: bool,
        /// Seconds since the Unix epoch; 0 = never, the past = close them as expired.
        expire_at: i64,
        /// `conn_info` from now on, where the connections live on and expire; empty keeps what they have.
        #[serde(default)]
        info: Vec<u8>,
    },
}

/// A subscription that a backend makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSubscription {
    /// The channel's full name.
    pub channel: String,
    /// `chan_info`.
    pub info: Vec<u8>,
    /// Data for the subscribe push.
    pub data: Vec<u8>,
    /// Seconds since the Unix epoch; 0 = never.
    pub expire_at: i64,
    /// Namespace options that are different for this subscription.
    pub overrides: ServerOverrides,
    /// Deliver what was published since.
    #[serde(default)]
    pub recover_since: Option<Since>,
}

/// A position in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The offset of the last publication that is known.
    pub offset: u64,
    /// The stream's epoch; empty = any.
    pub epoch: String,
}

/// Namespace options that a backend overrides; `None` keeps the namespace's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerOverrides {
    /// Take part in presence.
    pub presence: Option<bool>,
    /// Send join and leave events.
    pub join_leave: Option<bool>,
    /// Get join and leave events.
    pub force_push_join_leave: Option<bool>,
    /// Recover.
    pub force_recovery: Option<bool>,
    /// Notice loss.
    pub force_positioning: Option<bool>,
}
