//! One turn of a shard: the state borrowed once, everything done in it, and the decision when to write.

use std::sync::Arc;

use tidewire_protocol::{ClientInfo, Command, DisconnectCode, Reply, UnsubscribeCode, decode};
use tokio::time::Instant;

use super::ask::{Ask, Told};
use super::conn::{NEVER, Phase, Subscription};
use super::flush::{self, Flush};
use super::hub::{ChannelId, DeltaState, Kind, Moved, Place};
use super::{ConnKey, Next, Shard, State};
use crate::config::Live;
use crate::services::unix_time;
use crate::session::{Answer, Ctx, Delta, Grant, Refreshed, Session, Settle, Step, Subscribed};

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

    /// Runs the commands of one message.
    pub(super) fn run(&mut self, key: ConnKey, message: &[u8]) -> Next {
        let Some(conn) = self.state.get(key) else {
            return Next::End;
        };
        let mut commands = decode::commands(conn.variant.encoding, message);
        while let Some(command) = commands.next() {
            self.shard.handle.counters.commands.add(1);
            let step = match command {
                Ok(command) => self.command(key, command),
                Err(error) => {
                    tracing::debug!(%error, "a client sent a malformed command");
                    Step::Close(DisconnectCode::BadRequest.into())
                }
            };
            match step {
                // Its own publication may have ended the connection.
                Step::Idle if self.is_closing(key) => return Next::Read,
                Step::Idle => {}
                Step::Call(request) => {
                    if let Some(conn) = self.state.get_mut(key) {
                        conn.phase = Phase::Calling;
                        if !commands.rest().is_empty() {
                            conn.backlog
                                .get_or_insert_default()
                                .park_front(commands.rest().to_vec());
                        }
                    }
                    return Next::Call(request);
                }
                Step::Close(reason) => {
                    self.close(key, &reason);
                    return Next::Read;
                }
                Step::Dead => {
                    self.bury(key);
                    return Next::Read;
                }
            }
        }
        Next::Read
    }

    fn is_closing(&self, key: ConnKey) -> bool {
        let conn = self.state.get(key);
        conn.is_some_and(|conn| conn.phase == Phase::Closing)
    }

    /// Runs one command as far as it goes without waiting.
    fn command(&mut self, key: ConnKey, command: Command) -> Step {
        let Some(conn) = self.state.get_mut(key) else {
            return Step::Idle;
        };
        if command.id == 0 && command.send.is_none() {
            let expected = std::mem::replace(&mut conn.deadlines.pong, NEVER) != NEVER;
            return if expected {
                Step::Idle
            } else {
                Step::Close(DisconnectCode::BadRequest.into())
            };
        }
        let mut session = std::mem::take(&mut conn.session);
        let mut ctx = self.ctx(key);
        let mut step = session.handle(command, &mut ctx);
        while let Step::Call(request) = step {
            step = match ctx
                .turn
                .shard
                .services
                .answer_now(request, ctx.turn.shard.id)
            {
                Ok(answer) => {
                    ctx.turn.deliver_own(&answer);
                    session.resume(answer, &mut ctx)
                }
                Err(request) => {
                    step = Step::Call(request);
                    break;
                }
            };
        }
        self.restore(key, session);
        step
    }

    /// Feeds an answer back and goes on with what was parked behind its command.
    pub(super) fn resume(&mut self, key: ConnKey, answer: Answer) -> Next {
        let Some(conn) = self.state.get_mut(key) else {
            return Next::End;
        };
        if conn.phase == Phase::Calling {
            conn.phase = Phase::Open;
        }
        let mut session = std::mem::take(&mut conn.session);
        self.deliver_own(&answer);
        let step = session.resume(answer, &mut self.ctx(key));
        self.restore(key, session);
        match step {
            Step::Idle => self.input_parked(key),
            Step::Call(request) => {
                if let Some(conn) = self.state.get_mut(key) {
                    conn.phase = Phase::Calling;
                }
                Next::Call(request)
            }
            Step::Close(reason) => {
                self.close(key, &reason);
                Next::Read
            }
            Step::Dead => {
                self.bury(key);
                Next::Read
            }
        }
    }

    fn restore(&mut self, key: ConnKey, session: Session) {
        if let Some(conn) = self.state.get_mut(key) {
            conn.session = session;
        }
    }

    /// Delivers what this shard's own publish put into its inbox, so that a publisher gets its publication
    /// before its reply. Never between an attach and the join that follows: what came after the attached
    /// position must find the subscriber.
    fn deliver_own(&mut self, answer: &Answer) {
        if !matches!(answer, Answer::Published(_)) {
            return;
        }
        for delivery in self.shard.handle.inbox.take_deliveries() {
            self.deliver(&delivery);
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

    fn ctx(&mut self, key: ConnKey) -> CommandCtx<'_, 'a> {
        let live = self.shard.services.settings.live();
        CommandCtx {
            turn: self,
            key,
            live,
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
        let empty = if place == Place::Opening {
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
        if subscription.place != Place::Opening {
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
    fn refreshed(&mut self, key: ConnKey, id: ChannelId, refreshed: Refreshed) {
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
        conn.backlog = None;
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

/// What a session sees of its shard.
struct CommandCtx<'t, 'a> {
    turn: &'t mut Turn<'a>,
    key: ConnKey,
    live: Arc<Live>,
}

impl CommandCtx<'_, '_> {
    fn subscription(&self, channel: &str) -> Option<&Subscription> {
        let id = self.turn.state.hub.id(channel)?;
        self.turn.state.get(self.key)?.subscription(id)
    }
}

impl Ctx for CommandCtx<'_, '_> {
    fn live(&self) -> &Live {
        &self.live
    }

    fn unix_time(&self) -> u64 {
        unix_time()
    }

    fn reply(&mut self, reply: Reply) {
        self.turn.reply(self.key, &reply);
    }

    fn identified(&mut self, user: &str) -> bool {
        let limit = self.live.boot.client.user_connection_limit;
        if !self.turn.shard.services.users.enter(user, limit) {
            return false;
        }
        let counters = &self.turn.shard.handle.counters;
        counters.clients.add(1);
        let users = &mut self.turn.state.users;
        users.insert(user, self.key);
        counters.users.set(users.count() as u64);
        self.turn.start_pings(self.key);
        true
    }

    fn expire_at(&mut self, unix_time: Option<u64>) {
        self.turn.expire_at(self.key, unix_time);
    }

    fn subscribed(&self, channel: &str) -> Subscribed {
        match self.subscription(channel).map(|it| it.place) {
            None => Subscribed::No,
            Some(Place::Opening) => Subscribed::Opening,
            Some(Place::At(_) | Place::Late) => Subscribed::Yes,
        }
    }

    fn subscriptions(&self) -> usize {
        let conn = self.turn.state.get(self.key);
        conn.map_or(0, |conn| conn.subscriptions.len())
    }

    fn grant(&self, channel: &str) -> Option<&Grant> {
        self.subscription(channel)?.grant.as_deref()
    }

    fn open(&mut self, channel: &str) {
        let id = self.turn.state.hub.open(channel);
        if let Some(conn) = self.turn.state.get_mut(self.key) {
            conn.open(id);
        }
        self.turn.count_channels();
    }

    fn settle(&mut self, channel: &str, to: Settle) {
        let Some(id) = self.turn.state.hub.id(channel) else {
            return;
        };
        match to {
            Settle::Live(grant) => self.turn.join(self.key, id, grant),
            Settle::Refreshed(refreshed) => self.turn.refreshed(self.key, id, refreshed),
            Settle::Expired => {
                let code = UnsubscribeCode::SubscriptionExpired;
                self.turn.push_unsubscribe(self.key, id, code);
            }
            Settle::Ended => self.turn.unsubscribe(self.key, id),
        }
    }
}
