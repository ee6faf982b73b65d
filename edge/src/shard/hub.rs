//! Which connections of this shard are subscribed to which channel.
//!
//! Per channel and wire variant one dense array of connections, so that the fan-out is a walk over words. A
//! subscription knows its place in that array; whoever is moved by a removal is told.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::transport::Variant;

/// A channel of this shard.
pub type ChannelId = u32;

/// The shard's subscriptions.
#[derive(Debug, Default)]
pub struct Hub {
    names: HashMap<Arc<str>, ChannelId>,
    channels: Slab<Channel>,
}

#[derive(Debug)]
struct Channel {
    name: Arc<str>,
    /// Subscriptions whose attach is not answered yet.
    opening: u32,
    /// The broker answered an attach, so events reach this shard.
    attached: bool,
    members: Vec<Members>,
}

/// The subscribers of a channel that get the same bytes.
#[derive(Debug)]
pub struct Members {
    /// What they get.
    pub variant: Variant,
    /// Connections, by slab index.
    pub connections: Vec<u32>,
}

/// A member that took the place of a removed one.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its connection.
    pub connection: u32,
    /// Its new place.
    pub place: u32,
}

impl Hub {
    /// Counts a subscription that waits for the broker; the channel exists from here on.
    pub fn open(&mut self, channel: &str) -> ChannelId {
        let id = self.names.get(channel).copied().unwrap_or_else(|| {
            let name: Arc<str> = Arc::from(channel);
            let entry = Channel {
                name: Arc::clone(&name),
                opening: 0,
                attached: false,
                members: Vec::new(),
            };
            let id = index(self.channels.insert(entry));
            self.names.insert(name, id);
            id
        });
        if let Some(entry) = self.channels.get_mut(id as usize) {
            entry.opening += 1;
        }
        id
    }

    /// Whether events of the channel reach this shard.
    #[must_use]
    pub fn is_attached(&self, id: ChannelId) -> bool {
        self.channels
            .get(id as usize)
            .is_some_and(|channel| channel.attached)
    }

    /// Turns an opening subscription into a member and returns its place.
    pub fn join(&mut self, id: ChannelId, variant: Variant, connection: u32) -> u32 {
        let Some(channel) = self.channels.get_mut(id as usize) else {
            return 0;
        };
        channel.opening = channel.opening.saturating_sub(1);
        channel.attached = true;
        let at = channel
            .members
            .iter()
            .position(|members| members.variant == variant)
            .unwrap_or_else(|| {
                channel.members.push(Members {
                    variant,
                    connections: Vec::with_capacity(1),
                });
                channel.members.len() - 1
            });
        channel.members.get_mut(at).map_or(0, |members| {
            members.connections.push(connection);
            index(members.connections.len() - 1)
        })
    }

    /// Gives up an opening subscription; the channel's name if nobody is left.
    pub fn abandon(&mut self, id: ChannelId) -> Option<Arc<str>> {
        let channel = self.channels.get_mut(id as usize)?;
        channel.opening = channel.opening.saturating_sub(1);
        self.close_if_empty(id)
    }

    /// Removes a member from its place; who moved into it, and the channel's name if nobody is left.
    pub fn leave(
        &mut self,
        id: ChannelId,
        variant: Variant,
        place: u32,
    ) -> (Option<Moved>, Option<Arc<str>>) {
        let Some(channel) = self.channels.get_mut(id as usize) else {
            return (None, None);
        };
        let Some(at) = channel
            .members
            .iter()
            .position(|members| members.variant == variant)
        else {
            return (None, None);
        };
        let Some(members) = channel.members.get_mut(at) else {
            return (None, None);
        };
        if members.connections.len() <= place as usize {
            return (None, None);
        }
        members.connections.swap_remove(place as usize);
        let moved = members
            .connections
            .get(place as usize)
            .map(|&connection| Moved { connection, place });
        if members.connections.is_empty() {
            channel.members.swap_remove(at);
        } else if members.connections.capacity() > 4 * members.connections.len() {
            members.connections.shrink_to(2 * members.connections.len());
        }
        (moved, self.close_if_empty(id))
    }

    /// The channel's subscribers, by what they get.
    #[must_use]
    pub fn members(&self, channel: &str) -> &[Members] {
        self.names
            .get(channel)
            .and_then(|id| self.channels.get(*id as usize))
            .map_or(&[], |channel| &channel.members)
    }

    /// The id of a channel that exists here.
    #[must_use]
    pub fn id(&self, channel: &str) -> Option<ChannelId> {
        self.names.get(channel).copied()
    }

    /// A channel's name.
    #[must_use]
    pub fn name(&self, id: ChannelId) -> Option<&Arc<str>> {
        self.channels.get(id as usize).map(|channel| &channel.name)
    }

    /// The number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Every channel with its number of members.
    pub fn counts(&self) -> impl Iterator<Item = (Arc<str>, u32)> {
        self.channels.iter().map(|(_, channel)| {
            let count: usize = channel
                .members
                .iter()
                .map(|members| members.connections.len())
                .sum();
            (Arc::clone(&channel.name), index(count))
        })
    }

    fn close_if_empty(&mut self, id: ChannelId) -> Option<Arc<str>> {
        let channel = self.channels.get(id as usize)?;
        if channel.opening > 0 || !channel.members.is_empty() {
            return None;
        }
        let channel = self.channels.remove(id as usize);
        self.names.remove(&channel.name);
        Some(channel.name)
    }
}

/// Slab indices and counts stay far below 2^32: a process has at most so many sockets.
fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Join {
            connection: u32,
            channel: u8,
            protobuf: bool,
        },
        Abandon {
            channel: u8,
        },
        Leave {
            pick: usize,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_u32, 0..4_u8, any::<bool>()).prop_map(|(connection, channel, protobuf)| {
                Step::Join {
                    connection,
                    channel,
                    protobuf,
                }
            }),
            (0..4_u8).prop_map(|channel| Step::Abandon { channel }),
            any::<usize>().prop_map(|pick| Step::Leave { pick }),
        ]
    }

    fn variant(protobuf: bool) -> Variant {
        if protobuf {
            Variant::WebSocketProtobuf
        } else {
            Variant::WebSocketJson
        }
    }

    proptest! {
        #[test]
        fn the_hub_agrees_with_a_naive_model(steps in prop::collection::vec(step(), 0..80)) {
            let mut hub = Hub::default();
            // (channel, protobuf, connection) -> place
            let mut model: BTreeMap<(u8, bool, u32), (ChannelId, u32)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Join { connection, channel, protobuf } => {
                        if model.contains_key(&(channel, protobuf, connection)) {
                            continue;
                        }
                        let id = hub.open(&channel.to_string());
                        let place = hub.join(id, variant(protobuf), connection);
                        model.insert((channel, protobuf, connection), (id, place));
                    }
                    Step::Abandon { channel } => {
                        let id = hub.open(&channel.to_string());
                        let empty = hub.abandon(id).is_some();
                        prop_assert_eq!(empty, !model.keys().any(|key| key.0 == channel));
                    }
                    Step::Leave { pick } => {
                        let Some(&key) = model.keys().nth(pick % model.len().max(1)) else { continue };
                        let (id, place) = model.remove(&key).unwrap();
                        let (moved, empty) = hub.leave(id, variant(key.1), place);
                        if let Some(moved) = moved {
                            model.get_mut(&(key.0, key.1, moved.connection)).unwrap().1 = moved.place;
                        }
                        prop_assert_eq!(empty.is_some(), !model.keys().any(|other| other.0 == key.0));
                    }
                }
                for channel in 0..4_u8 {
                    for protobuf in [false, true] {
                        let expected: BTreeSet<u32> = model
                            .keys()
                            .filter(|key| key.0 == channel && key.1 == protobuf)
                            .map(|key| key.2)
                            .collect();
                        let members: Vec<u32> = hub
                            .members(&channel.to_string())
                            .iter()
                            .filter(|members| members.variant == variant(protobuf))
                            .flat_map(|members| members.connections.clone())
                            .collect();
                        prop_assert_eq!(members.len(), expected.len());
                        prop_assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), expected);
                    }
                }
            }
        }
    }
}
