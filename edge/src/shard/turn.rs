//! One turn of a shard: the state borrowed once, everything done in it, and the decision when to write.

use tidewire_protocol::{ClientInfo, DisconnectCode};
use tokio::time::Instant;

use super::ask::{Ask, Told};
use super::conn::Subscription;
use super::flush::{self, Flush};
use super::hub::{ChannelId, DeltaState, Kind, Moved, Place};
use super::{ConnKey, Shard, State};
use crate::session::{Delta, Grant, Refreshed};

/// The state for the length of one entry point.
pub(super) struct Turn<'a> {
    pub(super) shard: &'a Shard,
    pub(super) state: &'a mut State,
    /// Connections to close at the end of the turn: while an event is fanned out, one of them may be in the midst
    /// of a command.
    pub(super) closes: Vec<(ConnKey, DisconnectCode)>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(shard: &'a Shard, state: &'a mut State) -> Self {
        Self {
            shard,
            state,
            closes: Vec::new(),
        }
    }

    /// Ends the turn: closes who overflowed, writes or leaves it to the flusher.
    pub(super) fn finish(&mut self, began: Instant) {
        for (key, code) in std::mem::take(&mut self.closes) {
            self.close_with(key, code);
        }
        match flush::decide(self.state.dirty.len(), self.state.load.percent()) {
            Flush::Inline => self.flush_dirty(),
            Flush::NextTurn | Flush::Paced(_) => self.shard.dirty.notify_one(),
        }
        self.worked(began);
    }

    /// Adds the time since `began` to the shard's load.
    pub(super) fn worked(&mut self, began: Instant) {
        let now = Instant::now();
        self.state.load.add(now - began);
        if self.state.load.roll(now - self.state.window) {
            self.state.window = now;
        }
    }

    pub(super) fn told(&mut self, ask: &Ask) -> Told {
        match ask {
            Ask::Users => Told::Users(self.state.users.names().map(Box::from).collect()),
            Ask::Act(command) => {
                self.act(command);
                Told::Done
            }
            Ask::Channels => Told::Channels(self.state.hub.counts().collect()),
            Ask::Presence(channel) => Told::Presence(self.presence(channel)),
        }
    }

    /// The clients of a channel that are part of its presence.
    fn presence(&self, channel: &str) -> Vec<ClientInfo> {
        let hub = &self.state.hub;
        let Some((id, channel)) = hub.id(channel).zip(hub.channel(channel)) else {
            return Vec::new();
        };
        let info = |connection: u32| {
            let conn = self.state.conns.get(connection as usize)?;
            let grant = conn.subscription(id)?.grant.as_ref()?;
            let member = grant.member.as_ref().filter(|_| grant.presence)?;
            // A refresh may have changed what the connection is known as.
            Some(ClientInfo {
                chan_info: member.chan_info.clone(),
                ..conn.session.client_info()
            })
        };
        channel.connections().filter_map(info).collect()
    }

    /// Ends a subscription, live or opening, and tells others who negotiated that.
    pub(super) fn unsubscribe(&mut self, key: ConnKey, id: ChannelId) {
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        let Some(at) = conn.subscriptions.iter().position(|it| it.channel == id) else {
            return;
        };
        let Subscription {
            kind, place, grant, ..
        } = conn.subscriptions.swap_remove(at);
        let broker = &self.shard.services.broker;
        let leaves = grant
            .filter(|grant| grant.emit_joins)
            .and_then(|grant| grant.member);
        let name = self.state.hub.name(id).cloned();
        let empty = if let Place::Opening(_) = place {
            self.state.hub.abandon(id)
        } else {
            self.shard.handle.counters.subscriptions.sub(1);
            let member = Moved {
                connection: key.index,
                kind,
                place,
            };
            let (moved, empty) = self.state.hub.leave(id, member);
            self.state.moved(id, moved);
            empty
        };
        if let Some((who, channel)) = leaves.zip(name) {
            broker.publish_leave(&channel, who);
        }
        if let Some(channel) = empty {
            broker.detach(&channel, self.shard.id);
        }
        self.count_channels();
    }

    /// Opens a subscription; its number, by which a late answer is told from that to a newer subscribe.
    pub(super) fn open(&mut self, key: ConnKey, channel: &str) -> (ChannelId, u32) {
        let id = self.state.hub.open(channel);
        self.state.openings = self.state.openings.wrapping_add(1);
        let number = self.state.openings;
        if let Some(conn) = self.state.get_mut(key) {
            conn.open(id, number);
        }
        self.count_channels();
        (id, number)
    }

    /// Makes an opening subscription live: its reply is queued already.
    pub(super) fn join(&mut self, key: ConnKey, id: ChannelId, grant: Grant) {
        let state = &mut *self.state;
        let conn = state.conns.get_mut(key.index as usize);
        let Some(conn) = conn.filter(|conn| conn.generation == key.generation) else {
            return;
        };
        let kind = Kind {
            variant: conn.variant,
            delta: match grant.delta {
                Delta::Off => DeltaState::Off,
                Delta::AfterWhole => DeltaState::Fresh,
                Delta::AtOnce => DeltaState::Synced,
            },
            filtered: grant.filter.is_some(),
            joins: grant.push_joins,
        };
        let Some(subscription) = conn.subscription_mut(id) else {
            return;
        };
        if !matches!(subscription.place, Place::Opening(_)) {
            return;
        }
        let at = grant.position.as_ref();
        let missed = grant.positioned && at.is_some_and(|at| state.hub.is_beyond(id, at));
        let server_side = grant.server_side;
        let place = state.hub.join(id, kind, key.index, at);
        let joins = grant.member.clone().filter(|_| grant.emit_joins);
        subscription.kind = kind;
        subscription.place = place;
        let expires = grant.expire_at.is_some();
        subscription.grant = (!grant.is_plain()).then(|| Box::new(grant));
        self.shard.handle.counters.subscriptions.add(1);
        if expires {
            self.start_checks(key);
        }
        if let (Some(who), Some(name)) = (joins, self.state.hub.name(id)) {
            self.shard.services.broker.publish_join(name, who);
        }
        if missed {
            self.insufficient(key, id, server_side);
        }
    }

    /// Takes over what a new token says about a live subscription.
    pub(super) fn refreshed(&mut self, key: ConnKey, id: ChannelId, refreshed: Refreshed) {
        let conn = self.state.get_mut(key);
        let Some(subscription) = conn.and_then(|conn| conn.subscription_mut(id)) else {
            return;
        };
        let Refreshed { member, expire_at } = refreshed;
        let grant = subscription.grant.get_or_insert_default();
        grant.member = Some(member);
        grant.expire_at = expire_at;
        if expire_at.is_some() {
            self.start_checks(key);
        }
    }

    pub(super) fn count_channels(&self) {
        let channels = &self.shard.handle.counters.channels;
        channels.set(self.state.hub.channels() as u64);
    }

    /// Takes a client out of everything that others see; its socket may live on for a close handshake.
    pub(super) fn retire(&mut self, key: ConnKey) {
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        let session = std::mem::take(&mut conn.session);
        // The rest of a frame that has begun still comes, and behind it the answer to our close.
        if let Some(backlog) = &mut conn.backlog {
            backlog.parked = Default::default();
            backlog.parked_bytes = 0;
        }
        let channels: Vec<ChannelId> = conn.subscriptions.iter().map(|it| it.channel).collect();
        for channel in channels {
            self.unsubscribe(key, channel);
        }
        let Some(user) = session.user() else { return };
        let counters = &self.shard.handle.counters;
        counters.clients.sub(1);
        self.state.users.remove(user, key);
        let limit = self
            .shard
            .services
            .settings
            .boot
            .client
            .user_connection_limit;
        self.shard.services.users.leave(user, limit);
        counters.users.set(self.state.users.count() as u64);
    }
}

impl State {
    /// Notes the new places of subscriptions to one channel.
    pub(super) fn moved(&mut self, id: ChannelId, moved: impl IntoIterator<Item = Moved>) {
        for Moved {
            connection,
            kind,
            place,
        } in moved
        {
            let conn = self.conns.get_mut(connection as usize);
            if let Some(subscription) = conn.and_then(|conn| conn.subscription_mut(id)) {
                subscription.kind = kind;
                subscription.place = place;
            }
        }
    }
}
