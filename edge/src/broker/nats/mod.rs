//! Core NATS: fan-out between nodes, at most once.
//!
//! The subjects and payloads are Centrifugo's, so a node can join an existing fleet: channel `c` is subject
//! `<prefix>.client.c`, the payload is the client protocol's `Push` in Protobuf. There is no history: every
//! position is zero, and a loss (a reconnect, a slow consumer) is invisible to subscribers.
//!
//! - `link`: the connection, its state and counters. It reconnects for ever; nothing is buffered meanwhile.
//! - `interest`: one NATS subscription per channel that a shard of this node wants, and the proof that the
//!   server knows about it.
//! - `events`: the queue of joins and leaves.
//! - `reader`: one task that merges all subscriptions and delivers into the shards' inboxes.
//!
//! Own publications come back through NATS like everybody's, so all nodes of one server see one order.
//!
//! All tasks run on the runtime that called [`NatsCore::connect`]; the methods may be called from any thread
//! and any runtime that has timers.
//!
//! Memory: a subscribed channel costs 6 KB on the node (measured), nearly all of it the first block of the queue
//! that async-nats allocates for a subscription (32 messages), plus what is waiting there: at most
//! 4,096 messages a channel, the surplus is dropped and counted.
//!
//! Limit: in a cluster of NATS servers, [`NatsCore::attach`] proves that *our* server knows the interest, not
//! that the others do; they learn it a moment later.

mod events;
mod interest;
mod link;
mod reader;
mod subjects;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tidewire_protocol::{ClientInfo, Join, Leave, Publication, Push};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use events::Events;
use interest::{Interest, Open, Settled};
pub use link::{NatsError, NatsLink, NatsStats};

use super::{BrokerError, BrokerState, Channels, Event, Position, ShardId};

/// How many messages of one channel may wait for the reader; more are dropped and counted.
const QUEUE_MESSAGES_MAX: usize = 4096;

/// How long an attach waits for the server's proof.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(4);

/// How many new subscriptions may wait until the reader takes them over.
const FEEDS_MAX: usize = 1024;

/// How to reach NATS.
#[derive(Clone)]
pub struct NatsOptions {
    /// One address or several, separated by commas: `nats://` or `tls://`, with `user:password@` or `token@`
    /// where needed (the same credentials in all of them).
    pub url: String,
    /// First token of every subject.
    pub prefix: String,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long a publication may wait for its place in the write queue.
    pub write_timeout: Duration,
    /// This node's id, unique for each start.
    pub node_id: String,
    /// TLS settings; without them `tls://` uses the system's roots.
    pub tls: Option<rustls::ClientConfig>,
}

/// The addresses may hold a password.
impl std::fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsOptions")
            .field("prefix", &self.prefix)
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

/// The broker over core NATS.
#[derive(Debug)]
pub struct NatsCore {
    link: NatsLink,
    interest: Arc<Interest>,
    events: Events,
}

impl NatsCore {
    /// Starts the broker on the current runtime. NATS may be away: it is connected to when it comes.
    ///
    /// # Errors
    /// [`NatsError`] for options that can never work. Unreachable servers are not an error.
    pub async fn connect(options: NatsOptions, channels: Arc<Channels>) -> Result<Self, NatsError> {
        let (link, connects) = NatsLink::connect(options).await?;
        let (feeds, taken) = mpsc::channel(FEEDS_MAX);
        let interest = Arc::new(Interest::new(Arc::clone(&channels)));
        let maintainer =
            interest::Maintainer::new(link.clone(), Arc::clone(&interest), feeds).await?;
        let reader = reader::Reader::new(link.clone(), channels, taken);
        tokio::spawn(
            link.closed()
                .run_until_cancelled_owned(maintainer.run(connects)),
        );
        tokio::spawn(link.closed().run_until_cancelled_owned(reader.run()));
        let events = Events::start(link.clone());
        Ok(Self {
            link,
            interest,
            events,
        })
    }

    /// The connection, for the questions between nodes.
    #[must_use]
    pub fn link(&self) -> NatsLink {
        self.link.clone()
    }

    /// What happened so far, for the metrics.
    #[must_use]
    pub fn stats(&self) -> &NatsStats {
        self.link.stats()
    }

    /// Publishes to a channel. Success says that the publication is on its way to the server.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`] at once while there is no connection, or after the write timeout while the
    /// connection takes no more; [`BrokerError::BadChannel`] and [`BrokerError::TooLarge`] for good.
    pub async fn publish(
        &self,
        channel: &str,
        publication: Publication,
    ) -> Result<Position, BrokerError> {
        let subject = self
            .link
            .subjects()
            .channel(channel)
            .ok_or(BrokerError::BadChannel)?;
        let publication = Publication {
            time: subjects::unix_millis(),
            ..publication
        };
        let push = Push {
            channel: channel.to_owned(),
            r#pub: Some(publication),
            ..Push::default()
        };
        self.link
            .publish(subject, Bytes::from(push.encode_to_vec()))
            .await?;
        self.link.count_published();
        Ok(Position::default())
    }

    /// Sends a join or leave to all nodes, in the order of the calls. Best effort: it is dropped (and counted)
    /// while there is no connection, or when 1,024 of them wait for it.
    pub fn publish_event(&self, channel: &str, event: &Event) {
        let Some(subject) = self.link.subjects().channel(channel) else {
            return;
        };
        let info = |who: &Arc<ClientInfo>| Some(ClientInfo::clone(who));
        let mut push = Push {
            channel: channel.to_owned(),
            ..Push::default()
        };
        match event {
            Event::Publication(_) => return,
            Event::Join(who) => push.join = Some(Join { info: info(who) }),
            Event::Leave(who) => push.leave = Some(Leave { info: info(who) }),
        }
        self.events.send(subject, Bytes::from(push.encode_to_vec()));
    }

    /// Makes the channel's publications reach the shard's inbox. Returns when the server knows.
    ///
    /// If the returned future is dropped before it is ready, the shard is not attached by it.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`] after 4 s without the server's proof, or when the shard detached meanwhile;
    /// [`BrokerError::BadChannel`].
    pub async fn attach(&self, channel: &str, shard: ShardId) -> Result<Position, BrokerError> {
        self.link
            .subjects()
            .channel(channel)
            .ok_or(BrokerError::BadChannel)?;
        match self.interest.open(channel, shard) {
            Open::Known => Ok(Position::default()),
            Open::Pending(reply) => {
                Opening {
                    interest: &self.interest,
                    channel,
                    shard,
                    reply,
                    settled: false,
                }
                .settle()
                .await
            }
        }
    }

    /// Ends [`NatsCore::attach`]: nothing reaches the inbox any more when this returns.
    pub fn detach(&self, channel: &str, shard: ShardId) {
        self.interest.close(channel, shard);
    }

    /// The channels of this node that have a subscriber.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.interest.channels().len()
    }

    /// The state for operators.
    #[must_use]
    pub fn state(&self) -> BrokerState {
        BrokerState {
            kind: "nats".to_owned(),
            connected: self.link.is_connected(),
            error: self.link.error(),
        }
    }

    /// Writes out what was published (at most for the write timeout), then closes the connection for good.
    pub async fn shutdown(&self) {
        self.link.shutdown(self.events.flush()).await;
    }
}

/// An attach that waits for its proof, and undoes itself when it is given up.
struct Opening<'a> {
    interest: &'a Interest,
    channel: &'a str,
    shard: ShardId,
    reply: oneshot::Receiver<()>,
    settled: bool,
}

impl Opening<'_> {
    async fn settle(mut self) -> Result<Position, BrokerError> {
        let answered = matches!(timeout(ATTACH_TIMEOUT, &mut self.reply).await, Ok(Ok(())));
        self.settled = true;
        if answered
            || self
                .interest
                .give_up(self.channel, self.shard, &mut self.reply)
                == Settled::Attached
        {
            Ok(Position::default())
        } else {
            Err(BrokerError::Disconnected)
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.interest
                .give_up(self.channel, self.shard, &mut self.reply);
        }
    }
}
