//! Streams: positions in them, how long they live, and questions to them.

use std::sync::Arc;
use std::time::Duration;

use tidewire_config::ChannelOptions;

use super::event::Published;
use super::{BrokerError, WhenFull};

/// Where a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Offset of the newest publication; 0 without history and in a new stream.
    pub offset: u64,
    /// The stream's epoch; empty without history.
    pub epoch: Arc<str>,
}

/// How a channel's stream is kept (`history_size`, `history_ttl`, `history_meta_ttl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Publications kept, at least 1.
    pub size: usize,
    /// They are dropped when nothing was published for so long.
    pub ttl: Duration,
    /// Offset and epoch are forgotten when the stream was not used for so long; zero = never.
    pub meta_ttl: Duration,
}

impl StreamOptions {
    /// How a channel with these options keeps its stream, if it does.
    #[must_use]
    pub fn of(options: &ChannelOptions) -> Option<Self> {
        let (size, ttl) = (options.history_size as usize, options.history_ttl.get());
        (size > 0 && !ttl.is_zero()).then(|| Self {
            size,
            ttl,
            meta_ttl: options.history_meta_ttl.get(),
        })
    }
}

/// How a publication is published.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Keep it in the channel's stream.
    pub stream: Option<StreamOptions>,
    /// A second publication with this key within five minutes is not published; empty = none.
    pub idempotency_key: String,
    /// Subscribers that negotiated deltas may get a patch.
    pub delta: bool,
    /// Not published unless greater than the stored one of the same epoch; 0 = no check.
    pub version: u64,
    /// What `version` counts in; empty compares with any.
    pub version_epoch: String,
    /// What to do when an interested shard has no room.
    pub when_full: WhenFull,
}

/// What came of a publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Where the publication stands, or the one that made it superfluous.
    pub position: Position,
    /// It was not published, and that is fine.
    pub suppressed: Option<Suppressed>,
}

/// Why a publication was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppressed {
    /// Its idempotency key was used within the last five minutes.
    Idempotency,
    /// Its version is not greater than the stored one.
    Version,
}

/// A question to a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Only what comes after this position, or before it if reversed; an empty epoch means any.
    pub since: Option<Position>,
    /// At most so many publications; `None` = all that are kept.
    pub limit: Option<usize>,
    /// Newest first.
    pub reverse: bool,
}

/// Part of a stream.
#[derive(Clone, Debug, Default)]
pub struct HistoryPage {
    /// The publications, in the order asked for.
    pub publications: Vec<Arc<Published>>,
    /// Where the stream stands.
    pub top: Position,
    /// The broker's proof that `since` and `publications` together reach the top without a gap.
    pub complete: bool,
}

/// What an attach finds.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    /// Where the stream stands; everything after it reaches the inbox.
    pub position: Position,
    /// What was asked for of the past, read at the same moment.
    pub page: Option<HistoryPage>,
}

/// What to attach to.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// The channel has a stream.
    pub stream: Option<StreamOptions>,
    /// The subscriber relies on the position.
    pub positioned: bool,
    /// Also read this of it.
    pub read: Option<HistoryFilter>,
}

impl HistoryFilter {
    /// Refuses what no broker answers.
    ///
    /// # Errors
    /// [`BrokerError::BadFilter`]: before offset 0 there is nothing.
    pub fn check(&self) -> Result<(), BrokerError> {
        match &self.since {
            Some(since) if self.reverse && since.offset == 0 => Err(BrokerError::BadFilter),
            Some(_) | None => Ok(()),
        }
    }
}
