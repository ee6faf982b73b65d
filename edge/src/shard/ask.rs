//! Questions about a shard's state that other threads ask through its inbox.

use std::collections::HashSet;
use std::sync::Arc;

/// A question to one shard.
#[derive(Clone, Debug)]
pub enum Ask {
    /// The users connected to the shard.
    Users,
    /// The channels with a subscriber on the shard.
    Channels,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum Told {
    /// Every distinct user; all anonymous connections are the one user "".
    Users(HashSet<Box<str>>),
    /// Channel name and number of subscriptions.
    Channels(Vec<(Arc<str>, u32)>),
}
