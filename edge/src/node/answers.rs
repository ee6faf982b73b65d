//! What this node answers when it is asked about itself: from counters where they suffice, else from every shard.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::VERSION;
use crate::broker::{Broker, Inbox as _};
use crate::control::{Answer, Answerer, Control, NodeIdentity, NodeInfo, Question};
use crate::internal::Identity;
use crate::shard::Handle;
use crate::shard::ask::{Ask, Told};
use crate::shard::counters::{Counters, Figure};
use crate::shard::inbox::{Event, emulated_cost};

/// Answers over the node's shards.
pub(super) struct Answers {
    identity: Arc<Identity>,
    shards: Arc<[Arc<Handle>]>,
    broker: Arc<Broker>,
    started: Instant,
}

impl Answers {
    pub(super) fn new(
        identity: Arc<Identity>,
        shards: Arc<[Arc<Handle>]>,
        broker: Arc<Broker>,
    ) -> Self {
        Self {
            identity,
            shards,
            broker,
            started: Instant::now(),
        }
    }

    /// Asks every shard; those that have ended do not answer.
    async fn ask(&self, ask: Ask) -> Vec<Told> {
        let waiting: Vec<_> = self
            .shards
            .iter()
            .map(|shard| {
                let (reply, answer) = oneshot::channel();
                shard.inbox.post(Event::Ask(ask.clone(), reply));
                answer
            })
            .collect();
        join_all(waiting).await.into_iter().flatten().collect()
    }

    async fn info(&self) -> NodeInfo {
        let mut users: HashSet<Box<str>> = HashSet::new();
        for told in self.ask(Ask::Users).await {
            if let Told::Users(some) = told {
                users.extend(some);
            }
        }
        NodeInfo {
            uid: self.identity.id.clone(),
            name: self.identity.name.clone(),
            version: VERSION.to_owned(),
            num_clients: self.sum(|it| &it.clients),
            num_users: count(users.len() as u64),
            num_subs: self.sum(|it| &it.subscriptions),
            num_channels: count(self.broker.channels() as u64),
            uptime: count(self.started.elapsed().as_secs()),
        }
    }

    fn sum(&self, read: fn(&Counters) -> &Figure) -> u32 {
        count(
            self.shards
                .iter()
                .map(|shard| read(&shard.counters).value())
                .sum(),
        )
    }
}

impl Answerer for Answers {
    fn emulate(&self, session: &str, commands: Bytes) -> bool {
        let Ok(session) = Uuid::try_parse(session) else {
            return true;
        };
        let [shard, ..] = session.into_bytes();
        let Some(shard) = self.shards.get(usize::from(shard)) else {
            return true;
        };
        let has_room = shard.inbox.has_room(emulated_cost(&commands));
        if has_room {
            shard.inbox.post(Event::Emulated(session, commands));
        }
        has_room
    }

    fn answer(&self, question: Question) -> BoxFuture<'_, Answer> {
        async move {
            match question {
                Question::Info {} => Answer::Info(self.info().await),
                Question::Channels { pattern } => {
                    let mut all: BTreeMap<String, u32> = BTreeMap::new();
                    for told in self.ask(Ask::Channels).await {
                        let Told::Channels(channels) = told else {
                            continue;
                        };
                        for (name, clients) in channels {
                            if pattern
                                .as_ref()
                                .is_none_or(|pattern| pattern.matches(&name))
                            {
                                *all.entry(name.to_string()).or_default() += clients;
                            }
                        }
                    }
                    Answer::Channels(all)
                }
                Question::Act(command) => {
                    self.ask(Ask::Act(Arc::new(command))).await;
                    Answer::Done
                }
                Question::Presence { channel } => {
                    let mut all = BTreeMap::new();
                    for told in self.ask(Ask::Presence(channel.into())).await {
                        if let Told::Presence(clients) = told {
                            all.extend(clients.into_iter().map(|it| (it.client.clone(), it)));
                        }
                    }
                    Answer::Presence(all)
                }
            }
        }
        .boxed()
    }
}

/// The way to all nodes: over NATS if that is the broker.
pub(super) fn control(broker: &Broker, identity: &Identity, answers: Arc<Answers>) -> Control {
    let identity = NodeIdentity {
        id: identity.id.clone(),
        name: identity.name.clone(),
        version: VERSION.to_owned(),
    };
    match broker {
        Broker::Memory(_) => Control::local(identity, answers),
        Broker::Nats(nats) => Control::nats(nats.link(), identity, answers),
    }
}

/// The API's counters have 32 bits.
fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
