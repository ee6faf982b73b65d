//! What a session sees of its shard.

use std::sync::Arc;

use tidewire_protocol::{Reply, UnsubscribeCode};

use super::ConnKey;
use super::conn::Subscription;
use super::hub::Place;
use super::turn::Turn;
use crate::config::Live;
use crate::services::unix_time;
use crate::session::{Ctx, Grant, Link, Settle, Subscribed};

impl<'a> Turn<'a> {
    pub(super) fn ctx(&mut self, key: ConnKey) -> CommandCtx<'_, 'a> {
        let live = self.shard.services.settings.live();
        CommandCtx {
            turn: self,
            key,
            live,
        }
    }
}

/// A connection, and the configuration for the length of one command.
pub(super) struct CommandCtx<'t, 'a> {
    pub(super) turn: &'t mut Turn<'a>,
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

    fn link(&self) -> &Link {
        let conn = self.turn.state.get(self.key);
        conn.map_or(&Link::PLAIN, |conn| &conn.link)
    }

    fn node(&self) -> &str {
        self.turn.shard.services.control.id()
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
            Some(Place::Opening(number)) => Subscribed::Opening(number),
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

    fn open(&mut self, channel: &str) -> u32 {
        self.turn.open(self.key, channel).1
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
