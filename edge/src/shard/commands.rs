//! What the server API does to this shard's connections.

use std::rc::Rc;
use std::sync::Arc;

use tidewire_protocol::{
    DisconnectCode, DisconnectReason, Push, Refresh, Reply, Subscribe, Unsubscribe, UnsubscribeCode,
};

use uuid::Uuid;

use super::hub::{ChannelId, Place};
use super::turn::Turn;
use super::{ConnKey, Shard};
use crate::auth::{Overrides, SubscriptionOptions};
use crate::broker::{Attached, BrokerError, Position};
use crate::control::{NodeCommand, ServerOverrides, ServerSubscription, Target};
use crate::services::unix_time;
use crate::session::{Answer, LIFETIME_MAX_SECS, ServerPlan, ttl};

impl Turn<'_> {
    /// Does what a command says to the connections that it is for.
    pub(super) fn act(&mut self, command: &NodeCommand) {
        match command {
            NodeCommand::Disconnect {
                target,
                whitelist,
                code,
                reason,
            } => {
                let reason = DisconnectReason::custom(*code, reason.clone());
                for key in self.targets(target) {
                    let client = self.client(key);
                    if !whitelist.contains(&client) {
                        self.close(key, &reason);
                    }
                }
            }
            NodeCommand::Unsubscribe { target, channel } => {
                for key in self.targets(target) {
                    self.server_unsubscribe(key, channel);
                }
            }
            NodeCommand::Subscribe {
                target,
                subscription,
            } => {
                for key in self.targets(target) {
                    self.server_subscribe(key, subscription);
                }
            }
            NodeCommand::Refresh {
                target,
                expired,
                expire_at,
                info,
            } => {
                let expire_at = if *expired { 1 } else { *expire_at };
                for key in self.targets(target) {
                    self.server_refresh(key, expire_at, info);
                }
            }
        }
    }

    fn targets(&self, target: &Target) -> Vec<ConnKey> {
        let mut keys = self.state.users.of(&target.user);
        if !target.client.is_empty() {
            keys.retain(|key| self.client(*key) == target.client);
        }
        if !target.session.is_empty() {
            let session = Uuid::try_parse(&target.session).ok();
            let of = |key: &ConnKey| self.state.get(*key)?.link.session();
            keys.retain(|key| session.is_some() && of(key) == session);
        }
        keys
    }

    fn client(&self, key: ConnKey) -> String {
        let conn = self.state.get(key);
        conn.map_or_else(String::new, |conn| conn.session.client().to_string())
    }

    /// The push goes out even to a client that is not subscribed.
    fn server_unsubscribe(&mut self, key: ConnKey, channel: &str) {
        if let Some(id) = self.state.hub.id(channel) {
            self.unsubscribe(key, id);
        }
        self.push_message(
            key,
            Push {
                channel: channel.to_owned(),
                unsubscribe: Some(Unsubscribe::from(UnsubscribeCode::Server)),
                ..Push::default()
            },
        );
    }

    fn server_refresh(&mut self, key: ConnKey, expire_at: i64, info: &[u8]) {
        let now = unix_time();
        let expire_at = u64::try_from(expire_at).unwrap_or(1);
        if expire_at > 0 && expire_at <= now {
            return self.close(key, &DisconnectCode::ConnectionExpired.into());
        }
        let expires = (expire_at > 0).then(|| expire_at.min(now.saturating_add(LIFETIME_MAX_SECS)));
        if let Some(conn) = self.state.get_mut(key)
            && expires.is_some()
            && !info.is_empty()
        {
            conn.session.set_info(info.to_vec().into());
        }
        self.expire_at(key, expires);
        let ttl = expires.map_or(0, |at| ttl(at, now));
        self.push_message(
            key,
            Push {
                refresh: Some(Refresh {
                    expires: expires.is_some(),
                    ttl,
                }),
                ..Push::default()
            },
        );
    }

    /// Begins a subscription that a backend makes; one that exists is replaced.
    fn server_subscribe(&mut self, key: ConnKey, subscription: &ServerSubscription) {
        let live = self.shard.services.settings.live();
        let Some(conn) = self.state.get(key) else {
            return;
        };
        let who = conn.session.who();
        let expire_at = u64::try_from(subscription.expire_at)
            .ok()
            .filter(|at| *at > 0);
        let since = subscription.recover_since.as_ref().map(|since| Position {
            offset: since.offset,
            epoch: since.epoch.as_str().into(),
        });
        let options = (options(subscription), expire_at, since);
        let Some(plan) = ServerPlan::new(&live, &subscription.channel, options, who) else {
            return;
        };
        if let Some(id) = self.state.hub.id(&subscription.channel) {
            self.unsubscribe(key, id);
        }
        let limit = live.boot.client.channel_limit as usize;
        let opened = self.open(key, &subscription.channel);
        let conn = self.state.get(key);
        if conn.is_none_or(|conn| conn.subscriptions.len() > limit) {
            return self.close(key, &DisconnectCode::ChannelLimit.into());
        }
        let services = self.shard.services.clone();
        match services.answer_now(plan.request(), self.shard.id) {
            Ok(Answer::Attached(attached)) => self.server_subscribed(key, opened, plan, attached),
            Ok(_) => {}
            Err(request) => {
                let Some(shard) = super::current() else {
                    return;
                };
                let channel: Arc<str> = plan.channel().into();
                tokio::task::spawn_local(async move {
                    if let Answer::Attached(attached) = services.answer(request, shard.id).await {
                        shard.server_subscribed(key, opened, plan, attached);
                    }
                    shard.attached(&[channel]);
                });
            }
        }
    }

    fn server_subscribed(
        &mut self,
        key: ConnKey,
        (id, number): (ChannelId, u32),
        plan: ServerPlan,
        attached: Result<Attached, BrokerError>,
    ) {
        if !self.is_opening(key, id, number) {
            // It was ended while the broker was asked.
            return;
        }
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                tracing::warn!(%error, "a subscription of the API failed at the broker");
                return self.unsubscribe(key, id);
            }
        };
        let Some((channel, result, grant)) = plan.finish(attached, unix_time()) else {
            return self.unsubscribe(key, id);
        };
        let push = Subscribe {
            recoverable: result.recoverable,
            epoch: result.epoch,
            offset: result.offset,
            positioned: result.positioned,
            data: result.data,
        };
        self.push_message(
            key,
            Push {
                channel: channel.clone(),
                subscribe: Some(push),
                ..Push::default()
            },
        );
        // The push has no place for them: they follow as if they were published now.
        for publication in result.publications {
            let push = Push {
                channel: channel.clone(),
                r#pub: Some(publication),
                ..Push::default()
            };
            self.push_message(key, push);
        }
        self.join(key, id, grant);
    }

    /// Whether the client still waits for the subscription of this number: the ids of channels are used again.
    fn is_opening(&self, key: ConnKey, id: ChannelId, number: u32) -> bool {
        let subscription = self.state.get(key).and_then(|conn| conn.subscription(id));
        subscription.is_some_and(|it| it.place == Place::Opening(number))
    }

    /// Queues a push to one connection.
    pub(super) fn push_message(&mut self, key: ConnKey, push: Push) {
        self.reply(
            key,
            &Reply {
                push: Some(push),
                ..Reply::default()
            },
        );
    }
}

/// A backend's wishes in the form that tokens have them.
fn options(subscription: &ServerSubscription) -> SubscriptionOptions {
    let ServerOverrides {
        presence,
        join_leave,
        force_push_join_leave,
        force_recovery,
        force_positioning,
    } = subscription.overrides;
    SubscriptionOptions {
        info: Some(subscription.info.clone().into()),
        data: Some(subscription.data.clone().into()),
        overrides: Overrides {
            presence,
            join_leave,
            force_push_join_leave,
            force_recovery,
            force_positioning,
        },
    }
}

impl Shard {
    fn server_subscribed(
        self: &Rc<Self>,
        key: ConnKey,
        opened: (ChannelId, u32),
        plan: ServerPlan,
        attached: Result<Attached, BrokerError>,
    ) {
        self.turn(|turn| turn.server_subscribed(key, opened, plan, attached));
    }
}
