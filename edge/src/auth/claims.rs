//! What a token claims: the JSON as it is sent, and what it means.
//!
//! A claim of the wrong JSON type makes the token invalid; `null` is an absent
//! claim, except where any JSON is allowed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{InvalidToken, TokenError};

/// What a verified connection token says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConnectClaims {
    /// The user id; empty is an anonymous user.
    pub user: String,
    /// When the connection expires, as Unix time in seconds; `None` is never.
    pub expire_at: Option<i64>,
    /// Connection info, shown to others: JSON text, or any bytes when it was
    /// given as Base64.
    pub info: Option<Bytes>,
    /// JSON that the server keeps to itself.
    pub meta: Option<Bytes>,
    /// Server-side subscriptions by channel: `subs`, or when that is empty the
    /// `channels`, which have no options. Existence of the namespaces is not
    /// checked here.
    pub subscriptions: BTreeMap<String, SubscriptionOptions>,
}

/// What a verified subscription token says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SubscribeClaims {
    /// The user id; it must be that of the connection.
    pub user: String,
    /// The channel; never empty, and it must be the one subscribed to.
    pub channel: String,
    /// When not empty, the only client id that may use the token.
    pub client: String,
    /// When the subscription expires, as Unix time in seconds; `None` is never.
    pub expire_at: Option<i64>,
    /// Options of the subscription.
    pub options: SubscriptionOptions,
}

/// Options that a token gives a subscription.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SubscriptionOptions {
    /// Channel info, shown to others: JSON text or any bytes.
    pub info: Option<Bytes>,
    /// Data for the subscriber's reply: JSON text or any bytes.
    pub data: Option<Bytes>,
    /// Namespace options that are different for this subscription.
    pub overrides: Overrides,
}

/// Namespace options overridden by a token; `None` keeps the namespace's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    /// Take part in presence.
    pub presence: Option<bool>,
    /// Send join and leave events.
    pub join_leave: Option<bool>,
    /// Receive join and leave events without asking.
    pub force_push_join_leave: Option<bool>,
    /// Recover missed publications without asking.
    pub force_recovery: Option<bool>,
    /// Watch the stream position without asking.
    pub force_positioning: Option<bool>,
}

/// The registered claims of RFC 7519, which both kinds of token share.
#[derive(Deserialize)]
pub(super) struct Registered {
    sub: Option<String>,
    iss: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    // Not used; a wrong type is an error all the same.
    #[serde(rename = "iat")]
    _iat: Option<f64>,
    #[serde(rename = "jti")]
    _jti: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Any(Vec<String>),
}

impl Registered {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, InvalidToken> {
        parse(payload)
    }

    pub(super) fn subject(&self) -> &str {
        self.sub.as_deref().unwrap_or_default()
    }

    pub(super) fn issuer(&self) -> &str {
        self.iss.as_deref().unwrap_or_default()
    }

    pub(super) fn audiences(&self) -> &[String] {
        match &self.aud {
            None => &[],
            Some(Audience::One(one)) => std::slice::from_ref(one),
            Some(Audience::Any(any)) => any,
        }
    }

    /// `exp` must be later than now and `nbf` earlier.
    pub(super) fn check_time(&self, now: f64) -> Result<(), TokenError> {
        let is_past = self.exp.is_some_and(|exp| exp <= now);
        let is_early = self.nbf.is_some_and(|nbf| nbf >= now);
        if is_past || is_early {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// `expire_at` wins over `exp`; zero or less is never.
    fn expire_at(&self, expire_at: Option<i64>) -> Option<i64> {
        match expire_at {
            Some(at) => Some(at).filter(|at| *at > 0),
            None => self.exp.map(whole_seconds),
        }
    }
}

/// A connection token's other claims.
#[derive(Deserialize)]
pub(super) struct ConnectPayload {
    expire_at: Option<i64>,
    #[serde(default, deserialize_with = "any_json")]
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    #[serde(default, deserialize_with = "any_json")]
    meta: Option<Box<RawValue>>,
    channels: Option<Vec<String>>,
    subs: Option<BTreeMap<String, Option<OptionsPayload>>>,
    channel: Option<String>,
}

impl ConnectPayload {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, InvalidToken> {
        parse(payload)
    }

    pub(super) fn into_claims(
        self,
        user: String,
        registered: &Registered,
    ) -> Result<ConnectClaims, InvalidToken> {
        if self.channel.is_some_and(|channel| !channel.is_empty()) {
            return Err(InvalidToken::Kind);
        }
        let mut subscriptions = BTreeMap::new();
        for (channel, options) in self.subs.unwrap_or_default() {
            let options = options.unwrap_or_default().into_options()?;
            subscriptions.insert(channel, options);
        }
        if subscriptions.is_empty() {
            let channels = self.channels.unwrap_or_default().into_iter();
            subscriptions.extend(channels.map(|channel| (channel, SubscriptionOptions::default())));
        }
        Ok(ConnectClaims {
            user,
            expire_at: registered.expire_at(self.expire_at),
            info: bytes(self.info, self.b64info)?,
            meta: bytes(self.meta, None)?,
            subscriptions,
        })
    }
}

/// A subscription token's other claims, less those of [`OptionsPayload`].
#[derive(Deserialize)]
struct SubscribeOwn {
    channel: Option<String>,
    client: Option<String>,
    expire_at: Option<i64>,
}

/// A subscription token's other claims.
pub(super) struct SubscribePayload {
    own: SubscribeOwn,
    options: OptionsPayload,
}

impl SubscribePayload {
    // Parsed twice: flattening would lose the text of the raw values.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, InvalidToken> {
        Ok(Self {
            own: parse(payload)?,
            options: parse(payload)?,
        })
    }

    pub(super) fn into_claims(
        self,
        user: String,
        registered: &Registered,
    ) -> Result<SubscribeClaims, InvalidToken> {
        let channel = self.own.channel.filter(|channel| !channel.is_empty());
        Ok(SubscribeClaims {
            user,
            channel: channel.ok_or(InvalidToken::Kind)?,
            client: self.own.client.unwrap_or_default(),
            expire_at: registered.expire_at(self.own.expire_at),
            options: self.options.into_options()?,
        })
    }
}

#[derive(Default, Deserialize)]
struct OptionsPayload {
    #[serde(default, deserialize_with = "any_json")]
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    #[serde(default, deserialize_with = "any_json")]
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<OverridesPayload>,
}

#[derive(Default, Deserialize)]
struct OverridesPayload {
    presence: Option<OverridePayload>,
    join_leave: Option<OverridePayload>,
    force_push_join_leave: Option<OverridePayload>,
    force_recovery: Option<OverridePayload>,
    force_positioning: Option<OverridePayload>,
}

#[derive(Deserialize)]
struct OverridePayload {
    #[serde(default)]
    value: bool,
}

impl OptionsPayload {
    fn into_options(self) -> Result<SubscriptionOptions, InvalidToken> {
        let overrides = self.overrides.unwrap_or_default();
        let value = |payload: Option<OverridePayload>| payload.map(|payload| payload.value);
        Ok(SubscriptionOptions {
            info: bytes(self.info, self.b64info)?,
            data: bytes(self.data, self.b64data)?,
            overrides: Overrides {
                presence: value(overrides.presence),
                join_leave: value(overrides.join_leave),
                force_push_join_leave: value(overrides.force_push_join_leave),
                force_recovery: value(overrides.force_recovery),
                force_positioning: value(overrides.force_positioning),
            },
        })
    }
}

/// The claim of this name as text: a string's content, nothing when absent or
/// `null`, otherwise the JSON as written.
pub(super) fn stringified(payload: &[u8], name: &str) -> Result<String, InvalidToken> {
    let claims: BTreeMap<String, &RawValue> = parse(payload)?;
    let raw = claims.get(name).map_or("null", |raw| raw.get());
    if raw == "null" {
        Ok(String::new())
    } else if raw.starts_with('"') {
        parse(raw.as_bytes())
    } else {
        Ok(raw.to_owned())
    }
}

/// Base64 wins over JSON when it is not empty.
fn bytes(
    json: Option<Box<RawValue>>,
    base64: Option<String>,
) -> Result<Option<Bytes>, InvalidToken> {
    match base64.filter(|base64| !base64.is_empty()) {
        Some(base64) => STANDARD
            .decode(base64)
            .map(|bytes| Some(bytes.into()))
            .map_err(|_details| InvalidToken::Claims),
        None => Ok(json.map(|json| Bytes::from(String::from(Box::<str>::from(json))))),
    }
}

/// Keeps `null` as the JSON value that it is.
fn any_json<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(input).map(Some)
}

/// The details of a parse error quote the token, so they are dropped.
fn parse<'p, T: Deserialize<'p>>(payload: &'p [u8]) -> Result<T, InvalidToken> {
    // Derived structs would also take an array.
    if payload.trim_ascii_start().first() == Some(&b'[') {
        return Err(InvalidToken::Claims);
    }
    serde_json::from_slice(payload).map_err(|_details| InvalidToken::Claims)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the fraction is to be dropped, and `as` saturates"
)]
fn whole_seconds(time: f64) -> i64 {
    time as i64
}
