//! One turn of a shard: the state borrowed once, everything done in it, and the decision when to write.

use std::sync::Arc;

use tidewire_config::Config;
use tidewire_protocol::{Command, DisconnectCode, Reply, decode};
use tokio::time::Instant;

use super::ask::{Ask, Told};
use super::conn::{NEVER, Phase, Subscription};
use super::flush::{self, Flush};
use super::hub::ChannelId;
use super::{ConnKey, Next, Shard, State};
use crate::config::Live;
use crate::services::unix_time;
use crate::session::{Answer, Ctx, Step, Subscribed};

/// The state for the length of one entry point.
pub(super) struct Turn<'a> {
    pub(super) shard: &'a Shard,
    pub(super) state: &'a mut State,
    /// Connections whose outbox went over its limit in this turn.
    pub(super) overflowed: Vec<ConnKey>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(shard: &'a Shard, state: &'a mut State) -> Self {
        Self {
            shard,
            state,
            overflowed: Vec::new(),
        }
    }

    /// Ends the turn: closes who overflowed, writes or leaves it to the flusher.
    pub(super) fn finish(&mut self, began: Instant) {
        for key in std::mem::take(&mut self.overflowed) {
            self.close_slow(key);
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
        let mut commands = decode::commands(conn.variant.encoding(), message);
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
                    ctx.turn.deliver_own();
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
        self.deliver_own();
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

    fn restore(&mut self, key: ConnKey, session: crate::session::Session) {
        if let Some(conn) = self.state.get_mut(key) {
            conn.session = session;
        }
    }

    /// Delivers what this shard's own publish put into its inbox, so that a publisher gets its publication
    /// before its reply.
    fn deliver_own(&mut self) {
        for delivery in self.shard.handle.inbox.take_deliveries() {
            self.deliver(&delivery);
        }
    }

    pub(super) fn told(&self, ask: &Ask) -> Told {
        match ask {
            Ask::Users => Told::Users(self.state.users.keys().cloned().collect()),
            Ask::Channels => Told::Channels(self.state.hub.counts().collect()),
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

    /// Ends a subscription, live or opening.
    pub(super) fn unsubscribe(&mut self, key: ConnKey, id: ChannelId) {
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        let Some(at) = conn
            .subscriptions
            .iter()
            .position(|subscription| subscription.channel == id)
        else {
            return;
        };
        let Subscription { place, .. } = conn.subscriptions.swap_remove(at);
        let variant = conn.variant;
        let empty = match place {
            None => self.state.hub.abandon(id),
            Some(place) => {
                self.shard.handle.counters.subscriptions.sub(1);
                let (moved, empty) = self.state.hub.leave(id, variant, place);
                if let Some(moved) = moved {
                    let other = self.state.conns.get_mut(moved.connection as usize);
                    let subscription = other.and_then(|other| {
                        other.subscriptions.iter_mut().find(|it| it.channel == id)
                    });
                    if let Some(subscription) = subscription {
                        subscription.place = Some(moved.place);
                    }
                }
                empty
            }
        };
        if let Some(channel) = empty {
            self.shard.services.broker.detach(&channel, self.shard.id);
        }
        self.shard
            .handle
            .counters
            .channels
            .set(self.state.hub.channels() as u64);
    }

    /// Takes a client out of everything that others see; its socket may live on for a close handshake.
    pub(super) fn retire(&mut self, key: ConnKey) {
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        let session = std::mem::take(&mut conn.session);
        conn.backlog = None;
        let channels: Vec<ChannelId> = conn
            .subscriptions
            .iter()
            .map(|subscription| subscription.channel)
            .collect();
        for channel in channels {
            self.unsubscribe(key, channel);
        }
        let Some(user) = session.user() else { return };
        let counters = &self.shard.handle.counters;
        counters.clients.sub(1);
        if let Some(count) = self.state.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.state.users.remove(user);
            }
        }
        counters.users.set(self.state.users.len() as u64);
    }
}

/// What a session sees of its shard.
struct CommandCtx<'t, 'a> {
    turn: &'t mut Turn<'a>,
    key: ConnKey,
    live: Arc<Live>,
}

impl CommandCtx<'_, '_> {
    fn subscription(&self, channel: &str) -> Option<Subscription> {
        let id = self.turn.state.hub.id(channel)?;
        let conn = self.turn.state.get(self.key)?;
        conn.subscriptions
            .iter()
            .find(|subscription| subscription.channel == id)
            .copied()
    }
}

impl Ctx for CommandCtx<'_, '_> {
    fn live(&self) -> &Live {
        &self.live
    }

    fn boot(&self) -> &Config {
        &self.turn.shard.services.settings.boot
    }

    fn unix_time(&self) -> u64 {
        unix_time()
    }

    fn reply(&mut self, reply: Reply) {
        self.turn.reply(self.key, &reply);
    }

    fn identified(&mut self, user: &str) {
        let counters = &self.turn.shard.handle.counters;
        counters.clients.add(1);
        let users = &mut self.turn.state.users;
        match users.get_mut(user) {
            Some(count) => *count += 1,
            None => {
                users.insert(user.into(), 1);
                counters.users.set(users.len() as u64);
            }
        }
        self.turn.start_pings(self.key);
    }

    fn expire_at(&mut self, unix_time: Option<u64>) {
        self.turn.expire_at(self.key, unix_time);
    }

    fn subscribed(&self, channel: &str) -> Subscribed {
        match self.subscription(channel) {
            None => Subscribed::No,
            Some(Subscription { place: None, .. }) => Subscribed::Opening,
            Some(Subscription { place: Some(_), .. }) => Subscribed::Yes,
        }
    }

    fn subscriptions(&self) -> usize {
        self.turn
            .state
            .get(self.key)
            .map_or(0, |conn| conn.subscriptions.len())
    }

    fn open(&mut self, channel: &str) {
        let id = self.turn.state.hub.open(channel);
        if let Some(conn) = self.turn.state.get_mut(self.key) {
            conn.subscriptions.push(Subscription {
                channel: id,
                place: None,
            });
        }
        self.turn
            .shard
            .handle
            .counters
            .channels
            .set(self.turn.state.hub.channels() as u64);
    }

    fn settle(&mut self, channel: &str, to: Subscribed) {
        let Some(id) = self.turn.state.hub.id(channel) else {
            return;
        };
        if to == Subscribed::No {
            self.turn.unsubscribe(self.key, id);
            return;
        }
        let state = &mut *self.turn.state;
        let Some(conn) = state.conns.get_mut(self.key.index as usize) else {
            return;
        };
        let opening = conn
            .subscriptions
            .iter_mut()
            .find(|it| it.channel == id && it.place.is_none());
        if let Some(subscription) = opening {
            subscription.place = Some(state.hub.join(id, conn.variant, self.key.index));
            self.turn.shard.handle.counters.subscriptions.add(1);
        }
    }
}
