//! Which connections of this shard are subscribed to which channel.
//!
//! Per channel and [`Kind`] one dense array of connections, so that the fan-out is a walk over words and nobody
//! pays for what others negotiated. A subscription knows its place in that array; whoever is moved by a removal
//! is told.
//!
//! Positions are kept per channel, not per subscription: all events of a channel pass through the shard in
//! order, so everybody who is in step with the channel is in step with the stream. Only who subscribed while
//! older events were still on their way waits in `late` until they have passed.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::broker::Position;
use crate::transport::Variant;

/// A channel of this shard.
pub type ChannelId = u32;

/// The shard's subscriptions.
#[derive(Debug, Default)]
pub struct Hub {
    names: HashMap<Arc<str>, ChannelId>,
    channels: Slab<Channel>,
}

/// A channel with a subscriber on this shard.
#[derive(Debug)]
pub struct Channel {
    name: Arc<str>,
    /// Subscriptions whose attach is not answered yet.
    opening: u32,
    /// The last event that passed; `None` without a stream.
    position: Option<Position>,
    members: Vec<Members>,
    late: Vec<Late>,
}

/// What a subscriber gets of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Encoding and framing.
    pub variant: Variant,
    /// Whole payloads or patches.
    pub delta: DeltaState,
    /// Each publication is checked against the subscriber's tag filter.
    pub filtered: bool,
    /// Joins and leaves too.
    pub joins: bool,
}

/// Whether a subscriber gets patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaState {
    /// Not negotiated.
    Off,
    /// Negotiated; the next publication goes out whole.
    Fresh,
    /// It has the previous publication.
    Synced,
}

/// The subscribers of a channel that get the same bytes.
#[derive(Debug)]
pub struct Members {
    /// What they get.
    pub kind: Kind,
    /// Connections, by slab index.
    pub connections: Vec<u32>,
}

/// A subscriber that already has what is still on its way.
#[derive(Clone, Copy, Debug)]
struct Late {
    connection: u32,
    kind: Kind,
    /// Events up to this offset are not for it.
    until: u64,
}

/// Where a subscription is among the channel's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The broker has not answered the subscribe of this number.
    Opening(u32),
    /// In step, at this index of its kind's array.
    At(u32),
    /// Waiting for older events to pass.
    Late,
}

/// A subscription whose place, or kind, has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its connection.
    pub connection: u32,
    /// Its kind now.
    pub kind: Kind,
    /// Its place now.
    pub place: Place,
}

/// How an event stands to what passed before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the next one, or the channel has no stream.
    Next,
    /// It passed already.
    Old,
    /// Something is missing before it.
    Gap,
}

impl Hub {
    /// Counts a subscription that waits for the broker; the channel exists from here on.
    pub fn open(&mut self, channel: &str) -> ChannelId {
        let id = self.names.get(channel).copied().unwrap_or_else(|| {
            let name: Arc<str> = Arc::from(channel);
            let id = index(self.channels.insert(Channel {
                name: Arc::clone(&name),
                opening: 0,
                position: None,
                members: Vec::new(),
                late: Vec::new(),
            }));
            self.names.insert(name, id);
            id
        });
        if let Some(entry) = self.channels.get_mut(id as usize) {
            entry.opening += 1;
        }
        id
    }

    /// Turns an opening subscription into a member and returns its place. `position` is where the broker
    /// attached it, if the channel has a stream.
    pub fn join(
        &mut self,
        id: ChannelId,
        kind: Kind,
        connection: u32,
        position: Option<&Position>,
    ) -> Place {
        let Some(channel) = self.channels.get_mut(id as usize) else {
            return Place::Opening(0);
        };
        channel.opening = channel.opening.saturating_sub(1);
        match (position, &channel.position) {
            (Some(at), Some(passed)) if at.epoch == passed.epoch && at.offset > passed.offset => {
                channel.late.push(Late {
                    connection,
                    kind,
                    until: at.offset,
                });
                Place::Late
            }
            (Some(at), passed) => {
                if passed.is_none() || channel.is_empty() && !is_beyond(passed.as_ref(), at) {
                    channel.position = Some(at.clone());
                }
                Place::At(channel.add(kind, connection))
            }
            (None, _) => Place::At(channel.add(kind, connection)),
        }
    }

    /// Whether events after this position have passed already: who joins there now has missed them.
    #[must_use]
    pub fn is_beyond(&self, id: ChannelId, at: &Position) -> bool {
        let channel = self.channels.get(id as usize);
        is_beyond(channel.and_then(Channel::position), at)
    }

    /// Gives up an opening subscription; the channel's name if nobody is left.
    pub fn abandon(&mut self, id: ChannelId) -> Option<Arc<str>> {
        let channel = self.channels.get_mut(id as usize)?;
        channel.opening = channel.opening.saturating_sub(1);
        self.close_if_empty(id)
    }

    /// Removes a member; who moved into its place, and the channel's name if nobody is left.
    pub fn leave(&mut self, id: ChannelId, member: Moved) -> (Option<Moved>, Option<Arc<str>>) {
        let Some(channel) = self.channels.get_mut(id as usize) else {
            return (None, None);
        };
        let moved = match member.place {
            Place::Opening(_) => None,
            Place::Late => {
                channel
                    .late
                    .retain(|late| late.connection != member.connection);
                None
            }
            Place::At(place) => channel.remove(member.kind, place),
        };
        (moved, self.close_if_empty(id))
    }

    /// The channel, if somebody here is subscribed to it.
    #[must_use]
    pub fn channel(&self, channel: &str) -> Option<&Channel> {
        let id = self.names.get(channel)?;
        self.channels.get(*id as usize)
    }

    /// The same, with its id, to be advanced.
    pub fn channel_mut(&mut self, channel: &str) -> Option<(ChannelId, &mut Channel)> {
        let id = *self.names.get(channel)?;
        Some((id, self.channels.get_mut(id as usize)?))
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
            (
                Arc::clone(&channel.name),
                index(channel.connections().count()),
            )
        })
    }

    fn close_if_empty(&mut self, id: ChannelId) -> Option<Arc<str>> {
        let channel = self.channels.get(id as usize)?;
        if channel.opening > 0 || !channel.is_empty() {
            return None;
        }
        let channel = self.channels.remove(id as usize);
        self.names.remove(&channel.name);
        Some(channel.name)
    }
}

impl Channel {
    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The subscribers that are in step, by what they get.
    #[must_use]
    pub fn members(&self) -> &[Members] {
        &self.members
    }

    /// Every subscriber, late ones too.
    pub fn connections(&self) -> impl Iterator<Item = u32> {
        let members = self
            .members
            .iter()
            .flat_map(|members| members.connections.iter().copied());
        members.chain(self.late.iter().map(|late| late.connection))
    }

    /// Where the channel stands; `None` without a stream.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Compares an event with what passed, and moves on unless it is old.
    pub fn advance(&mut self, prev: u64, to: Position) -> Step {
        if to.offset == 0 {
            return Step::Next;
        }
        let step = match &self.position {
            None => Step::Next,
            Some(passed) if passed.epoch != to.epoch => Step::Gap,
            Some(passed) if to.offset <= passed.offset => return Step::Old,
            Some(passed) if prev == passed.offset => Step::Next,
            Some(_) => Step::Gap,
        };
        self.position = Some(to);
        step
    }

    /// Brings in step whoever waited for what has passed now; call after the event was delivered to the members.
    pub fn catch_up(&mut self) -> Vec<Moved> {
        let passed = self
            .position
            .as_ref()
            .map_or(u64::MAX, |position| position.offset);
        let (ready, late): (Vec<Late>, Vec<Late>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.until <= passed);
        self.late = late;
        let join = |Late {
                        connection, kind, ..
                    }: Late| Moved {
            connection,
            kind,
            place: Place::At(self.add(kind, connection)),
        };
        ready.into_iter().map(join).collect()
    }

    /// Those whose first whole publication went out get patches from now on.
    pub fn sync_deltas(&mut self) -> Vec<Moved> {
        self.change_deltas(DeltaState::Fresh, DeltaState::Synced)
    }

    /// Nobody has what the next patch will be against: the next publication goes out whole.
    pub fn restart_deltas(&mut self) -> Vec<Moved> {
        self.change_deltas(DeltaState::Synced, DeltaState::Fresh)
    }

    fn change_deltas(&mut self, from: DeltaState, to: DeltaState) -> Vec<Moved> {
        let changed = |members: &mut Members| members.kind.delta == from;
        let groups: Vec<Members> = self.members.extract_if(.., changed).collect();
        let mut moved = Vec::new();
        for Members { kind, connections } in groups {
            let kind = Kind { delta: to, ..kind };
            for connection in connections {
                let place = Place::At(self.add(kind, connection));
                moved.push(Moved {
                    connection,
                    kind,
                    place,
                });
            }
        }
        moved
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.late.is_empty()
    }

    fn add(&mut self, kind: Kind, connection: u32) -> u32 {
        let known = self.members.iter().position(|members| members.kind == kind);
        let at = known.unwrap_or_else(|| {
            self.members.push(Members {
                kind,
                connections: Vec::with_capacity(1),
            });
            self.members.len() - 1
        });
        self.members.get_mut(at).map_or(0, |members| {
            members.connections.push(connection);
            index(members.connections.len() - 1)
        })
    }

    fn remove(&mut self, kind: Kind, place: u32) -> Option<Moved> {
        let at = self
            .members
            .iter()
            .position(|members| members.kind == kind)?;
        let members = self.members.get_mut(at)?;
        if members.connections.len() <= place as usize {
            return None;
        }
        members.connections.swap_remove(place as usize);
        let moved = members
            .connections
            .get(place as usize)
            .map(|&connection| Moved {
                connection,
                kind,
                place: Place::At(place),
            });
        if members.connections.is_empty() {
            self.members.swap_remove(at);
        } else if members.connections.capacity() > 4 * members.connections.len() {
            members.connections.shrink_to(2 * members.connections.len());
        }
        moved
    }
}

fn is_beyond(passed: Option<&Position>, at: &Position) -> bool {
    passed.is_some_and(|passed| passed.epoch == at.epoch && passed.offset > at.offset)
}

/// Slab indices and counts stay far below 2^32: a process has at most so many sockets.
fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
