//! The methods, one file each, and the table of them: routing, batches, the legacy endpoint and the OpenAPI document
//! read this table, so none of them can know a method that another does not.

mod batch;
mod broadcast;
mod channels;
mod connections;
mod history;
mod info;
mod presence;
mod publish;
mod rpc;

use std::fmt;

use futures::future::BoxFuture;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::lenient::{BadBody, decode};
use super::{Api, ApiError};

use history::Empty;

/// A call that was read and not begun.
pub(super) type Call<'a> = BoxFuture<'a, Result<Box<RawValue>, ApiError>>;

/// A method.
pub(super) struct Method {
    /// Its name, in paths, batches and the legacy endpoint.
    pub(super) name: &'static str,
    /// Its number at the legacy endpoint. `None`: it has a path only, and its answer no envelope.
    pub(super) number: Option<i32>,
    /// What it does, in a sentence.
    pub(super) summary: &'static str,
    /// A request that works.
    pub(super) example: &'static str,
    /// Reads a request, without doing anything yet.
    pub(super) prepare: for<'a> fn(&'a Api, &[u8]) -> Result<Call<'a>, BadBody>,
    /// What a request looks like.
    pub(super) request: fn(&mut SchemaGenerator) -> Schema,
    /// What a result looks like.
    pub(super) result: fn(&mut SchemaGenerator) -> Schema,
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Method").field(&self.name).finish()
    }
}

macro_rules! method {
    (
        $name:literal, $number:literal, $call:path, $request:ty => $result:ty,
        $summary:literal, $example:literal
    ) => {
        Method {
            name: $name,
            number: Some($number),
            summary: $summary,
            example: $example,
            prepare: |api, body| {
                let request: $request = decode(body)?;
                Ok(Box::pin(async move {
                    let result: $result = $call(api, request).await?;
                    raw(&result)
                }))
            },
            request: |generator| generator.subschema_for::<$request>(),
            result: |generator| generator.subschema_for::<$result>(),
        }
    };
}

/// Every method, in the order in which a batch looks for one in a command.
pub(super) static METHODS: [Method; 14] = [
    method!(
        "publish", 0, publish::call, publish::PublishRequest => publish::PublishResult,
        "Publishes into a channel.",
        r#"{"channel":"news:1","data":{"text":"hello"}}"#
    ),
    method!(
        "broadcast", 1, broadcast::call, publish::BroadcastRequest => broadcast::BroadcastResult,
        "Publishes the same into many channels.",
        r#"{"channels":["news:1","news:2"],"data":{"text":"hello"}}"#
    ),
    method!(
        "subscribe", 11, connections::subscribe, connections::SubscribeRequest => Empty,
        "Subscribes a user's connections to a channel.",
        r#"{"user":"42","channel":"news:1"}"#
    ),
    method!(
        "unsubscribe", 2, connections::unsubscribe, connections::UnsubscribeRequest => Empty,
        "Ends a user's subscriptions to a channel.",
        r#"{"user":"42","channel":"news:1"}"#
    ),
    method!(
        "disconnect", 3, connections::disconnect, connections::DisconnectRequest => Empty,
        "Closes a user's connections.",
        r#"{"user":"42"}"#
    ),
    method!(
        "history", 6, history::call, history::HistoryRequest => history::HistoryResult,
        "Reads the publications that a channel keeps.",
        r#"{"channel":"news:1","limit":10}"#
    ),
    method!(
        "history_remove", 7, history::remove, history::HistoryRemoveRequest => Empty,
        "Removes the publications that a channel keeps.",
        r#"{"channel":"news:1"}"#
    ),
    method!(
        "presence", 4, presence::call, presence::PresenceRequest => presence::PresenceResult,
        "Lists the clients in a channel.",
        r#"{"channel":"news:1"}"#
    ),
    method!(
        "presence_stats", 5, presence::stats,
        presence::PresenceStatsRequest => presence::PresenceStatsResult,
        "Counts the clients in a channel.",
        r#"{"channel":"news:1"}"#
    ),
    method!(
        "info", 9, info::call, info::InfoRequest => info::InfoResult,
        "Describes the nodes of the cluster.",
        "{}"
    ),
    method!(
        "rpc", 10, rpc::call, rpc::RpcRequest => rpc::RpcResult,
        "Calls a method that the server was extended by. There is none: the answer is error 104.",
        r#"{"method":"extension"}"#
    ),
    method!(
        "refresh", 12, connections::refresh, connections::RefreshRequest => Empty,
        "Changes when a user's connections expire.",
        r#"{"user":"42","expire_at":4102444800}"#
    ),
    method!(
        "channels", 8, channels::call, channels::ChannelsRequest => channels::ChannelsResult,
        "Lists the channels that have subscribers.",
        r#"{"pattern":"news:*"}"#
    ),
    batch::METHOD,
];

/// The method of a path.
pub(super) fn named(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// The methods that may stand in a batch and have numbers: all but `batch`.
pub(super) fn single() -> impl Iterator<Item = (&'static Method, i32)> {
    METHODS
        .iter()
        .filter_map(|method| Some((method, method.number?)))
}

fn raw(result: &impl Serialize) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(result).map_err(|error| {
        tracing::error!(%error, "an API result could not be written");
        ApiError::Internal
    })
}
