//! The one task that takes messages of all subscriptions and delivers them.
//!
//! If a shard has no room the reader waits for it, and takes no message of any channel meanwhile: order is kept,
//! memory is bounded by the subscriptions' queues, and what does not fit there is dropped and counted by the link.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use futures::stream::{Abortable, SelectAll};
use prost::Message as _;
use tidewire_protocol::{ClientInfo, Publication, Push};
use tokio::sync::mpsc;

use super::link::NatsLink;
use crate::broker::channels::NoRoom;
use crate::broker::{Channels, Event, Published};

/// One channel's subscription. It yields nothing any more from the moment it is aborted, and unsubscribes then.
pub(super) type Feed = Abortable<Subscriber>;

#[derive(Debug)]
pub(super) struct Reader {
    link: NatsLink,
    channels: Arc<Channels>,
    taken: mpsc::Receiver<Feed>,
    feeds: SelectAll<Feed>,
}

impl Reader {
    pub(super) fn new(
        link: NatsLink,
        channels: Arc<Channels>,
        taken: mpsc::Receiver<Feed>,
    ) -> Self {
        Self {
            link,
            channels,
            taken,
            feeds: SelectAll::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                feed = self.taken.recv() => match feed {
                    Some(feed) => self.feeds.push(feed),
                    None => return,
                },
                Some(message) = self.feeds.next(), if !self.feeds.is_empty() => self.deliver(message).await,
            }
        }
    }

    async fn deliver(&mut self, message: Message) {
        let stats = self.link.stats();
        stats.messages_received.fetch_add(1, Ordering::Relaxed);
        let subject = message.subject;
        let Some(channel) = self.link.subjects().channel_of(&subject) else {
            return;
        };
        let Ok(push) = Push::decode(message.payload) else {
            stats.decode_errors.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let Some(event) = event(push) else {
            return;
        };
        while let Err(NoRoom(shard)) = self.channels.deliver(channel, &event) {
            tokio::select! {
                () = self.channels.room(shard) => {}
                Some(feed) = self.taken.recv() => self.feeds.push(feed),
            }
        }
    }
}

/// What a push between nodes means; `None` for what this version does not know.
fn event(push: Push) -> Option<Event> {
    let who = |info: Option<ClientInfo>| Arc::new(info.unwrap_or_default());
    match push {
        Push {
            r#pub: Some(publication),
            ..
        } => Some(Event::Publication(Arc::new(Published {
            publication: for_clients(publication),
            ..Published::default()
        }))),
        Push {
            join: Some(join), ..
        } => Some(Event::Join(who(join.info))),
        Push {
            leave: Some(leave), ..
        } => Some(Event::Leave(who(leave.info))),
        _ => None,
    }
}

/// What subscribers may see: the rest is between servers (time, the wish for deltas) or means nothing without
/// history.
fn for_clients(publication: Publication) -> Publication {
    let Publication {
        data, info, tags, ..
    } = publication;
    Publication {
        data,
        info,
        tags,
        ..Publication::default()
    }
}
