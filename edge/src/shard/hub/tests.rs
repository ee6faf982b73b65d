//! The hub against a naive model: whatever subscribers do, everybody in step gets exactly what came after their
//! position.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use proptest::prelude::*;
use tidewire_protocol::Encoding;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// Subscribe; the broker's position is so far ahead of what has passed here.
    Join {
        connection: u32,
        protobuf: bool,
        delta: bool,
        ahead: u64,
    },
    Abandon,
    Leave {
        pick: usize,
    },
    /// The next event of the stream passes.
    Event,
    /// An event that passed already comes again.
    Repeat,
    /// An event that is not of the stream passes.
    Apart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..20_u32, any::<bool>(), any::<bool>(), 0..3_u64)
            .prop_map(|(connection, protobuf, delta, ahead)| Act::Join { connection, protobuf, delta, ahead }),
        1 => Just(Act::Abandon),
        2 => any::<usize>().prop_map(|pick| Act::Leave { pick }),
        3 => Just(Act::Event),
        1 => Just(Act::Repeat),
        1 => Just(Act::Apart),
    ]
}

fn position(offset: u64) -> Position {
    Position {
        offset,
        epoch: Arc::from("e"),
    }
}

/// A subscriber as the shard keeps it, and what it must have got.
struct Subscriber {
    member: Moved,
    since: u64,
    got: Vec<u64>,
    /// The last event that it got is of the stream: what the next patch is against.
    has_base: bool,
}

#[derive(Default)]
struct World {
    hub: Hub,
    passed: u64,
    subscribers: BTreeMap<u32, Subscriber>,
}

impl World {
    fn moved(&mut self, moved: impl IntoIterator<Item = Moved>) {
        for moved in moved {
            self.subscribers.get_mut(&moved.connection).unwrap().member = moved;
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Join {
                connection,
                protobuf,
                delta,
                ahead,
            } if !self.subscribers.contains_key(&connection) => {
                let kind = Kind {
                    variant: if protobuf {
                        Variant::websocket(Encoding::Protobuf)
                    } else {
                        Variant::websocket(Encoding::Json)
                    },
                    delta: if delta {
                        DeltaState::Fresh
                    } else {
                        DeltaState::Off
                    },
                    filtered: false,
                    joins: false,
                };
                // The first subscriber attaches at the top: nothing is on its way.
                let ahead = if self.subscribers.is_empty() {
                    0
                } else {
                    ahead
                };
                let at = position(self.passed + ahead);
                let id = self.hub.open("c");
                let place = self.hub.join(id, kind, connection, Some(&at));
                let member = Moved {
                    connection,
                    kind,
                    place,
                };
                self.subscribers.insert(
                    connection,
                    Subscriber {
                        member,
                        since: at.offset,
                        got: Vec::new(),
                        has_base: false,
                    },
                );
            }
            Act::Join { .. } => {}
            Act::Abandon => {
                let id = self.hub.open("c");
                assert_eq!(self.hub.abandon(id).is_some(), self.subscribers.is_empty());
            }
            Act::Leave { pick } => {
                let Some(&connection) = self
                    .subscribers
                    .keys()
                    .nth(pick % self.subscribers.len().max(1))
                else {
                    return;
                };
                let subscriber = self.subscribers.remove(&connection).unwrap();
                let id = self.hub.id("c").unwrap();
                let (moved, empty) = self.hub.leave(id, subscriber.member);
                self.moved(moved);
                assert_eq!(empty.is_some(), self.subscribers.is_empty());
            }
            Act::Event => {
                self.passed += 1;
                self.pass(self.passed, Step::Next);
            }
            Act::Repeat if self.passed > 0 && !self.subscribers.is_empty() => {
                self.pass(self.passed, Step::Old)
            }
            Act::Repeat => {}
            Act::Apart => self.pass_apart(),
        }
    }

    fn pass_apart(&mut self) {
        let Some((_, channel)) = self.hub.channel_mut("c") else {
            return;
        };
        assert_eq!(channel.advance(0, Position::default()), Step::Next);
        for connection in channel.members().iter().flat_map(|it| &it.connections) {
            self.subscribers.get_mut(connection).unwrap().has_base = false;
        }
        let moved = channel.restart_deltas();
        self.moved(moved);
    }

    fn pass(&mut self, offset: u64, expected: Step) {
        let Some((_, channel)) = self.hub.channel_mut("c") else {
            return;
        };
        let step = channel.advance(offset - 1, position(offset));
        assert_eq!(step, expected);
        if step == Step::Old {
            return;
        }
        for members in channel.members() {
            for connection in &members.connections {
                let subscriber = self.subscribers.get_mut(connection).unwrap();
                subscriber.got.push(offset);
                subscriber.has_base = true;
            }
        }
        let mut moved = channel.sync_deltas();
        moved.extend(channel.catch_up());
        self.moved(moved);
    }

    fn check(&self) {
        for subscriber in self.subscribers.values() {
            let expected: Vec<u64> = (subscriber.since + 1..=self.passed).collect();
            assert_eq!(subscriber.got, expected);
            let patched = subscriber.member.kind.delta == DeltaState::Synced;
            let wanted = subscriber.member.kind.delta != DeltaState::Off;
            assert_eq!(patched, wanted && subscriber.has_base);
        }
        let expected: BTreeSet<u32> = self.subscribers.keys().copied().collect();
        let mut connections: Vec<u32> = self
            .hub
            .channel("c")
            .into_iter()
            .flat_map(Channel::connections)
            .collect();
        connections.sort_unstable();
        assert_eq!(connections, expected.into_iter().collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn everybody_gets_what_comes_after_their_position_once_and_in_order(acts in prop::collection::vec(act(), 0..120)) {
        let mut world = World::default();
        for act in acts {
            world.act(act);
            world.check();
        }
    }
}

#[test]
fn a_missing_event_and_another_epoch_are_gaps() {
    let mut hub = Hub::default();
    let id = hub.open("c");
    let kind = Kind {
        variant: Variant::websocket(Encoding::Json),
        delta: DeltaState::Off,
        filtered: false,
        joins: false,
    };
    hub.join(id, kind, 1, Some(&position(4)));
    let (_, channel) = hub.channel_mut("c").unwrap();
    assert_eq!(channel.advance(4, position(5)), Step::Next);
    assert_eq!(channel.advance(6, position(7)), Step::Gap);
    let other = Position {
        offset: 1,
        epoch: Arc::from("f"),
    };
    assert_eq!(channel.advance(0, other.clone()), Step::Gap);
    assert_eq!(
        channel.advance(1, Position { offset: 2, ..other }),
        Step::Next
    );
}

#[test]
fn who_joins_behind_what_has_passed_is_known_and_does_not_move_the_channel_back() {
    let mut hub = Hub::default();
    let id = hub.open("c");
    assert!(!hub.is_beyond(id, &position(0)), "nothing has passed");
    let (_, channel) = hub.channel_mut("c").unwrap();
    channel.advance(4, position(5));
    let beyond = [4, 5, 6].map(|offset| hub.is_beyond(id, &position(offset)));
    assert_eq!(beyond, [true, false, false]);
    let other = Position {
        epoch: Arc::from("f"),
        ..position(1)
    };
    assert!(!hub.is_beyond(id, &other), "epochs cannot be compared");
    let kind = Kind {
        variant: Variant::websocket(Encoding::Json),
        delta: DeltaState::Off,
        filtered: false,
        joins: false,
    };
    assert_eq!(hub.join(id, kind, 1, Some(&position(4))), Place::At(0));
    let (_, channel) = hub.channel_mut("c").unwrap();
    assert_eq!(channel.advance(5, position(6)), Step::Next);
}

#[test]
fn events_without_a_stream_are_always_next() {
    let mut hub = Hub::default();
    hub.open("c");
    let (_, channel) = hub.channel_mut("c").unwrap();
    assert_eq!(channel.advance(0, Position::default()), Step::Next);
    assert_eq!(channel.position(), None);
}
