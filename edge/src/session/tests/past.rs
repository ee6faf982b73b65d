//! Recovery against a naive model: a list of everything that was ever published, and the rules of client-protocol
//! section 10 read off it. The session is real, and so is the memory engine that it asks.

use std::time::Duration;

use futures::FutureExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::advance;

use super::*;
use crate::broker::{Broker, Channels, Memory, PublishOptions, StreamOptions};
use tidewire_protocol::FilterNode;

const SIZE: usize = 4;
const LIMIT: usize = 3;
const TTL: Duration = Duration::from_secs(60);
const META_TTL: Duration = Duration::from_secs(100);

#[derive(Clone, Debug)]
enum Act {
    /// A publication, with or without the tag that the filter wants.
    Publish { tagged: bool },
    /// Time passes.
    Pass { seconds: u64 },
    /// The backend drops the history.
    Remove,
    /// A client comes back.
    Subscribe(Wish),
}

/// What a client that comes back says.
#[derive(Clone, Debug)]
struct Wish {
    /// Or else it only subscribes.
    recover: bool,
    /// So far behind the top, or ahead of it.
    behind: i64,
    epoch: Epoch,
    filtered: bool,
    /// All or an error.
    reject: bool,
}

#[derive(Clone, Copy, Debug)]
enum Epoch {
    Unknown,
    Current,
    Former,
}

fn wish() -> impl Strategy<Value = Wish> {
    let epoch = prop_oneof![
        2 => Just(Epoch::Unknown),
        5 => Just(Epoch::Current),
        1 => Just(Epoch::Former),
    ];
    let recover = prop::bool::weighted(0.9);
    (recover, -2..7_i64, epoch, any::<bool>(), any::<bool>()).prop_map(
        |(recover, behind, epoch, filtered, reject)| Wish {
            recover,
            behind,
            epoch,
            filtered,
            reject,
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => any::<bool>().prop_map(|tagged| Act::Publish { tagged }),
        1 => prop::sample::select(vec![1, 59, 60, 99, 100]).prop_map(|seconds| Act::Pass { seconds }),
        1 => Just(Act::Remove),
        5 => wish().prop_map(Act::Subscribe),
    ]
}

/// One publication, for ever.
struct Entry {
    offset: u64,
    tagged: bool,
    /// It can be read no more.
    gone: bool,
}

/// Everything that was published in the current epoch, and how long it lasts.
#[derive(Default)]
struct Past {
    all: Vec<Entry>,
    now: u64,
    published_at: u64,
    used_at: u64,
    /// As far as a reply has told it.
    epoch: Option<String>,
    former: Vec<String>,
}

impl Past {
    fn top(&self) -> u64 {
        self.all.len() as u64
    }

    /// What time has done to it, until now; now it is used.
    fn look(&mut self) {
        if self.now - self.used_at >= META_TTL.as_secs() {
            self.all.clear();
            self.former.extend(self.epoch.take());
        }
        if self.now - self.published_at >= TTL.as_secs() {
            self.remove();
        }
        self.used_at = self.now;
    }

    fn remove(&mut self) {
        self.all.iter_mut().for_each(|entry| entry.gone = true);
    }

    fn publish(&mut self, tagged: bool) {
        self.look();
        let offset = self.top() + 1;
        self.all.push(Entry {
            offset,
            tagged,
            gone: false,
        });
        let kept = self.all.len().saturating_sub(SIZE);
        self.all[..kept]
            .iter_mut()
            .for_each(|entry| entry.gone = true);
        self.published_at = self.now;
    }

    fn wanted(wish: &Wish, entries: &[&Entry]) -> Vec<u64> {
        let wanted = entries
            .iter()
            .filter(|entry| entry.tagged || !wish.filtered);
        wanted.map(|entry| entry.offset).collect()
    }

    /// The offsets of what a client gets; `None` if it is not recovered.
    fn recovered(&self, wish: &Wish, since: u64, epoch: &str, cache: bool) -> Option<Vec<u64>> {
        let of_this_epoch = epoch.is_empty() || self.epoch.as_deref() == Some(epoch);
        if cache {
            if since > 0 && since == self.top() && self.epoch.as_deref() == Some(epoch) {
                return Some(Vec::new());
            }
            let readable = self.all.iter().rev().filter(|entry| !entry.gone);
            let read: Vec<&Entry> = readable.take(LIMIT).collect();
            let newest = Self::wanted(wish, &read).first().copied();
            return newest.map(|newest| vec![newest]);
        }
        let missed: Vec<&Entry> = self.all.iter().filter(|it| it.offset > since).collect();
        let whole = missed.len() <= LIMIT && missed.iter().all(|entry| !entry.gone);
        (of_this_epoch && since <= self.top() && whole).then(|| Self::wanted(wish, &missed))
    }
}

/// The stream, and clients that come back to it.
struct World {
    broker: Broker,
    past: Past,
    cache: bool,
}

impl World {
    fn new(cache: bool) -> Self {
        let channels = Channels::new(Vec::new());
        Self {
            broker: Broker::Memory(Memory::new(channels.into())),
            past: Past::default(),
            cache,
        }
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Publish { tagged } => {
                self.past.publish(*tagged);
                self.publish(*tagged);
            }
            Act::Pass { seconds } => {
                self.past.now += seconds;
                advance(Duration::from_secs(*seconds)).await;
            }
            Act::Remove => {
                self.past.remove();
                self.broker.remove_history("a").await.unwrap();
            }
            Act::Subscribe(wish) => self.subscribe(wish),
        }
    }

    fn publish(&self, tagged: bool) {
        let tag = tagged.then(|| ("wanted".to_owned(), "1".to_owned()));
        let publication = Publication {
            data: "{}".into(),
            tags: tag.into_iter().collect(),
            ..Publication::default()
        };
        let options = PublishOptions {
            stream: Some(StreamOptions {
                size: SIZE,
                ttl: TTL,
                meta_ttl: META_TTL,
            }),
            ..PublishOptions::default()
        };
        let published = self.broker.publish_now("a", &publication, &options);
        let outcome = published.unwrap().unwrap();
        assert_eq!(outcome.position.offset, self.past.top());
    }

    fn subscribe(&mut self, wish: &Wish) {
        self.past.look();
        let top = self.past.top();
        let since = top.saturating_add_signed(-wish.behind);
        let epoch = match wish.epoch {
            Epoch::Unknown => None,
            Epoch::Current => self.past.epoch.clone(),
            Epoch::Former => Some(
                self.past
                    .former
                    .last()
                    .map_or("never", String::as_str)
                    .to_owned(),
            ),
        };
        let epoch = epoch.unwrap_or_default();
        let expected = wish
            .recover
            .then(|| self.past.recovered(wish, since, &epoch, self.cache))
            .flatten();
        let mut client = self.client();
        let tf = wish.filtered.then(|| {
            Box::new(FilterNode {
                key: "wanted".to_owned(),
                cmp: "ex".to_owned(),
                ..FilterNode::default()
            })
        });
        let came = self.run(
            &mut client,
            SubscribeRequest {
                channel: "a".to_owned(),
                recover: wish.recover,
                offset: since,
                epoch,
                tf,
                flag: i64::from(wish.reject) * 2,
                ..SubscribeRequest::default()
            },
        );
        if wish.recover && wish.reject && expected.is_none() && !self.cache {
            assert_eq!(came, Error(112));
            return assert_eq!(client.place.subscribed("a"), Subscribed::No);
        }
        assert_eq!(came, Done);
        let result = client.last().subscribe.clone().unwrap();
        assert_eq!(result.was_recovering, wish.recover);
        assert_eq!(result.recovered, expected.is_some());
        assert_eq!(result.offset, if expected.is_some() { since } else { top });
        let offsets = result.publications.iter().map(|it| it.offset);
        assert_eq!(offsets.collect::<Vec<_>>(), expected.unwrap_or_default());
        // An epoch lasts until it is forgotten, and never comes back.
        let known = self.past.epoch.get_or_insert_with(|| result.epoch.clone());
        assert_eq!(*known, result.epoch);
        assert!(!self.past.former.contains(&result.epoch));
        let at = client.granted("a").position.unwrap();
        assert_eq!((at.offset, &*at.epoch), (top, &*result.epoch));
    }

    fn client(&self) -> Client {
        let mode = if self.cache { "cache" } else { "stream" };
        Client::connected(
            &json!({
                "client": {"recovery_max_publication_limit": LIMIT},
                "channel": {"without_namespace": {
                    "allow_subscribe_for_client": true,
                    "allow_tags_filter": true,
                    "force_recovery": true,
                    "force_recovery_mode": mode,
                    "history_size": SIZE,
                    "history_ttl": format!("{}s", TTL.as_secs()),
                    "history_meta_ttl": format!("{}s", META_TTL.as_secs()),
                }},
            }),
            "42",
        )
    }

    /// Runs a subscribe that the broker answers.
    fn run(&self, client: &mut Client, request: SubscribeRequest) -> Came {
        let step = client.session.handle(subscribe(request), &mut client.place);
        let Call { request, then } = called(step);
        let Request::Attach { channel, options } = *request else {
            panic!("an attach is asked for: {request:?}");
        };
        let attached = self.broker.attach(&channel, 0, &options).now_or_never();
        let answer = Answer::Attached(attached.unwrap());
        let step = client.session.resume(then, answer, &mut client.place);
        assert!(matches!(step, Step::Idle), "{step:?}");
        let error = client.last().error.as_ref();
        error.map_or(Done, |error| Error(error.code))
    }
}

proptest! {
    #[test]
    fn whoever_comes_back_gets_all_that_was_missed_or_is_told(
        cache in prop::bool::weighted(0.3),
        acts in vec(act(), 1..40),
    ) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(cache);
            for act in &acts {
                world.act(act).await;
            }
        });
    }
}
