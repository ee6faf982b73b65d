//! The memory engine: one process, synchronous, ordered by the channel table's partition lock, under which a
//! publication is stored and pushed to the interested shards, or neither.

mod results;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidewire_protocol::Publication;
use tokio::time::Instant;

use super::channels::{Locked, NoRoom};
use super::event::{Delivery, Event, Published};
use super::stream::{AttachOptions, Attached, HistoryFilter, HistoryPage, Outcome, PublishOptions};
use super::stream::{StreamOptions, Suppressed};
use super::{BrokerError, Channels, ShardId, WhenFull};

use results::Results;
use stream::Stream;

/// How often expired streams and results are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// The broker of a single node.
#[derive(Debug)]
pub struct Memory {
    channels: Arc<Channels<Kept>>,
}

/// What a partition keeps of its channels.
#[derive(Debug, Default)]
pub struct Kept {
    streams: HashMap<Arc<str>, Stream>,
    results: Results,
}

impl Memory {
    /// A broker over the node's channels.
    #[must_use]
    pub fn new(channels: Arc<Channels<Kept>>) -> Self {
        Self { channels }
    }

    /// Forgets what has expired, for ever. Reading never sees it either way.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            for mut locked in self.channels.each() {
                let kept = locked.state();
                kept.results.expire(now);
                kept.streams.retain(|_, stream| stream.live(now));
            }
        }
    }

    pub(super) async fn publish(
        &self,
        channel: &str,
        publication: Publication,
        options: &PublishOptions,
    ) -> Result<Outcome, BrokerError> {
        loop {
            match self.publish_once(channel, &publication, options) {
                Ok(outcome) => return Ok(outcome),
                Err(NoRoom(_)) if options.when_full == WhenFull::Refuse => {
                    return Err(BrokerError::Full);
                }
                Err(NoRoom(shard)) => self.channels.room(shard).await,
            }
        }
    }

    pub(super) fn publish_now(
        &self,
        channel: &str,
        publication: &Publication,
        options: &PublishOptions,
    ) -> Result<Outcome, BrokerError> {
        self.publish_once(channel, publication, options)
            .map_err(|NoRoom(_)| BrokerError::Full)
    }

    /// The order of brokers-and-observability section 1.2: idempotency, epoch, version, offset, append, fan-out,
    /// result.
    fn publish_once(
        &self,
        channel: &str,
        publication: &Publication,
        options: &PublishOptions,
    ) -> Result<Outcome, NoRoom> {
        let now = Instant::now();
        let mut locked = self.channels.lock(channel);
        let key = &options.idempotency_key;
        if let Some(position) = locked.state().results.get(channel, key, now) {
            return Ok(Outcome {
                position,
                suppressed: Some(Suppressed::Idempotency),
            });
        }
        let outcome = match options.stream {
            None => without_stream(&locked, channel, publication)?,
            Some(stream) => with_stream(&mut locked, channel, publication, options, stream)?,
        };
        if !key.is_empty() && outcome.suppressed.is_none() {
            let results = &mut locked.state().results;
            results.insert(channel, key, outcome.position.clone(), now);
        }
        Ok(outcome)
    }

    pub(super) fn publish_event(&self, channel: &str, event: &Event) {
        if let Err(NoRoom(shard)) = self.channels.deliver(channel, event) {
            tracing::debug!(shard, "a join or leave was dropped: the inbox is full");
        }
    }

    pub(super) fn attach(
        &self,
        channel: &str,
        shard: ShardId,
        options: &AttachOptions,
    ) -> Result<Attached, BrokerError> {
        let mut locked = self.channels.lock(channel);
        let attached = match options.stream {
            None => Attached::default(),
            Some(stream) => {
                let stream = locked.state().stream(channel, Instant::now(), stream);
                let page = options
                    .read
                    .as_ref()
                    .map(|filter| stream.read(filter))
                    .transpose();
                // A page that cannot be read (other epoch) is an incomplete one: the position still counts.
                let page = match page {
                    Err(BrokerError::UnknownEpoch) => Some(HistoryPage {
                        top: stream.position(),
                        ..HistoryPage::default()
                    }),
                    page => page?,
                };
                Attached {
                    position: stream.position(),
                    page,
                }
            }
        };
        locked.attach(channel, shard);
        Ok(attached)
    }

    pub(super) fn detach(&self, channel: &str, shard: ShardId) {
        self.channels.detach(channel, shard);
    }

    pub(super) fn history(
        &self,
        channel: &str,
        filter: &HistoryFilter,
        options: StreamOptions,
    ) -> Result<HistoryPage, BrokerError> {
        let mut locked = self.channels.lock(channel);
        locked
            .state()
            .stream(channel, Instant::now(), options)
            .read(filter)
    }

    pub(super) fn remove_history(&self, channel: &str) {
        let mut locked = self.channels.lock(channel);
        if let Some(stream) = locked.state().streams.get_mut(channel) {
            stream.clear();
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }
}

impl Kept {
    /// The channel's stream, made anew if it is absent or forgotten, and used now.
    fn stream(&mut self, channel: &str, now: Instant, options: StreamOptions) -> &mut Stream {
        if self
            .streams
            .get_mut(channel)
            .is_none_or(|stream| !stream.live(now))
        {
            self.streams.insert(Arc::from(channel), Stream::new());
        }
        let stream = self
            .streams
            .entry(Arc::from(channel))
            .or_insert_with(Stream::new);
        stream.used(now, options.meta_ttl);
        stream
    }
}

fn without_stream(
    locked: &Locked<'_, Kept>,
    channel: &str,
    publication: &Publication,
) -> Result<Outcome, NoRoom> {
    let published = Published {
        publication: publication.clone(),
        ..Published::default()
    };
    locked.deliver(channel, &Event::Publication(Arc::new(published)))?;
    Ok(Outcome::default())
}

fn with_stream(
    locked: &mut Locked<'_, Kept>,
    channel: &str,
    publication: &Publication,
    options: &PublishOptions,
    kept: StreamOptions,
) -> Result<Outcome, NoRoom> {
    let now = Instant::now();
    let stream = locked.state().stream(channel, now, kept);
    if stream.has_version(options.version, &options.version_epoch) {
        return Ok(Outcome {
            position: stream.position(),
            suppressed: Some(Suppressed::Version),
        });
    }
    let published = Arc::new(stream.next(publication.clone(), options.delta));
    let event = Event::Publication(Arc::clone(&published));
    let delivery = Delivery {
        channel: Arc::from(channel),
        event: event.clone(),
    };
    // Before the append: a publication that is refused leaves no trace.
    locked.room(channel, delivery.cost())?;
    let stream = locked.state().stream(channel, now, kept);
    stream.append(published, kept, now);
    stream.set_version(options.version, &options.version_epoch);
    let position = stream.position();
    locked.push(channel, &event);
    Ok(Outcome {
        position,
        suppressed: None,
    })
}
