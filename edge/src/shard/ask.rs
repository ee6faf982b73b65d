//! Questions about a shard's state that other threads ask through its inbox.

use std::collections::HashSet;
use std::sync::Arc;

use tidewire_protocol::ClientInfo;

use crate::control::NodeCommand;

/// A question to one shard.
#[derive(Clone, Debug)]
pub enum Ask {
    /// The users connected to the shard.
    Users,
    /// The channels with a subscriber on the shard.
    Channels,
    /// The clients of a channel.
    Presence(Arc<str>),
    /// Do this to the shard's connections.
    Act(Arc<NodeCommand>),
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum Told {
    /// Every distinct user; all anonymous connections are the one user "".
    Users(HashSet<Box<str>>),
    /// Channel name and number of subscriptions.
    Channels(Vec<(Arc<str>, u32)>),
    /// The clients of the channel that take part in its presence.
    Presence(Vec<ClientInfo>),
    /// It is done.
    Done,
}
