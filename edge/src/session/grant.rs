//! What a subscription gets: decided from the namespace's options, what the client asked, and its token.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidewire_config::{ChannelOptions, DeltaType, RecoveryMode};
use tidewire_protocol::{
    ClientInfo, EncodeError, Encoding, Publication, SubscribeRequest, SubscribeResult,
};

use crate::auth::{Overrides, SubscriptionOptions};
use crate::broker::{
    AttachOptions, Attached, HistoryFilter, HistoryPage, Position, Published, StreamOptions,
};
use crate::config::Live;
use crate::delta::{self, Data};
use crate::filter::Filter;
use crate::session::Request;
use crate::session::commands::connect::ttl;

/// What a subscription gets of payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delta {
    /// Whole ones: nothing else was negotiated.
    #[default]
    Off,
    /// Patches, after a first whole one.
    AfterWhole,
    /// Patches at once: the reply held what they are against.
    AtOnce,
}

/// What a live subscription was granted.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Where the broker attached it; `None` in a channel without a stream.
    pub position: Option<Position>,
    /// Loss is noticed, and told.
    pub positioned: bool,
    /// Joins and leaves of others are delivered.
    pub push_joins: bool,
    /// Its own join and leave are told to others.
    pub emit_joins: bool,
    /// It is part of the channel's presence.
    pub presence: bool,
    /// Whole payloads or patches.
    pub delta: Delta,
    /// Only publications with matching tags.
    pub filter: Option<Arc<Filter>>,
    /// The client as others see it in this channel, where somebody may.
    pub member: Option<Arc<ClientInfo>>,
    /// It ends some time after this, in seconds since the Unix epoch.
    pub expire_at: Option<u64>,
    /// The server subscribed the client.
    pub server_side: bool,
}

impl Grant {
    /// Whether nothing but publications concerns it; the shard keeps nothing then.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self {
            position: _,
            positioned,
            push_joins,
            emit_joins,
            presence,
            delta: _,
            filter,
            member,
            expire_at,
            server_side,
        } = self;
        !(*positioned || *push_joins || *emit_joins || *presence || *server_side)
            && member.is_none()
            && filter.is_none()
            && expire_at.is_none()
    }
}

/// What a token adds to a subscription.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenGrant {
    pub(super) overrides: Overrides,
    pub(super) info: Bytes,
    pub(super) data: Bytes,
    pub(super) expire_at: Option<u64>,
}

impl TokenGrant {
    /// From what a token or the server says.
    pub(super) fn new(options: SubscriptionOptions, expire_at: Option<u64>) -> Self {
        Self {
            overrides: options.overrides,
            info: options.info.unwrap_or_default(),
            data: options.data.unwrap_or_default(),
            expire_at,
        }
    }
}

/// The client that a subscription is for.
#[derive(Clone, Debug)]
pub struct Who {
    /// As others see it.
    pub info: ClientInfo,
    /// What it speaks.
    pub encoding: Encoding,
}

/// A subscription between its checks and the broker's answer.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    grant: Grant,
    stream: Option<StreamOptions>,
    recoverable: bool,
    /// The client asks to recover.
    asked: bool,
    /// Recovery from here is tried, in this mode.
    recover: Option<(Position, Mode)>,
    /// An unrecovered subscribe is an error.
    reject_unrecovered: bool,
    info: Bytes,
    data: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// All or nothing.
    Stream,
    /// The newest publication.
    Cache,
}

/// The stream could not be recovered, and the client does not want less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unrecoverable;

/// Bit of `SubscribeRequest.flag`: error 112 instead of `recovered: false`.
const REJECT_UNRECOVERED: i64 = 2;

impl Plan {
    /// The plan of a subscription that passed its checks. `reads_history` and `sees_presence`: the client may,
    /// once it is subscribed.
    pub(super) fn new(
        request: &SubscribeRequest,
        options: &ChannelOptions,
        token: TokenGrant,
        (reads_history, sees_presence): (bool, bool),
    ) -> Self {
        let TokenGrant {
            overrides,
            info,
            data,
            expire_at,
        } = token;
        let positioned = overrides
            .force_positioning
            .unwrap_or(options.force_positioning)
            || request.positioned && (options.allow_positioning || reads_history);
        let recoverable = overrides.force_recovery.unwrap_or(options.force_recovery)
            || request.recoverable && (options.allow_recovery || reads_history);
        let emit_joins = overrides.join_leave.unwrap_or(options.join_leave);
        let pushed = overrides
            .force_push_join_leave
            .unwrap_or(options.force_push_join_leave);
        let positioned = positioned || recoverable;
        let delta = match request.delta.as_str() {
            "fossil" if options.allowed_delta_types.contains(&DeltaType::Fossil) => {
                Delta::AfterWhole
            }
            _ => Delta::Off,
        };
        let mode = match options.force_recovery_mode {
            RecoveryMode::Cache => Mode::Cache,
            RecoveryMode::Unset | RecoveryMode::Stream => Mode::Stream,
        };
        let automatic = recoverable && mode == Mode::Cache && options.auto_cache_recover;
        let asked = request.recover || automatic;
        let since = Position {
            offset: request.offset,
            epoch: request.epoch.as_str().into(),
        };
        Self {
            grant: Grant {
                position: None,
                positioned,
                push_joins: pushed || request.join_leave && emit_joins && sees_presence,
                emit_joins,
                presence: overrides.presence.unwrap_or(options.presence),
                delta,
                filter: None,
                member: None,
                expire_at,
                server_side: false,
            },
            stream: StreamOptions::of(options).or(positioned.then(|| position_only(options))),
            recoverable,
            asked,
            recover: (asked && recoverable).then_some((since, mode)),
            reject_unrecovered: request.flag & REJECT_UNRECOVERED != 0,
            info,
            data,
        }
    }

    /// Only publications with matching tags are delivered. A patch would have no base then.
    pub(super) fn filtered(mut self, filter: Option<Filter>) -> Self {
        if let Some(filter) = filter {
            self.grant.filter = Some(Arc::new(filter));
            self.grant.delta = Delta::Off;
        }
        self
    }

    /// The whole stream since then is recovered, or nothing, whatever the namespace says of how.
    fn recovered_since(mut self, since: Option<Position>) -> Self {
        self.asked = since.is_some();
        self.recover = since
            .filter(|_| self.recoverable)
            .map(|since| (since, Mode::Stream));
        self
    }

    /// The same subscription, made by the server.
    pub(super) fn server_side(mut self) -> Self {
        self.grant.server_side = true;
        self
    }

    /// What to ask of the broker. At most `limit` publications are recovered.
    pub(super) fn attach_options(&self, limit: u32) -> AttachOptions {
        let read = self.recover.as_ref().map(|(since, mode)| match mode {
            Mode::Stream => HistoryFilter {
                since: Some(since.clone()),
                limit: Some(limit as usize),
                reverse: false,
            },
            Mode::Cache => HistoryFilter {
                since: None,
                // With a filter the newest that matches counts.
                limit: Some(self.grant.filter.as_ref().map_or(1, |_| limit as usize)),
                reverse: true,
            },
        });
        AttachOptions {
            stream: self.stream,
            positioned: self.grant.positioned,
            read,
        }
    }

    /// The result and the grant, from what the broker found. `who` is the client.
    ///
    /// # Errors
    /// [`Unrecoverable`] if the client asked for all or an error.
    pub(super) fn finish(
        self,
        attached: Attached,
        now: u64,
        who: Who,
    ) -> Result<(SubscribeResult, Grant), Unrecoverable> {
        let mut grant = self.grant;
        if grant.presence || grant.emit_joins || !self.info.is_empty() {
            grant.member = Some(Arc::new(ClientInfo {
                chan_info: self.info,
                ..who.info
            }));
        }
        let position = self.stream.map(|_| attached.position);
        let mut result = SubscribeResult {
            recoverable: self.recoverable,
            positioned: grant.positioned,
            was_recovering: self.asked,
            expires: grant.expire_at.is_some(),
            ttl: grant.expire_at.map_or(0, |expire_at| ttl(expire_at, now)),
            data: self.data,
            delta: grant.delta != Delta::Off,
            ..SubscribeResult::default()
        };
        if let Some(top) = position.as_ref().filter(|_| grant.positioned) {
            result.offset = top.offset;
            result.epoch = top.epoch.to_string();
            if let Some((since, mode)) = self.recover {
                let page = attached.page.unwrap_or_default();
                let same_epoch = since.epoch.is_empty() || since.epoch == top.epoch;
                let matching = |page: HistoryPage, limit: Option<usize>| -> Vec<Arc<Published>> {
                    let passes = |it: &Arc<Published>| {
                        let filter = grant.filter.as_ref();
                        filter.is_none_or(|filter| filter.matches(&it.publication.tags))
                    };
                    let all = page.publications.into_iter().filter(passes);
                    all.take(limit.unwrap_or(usize::MAX)).collect()
                };
                let found = match mode {
                    Mode::Stream => (same_epoch && page.complete).then(|| matching(page, None)),
                    Mode::Cache if same_epoch && since.offset > 0 && since == *top => {
                        Some(Vec::new())
                    }
                    Mode::Cache => Some(matching(page, Some(1))).filter(|found| !found.is_empty()),
                };
                match found {
                    Some(found) => {
                        result.recovered = true;
                        result.offset = since.offset;
                        result.publications = publications(&found, grant.delta, who.encoding);
                        if !found.is_empty() && grant.delta == Delta::AfterWhole {
                            grant.delta = Delta::AtOnce;
                        }
                    }
                    None if self.reject_unrecovered && mode == Mode::Stream => {
                        return Err(Unrecoverable);
                    }
                    None => {}
                }
            }
        }
        grant.position = position;
        Ok((result, grant))
    }
}

/// Recovered publications as a client gets them: with deltas the first is whole, each further one a patch.
fn publications(found: &[Arc<Published>], delta: Delta, encoding: Encoding) -> Vec<Publication> {
    let mut before: Option<&Publication> = None;
    let mut all = Vec::with_capacity(found.len());
    for publication in found.iter().map(|it| &it.publication) {
        let base = before.map(|before| &*before.data);
        all.push(if delta == Delta::Off {
            publication.clone()
        } else {
            with_delta(publication, base, encoding).unwrap_or_else(|_not_json| publication.clone())
        });
        before = Some(publication);
    }
    all
}

/// A publication as a subscriber with deltas gets it: a patch against `base`, or whole without one.
///
/// # Errors
/// A payload that is not JSON, for a client that speaks it.
pub fn with_delta(
    publication: &Publication,
    base: Option<&[u8]>,
    encoding: Encoding,
) -> Result<Publication, EncodeError> {
    let data = &publication.data;
    let patch = base.map(|base| delta::Delta::between(base, data));
    let Data { data, delta } = match &patch {
        Some(patch) => patch.data(encoding)?,
        None => delta::full(encoding, data)?,
    };
    let epoch = match encoding {
        Encoding::Json => String::new(),
        Encoding::Protobuf => publication.epoch.clone(),
    };
    Ok(Publication {
        data: data.into_owned().into(),
        delta,
        epoch,
        ..publication.clone()
    })
}

/// A subscription that the server API makes, between its request and the broker's answer.
#[derive(Debug)]
pub struct ServerPlan {
    channel: String,
    plan: Plan,
    who: Who,
    limit: u32,
}

impl ServerPlan {
    /// The plan for this client; `None` if the channel's namespace is unknown.
    #[must_use]
    pub fn new(
        live: &Live,
        channel: &str,
        (options, expire_at, since): (SubscriptionOptions, Option<u64>, Option<Position>),
        who: Who,
    ) -> Option<Self> {
        let namespace = live.namespace(channel)?;
        let token = TokenGrant::new(options, expire_at);
        let request = SubscribeRequest::default();
        let plan = Plan::new(&request, &namespace.options, token, (false, false))
            .recovered_since(since)
            .server_side();
        Some(Self {
            channel: channel.to_owned(),
            plan,
            who,
            limit: live.boot.client.recovery_max_publication_limit,
        })
    }

    /// The channel's full name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// What to ask of the broker.
    #[must_use]
    pub fn request(&self) -> Box<Request> {
        Box::new(Request::Attach {
            channel: self.channel.as_str().into(),
            options: self.plan.attach_options(self.limit),
        })
    }

    /// The channel, what the client is told, and the grant.
    #[must_use]
    pub fn finish(self, attached: Attached, now: u64) -> Option<(String, SubscribeResult, Grant)> {
        let (result, grant) = self.plan.finish(attached, now, self.who).ok()?;
        Some((self.channel, result, grant))
    }
}

/// A channel without history still has an epoch for who wants a position.
fn position_only(options: &ChannelOptions) -> StreamOptions {
    StreamOptions {
        size: 0,
        ttl: Duration::ZERO,
        meta_ttl: options.history_meta_ttl.get(),
    }
}
