//! From a channel's event to its subscribers' outboxes: encoded once per kind, pushed as shared frames.

use std::rc::Rc;

use tidewire_protocol::{
    ClientInfo, DisconnectCode, EncodeError, Join, Leave, Push, Reply, Unsubscribe,
    UnsubscribeCode, encode,
};

use super::conn::Conn;
use super::hub::{ChannelId, DeltaState, Kind, Step};
use super::outbox::Frame;
use super::output::queue;
use super::turn::Turn;
use super::{ConnKey, State};
use crate::broker::{Delivery, Event, Position, Published};
use crate::session::with_delta;

/// Writes a publication in the form that a kind of subscriber gets.
fn encoded(
    kind: Kind,
    channel: &str,
    published: &Published,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let encoding = kind.variant.encoding;
    let base = match kind.delta {
        DeltaState::Off => {
            return encode::publication(encoding, channel, &published.publication, out);
        }
        DeltaState::Fresh => None,
        DeltaState::Synced => published.base.as_deref(),
    };
    let publication = with_delta(&published.publication, base, encoding)?;
    encode::publication(encoding, channel, &publication, out)
}

impl Turn<'_> {
    /// Queues an event to every subscriber of its channel that negotiated it.
    pub(super) fn deliver(&mut self, delivery: &Delivery) {
        match &delivery.event {
            Event::Publication(published) => self.publication(&delivery.channel, published),
            Event::Join(who) => self.joined(&delivery.channel, None, |kind, out| {
                let join = Join {
                    info: Some(ClientInfo::clone(who)),
                };
                encode::join(kind.variant.encoding, &delivery.channel, &join, out)
            }),
            Event::Leave(who) => self.joined(&delivery.channel, Some(who), |kind, out| {
                let leave = Leave {
                    info: Some(ClientInfo::clone(who)),
                };
                encode::leave(kind.variant.encoding, &delivery.channel, &leave, out)
            }),
        }
    }

    fn publication(&mut self, name: &str, published: &Published) {
        self.shard.handle.counters.publications.add(1);
        let Some((id, channel)) = self.state.hub.channel_mut(name) else {
            return;
        };
        let to = Position {
            offset: published.publication.offset,
            epoch: published.epoch.clone(),
        };
        let step = channel.advance(published.prev, to);
        match step {
            Step::Old => return,
            Step::Gap => {
                // Whoever relies on the position must not get this one: it would recover from behind it.
                let moved = channel.restart_deltas();
                self.state.moved(id, moved);
                self.discontinued(id, name);
            }
            Step::Next => {}
        }
        let publication = &published.publication;
        let unfit = self.push_to_members(
            name,
            |kind, conn| {
                if !kind.filtered {
                    return true;
                }
                let grant = conn.subscription(id).and_then(|it| it.grant.as_ref());
                let filter = grant.and_then(|grant| grant.filter.as_ref());
                filter.is_some_and(|filter| filter.matches(&publication.tags))
            },
            |_| true,
            |kind, out| encoded(kind, name, published, out),
        );
        if let Some((_, channel)) = self.state.hub.channel_mut(name) {
            // The next patch is against the stream's last publication, which this one is not without an offset.
            let mut moved = if publication.offset > 0 {
                channel.sync_deltas()
            } else {
                channel.restart_deltas()
            };
            moved.extend(channel.catch_up());
            self.state.moved(id, moved);
        }
        self.close_unfit(unfit);
    }

    /// `without`: a client that subscribed again is not told of its own leave.
    fn joined(
        &mut self,
        name: &str,
        without: Option<&ClientInfo>,
        encode: impl Fn(Kind, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) {
        let Some(id) = self.state.hub.id(name) else {
            return;
        };
        let others = |_: Kind, conn: &Conn| {
            let Some(without) = without else {
                return true;
            };
            let grant = conn.subscription(id).and_then(|it| it.grant.as_ref());
            let member = grant.and_then(|grant| grant.member.as_ref());
            member.is_none_or(|member| member.client != without.client)
        };
        let unfit = self.push_to_members(name, others, |kind| kind.joins, encode);
        self.close_unfit(unfit);
    }

    /// Pushes one frame per kind that is wanted, to each connection that it passes to; the connections whose
    /// encoding cannot carry it.
    fn push_to_members(
        &mut self,
        name: &str,
        passes: impl Fn(Kind, &Conn) -> bool,
        wants: impl Fn(Kind) -> bool,
        encode: impl Fn(Kind, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Vec<ConnKey> {
        let limit = self.shard.services.settings.boot.client.queue_max_size as usize;
        let State {
            hub,
            conns,
            dirty,
            encoded,
            compression,
            ..
        } = &mut *self.state;
        let mut unfit = Vec::new();
        let mut deliveries = 0;
        let members = hub
            .channel(name)
            .map_or(&[][..], |channel| channel.members());
        for members in members.iter().filter(|members| wants(members.kind)) {
            encoded.clear();
            let frame = match encode(members.kind, encoded) {
                Ok(()) => {
                    let variant = members.kind.variant;
                    Some(Frame::new(
                        variant.frame(encoded, compression.deflater(variant)),
                    ))
                }
                Err(_) => None,
            };
            for &index in &members.connections {
                let Some(conn) = conns.get_mut(index as usize) else {
                    continue;
                };
                let key = ConnKey {
                    index,
                    generation: conn.generation,
                };
                if conn.is_overfull(limit) || !passes(members.kind, conn) {
                    continue;
                }
                match &frame {
                    None => unfit.push(key),
                    Some(frame) if queue(conn, index, Rc::clone(frame), dirty) > limit => {
                        self.closes.push((key, DisconnectCode::Slow));
                    }
                    Some(_) => deliveries += 1,
                }
            }
        }
        self.shard.handle.counters.deliveries.add(deliveries);
        unfit
    }

    fn close_unfit(&mut self, unfit: Vec<ConnKey>) {
        let code = DisconnectCode::InappropriateProtocol;
        self.closes.extend(unfit.into_iter().map(|key| (key, code)));
    }

    /// Something is missing in the channel: whoever relies on its position must recover.
    fn discontinued(&mut self, id: ChannelId, name: &str) {
        tracing::warn!("a channel lost its continuity; its subscribers recover");
        let connections: Vec<u32> = self
            .state
            .hub
            .channel(name)
            .map(|channel| channel.connections().collect())
            .unwrap_or_default();
        for index in connections {
            let Some(conn) = self.state.conns.get(index as usize) else {
                continue;
            };
            let key = ConnKey {
                index,
                generation: conn.generation,
            };
            let grant = conn.subscription(id).and_then(|it| it.grant.as_ref());
            match grant
                .filter(|grant| grant.positioned)
                .map(|grant| grant.server_side)
            {
                None => {}
                Some(server_side) => self.insufficient(key, id, server_side),
            }
        }
    }

    /// A client has missed something that it relies on.
    pub(super) fn insufficient(&mut self, key: ConnKey, id: ChannelId, server_side: bool) {
        if server_side {
            // The close is for the end of the turn: nothing more of the channel until then.
            self.unsubscribe(key, id);
            self.closes.push((key, DisconnectCode::InsufficientState));
        } else {
            self.push_unsubscribe(key, id, UnsubscribeCode::InsufficientState);
        }
    }

    /// Ends a subscription from the server's side and tells the client why.
    pub(super) fn push_unsubscribe(&mut self, key: ConnKey, id: ChannelId, code: UnsubscribeCode) {
        let Some(channel) = self.state.hub.name(id).map(|name| name.to_string()) else {
            return;
        };
        self.unsubscribe(key, id);
        let push = Push {
            channel,
            unsubscribe: Some(Unsubscribe::from(code)),
            ..Push::default()
        };
        self.reply(
            key,
            &Reply {
                push: Some(push),
                ..Reply::default()
            },
        );
    }
}
