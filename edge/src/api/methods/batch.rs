//! `batch`: many commands in one request (server-api.md section 5.12).

use std::borrow::Cow;
use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Api, ApiError, Call, Method, raw, single};
use crate::api::error::ErrorBody;
use crate::api::lenient::{BadBody, decode};

/// Commands that run at once in a parallel batch.
const PARALLEL_MAX: usize = 1024;

pub(super) const METHOD: Method = Method {
    name: "batch",
    number: None,
    summary: "Runs many commands; its answer has no envelope.",
    example: r#"{"commands":[{"publish":{"channel":"news:1","data":1}},{"channels":{}}],"parallel":true}"#,
    prepare,
    request: SchemaGenerator::subschema_for::<BatchRequest>,
    result: SchemaGenerator::subschema_for::<BatchResult>,
};

/// Commands and how they run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["commands"]))]
struct BatchRequest {
    /// Each with one member, which is named like a method and holds its request.
    #[schemars(with = "Vec<Command<'_>>")]
    commands: Vec<Box<RawValue>>,
    /// Run up to 1,024 commands at once instead of one after another.
    parallel: bool,
}

/// One reply per command, in their order.
#[derive(Debug, Serialize, JsonSchema)]
struct BatchResult {
    /// Left out if there are no commands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replies: Vec<Reply>,
}

/// A result under its method's name, or an error.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Reply {
    Result(BTreeMap<&'static str, Box<RawValue>>),
    Error { error: ErrorBody },
}

/// One element of a batch.
enum Command<'a> {
    Call(&'static str, Call<'a>),
    /// `null`.
    Absent,
    /// No member that is a method.
    Unknown,
}

/// Reads all commands before any of them runs.
fn prepare<'a>(api: &'a Api, body: &[u8]) -> Result<Call<'a>, BadBody> {
    let BatchRequest { commands, parallel } = decode(body)?;
    let replies = commands
        .iter()
        .map(|command| Ok(Command::prepare(api, command)?.run().boxed()));
    let replies: Vec<BoxFuture<'_, Reply>> = replies.collect::<Result<_, _>>()?;
    let at_once = if parallel { PARALLEL_MAX } else { 1 };
    Ok(Box::pin(async move {
        let replies = stream::iter(replies).buffered(at_once).collect().await;
        raw(&BatchResult { replies })
    }))
}

impl<'a> Command<'a> {
    fn prepare(api: &'a Api, element: &RawValue) -> Result<Self, BadBody> {
        if element.get() == "null" {
            return Ok(Self::Absent);
        }
        let members: BTreeMap<String, Box<RawValue>> = decode(element.get().as_bytes())?;
        let mut first = None;
        for (method, _) in single() {
            let member = members
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(method.name));
            if let Some((_, request)) = member.filter(|(_, request)| request.get() != "null") {
                // The others do not run, but what is wrong in one is wrong in the body.
                let call = (method.prepare)(api, request.get().as_bytes())?;
                first.get_or_insert(Self::Call(method.name, call));
            }
        }
        Ok(first.unwrap_or(Self::Unknown))
    }

    async fn run(self) -> Reply {
        let result = match self {
            Self::Call(method, call) => call.await.map(|result| BTreeMap::from([(method, result)])),
            Self::Absent => Err(ApiError::BadRequest),
            Self::Unknown => Err(ApiError::NotFound),
        };
        match result {
            Ok(result) => Reply::Result(result),
            Err(error) => Reply::Error {
                error: error.body(),
            },
        }
    }
}

impl JsonSchema for Command<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        members(
            "A request under its method's name.",
            single().map(|(method, _)| (method.name, (method.request)(generator))),
        )
    }
}

impl JsonSchema for Reply {
    fn schema_name() -> Cow<'static, str> {
        "Reply".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let error = ("error", generator.subschema_for::<ErrorBody>());
        let results: Vec<_> = single()
            .map(|(method, _)| (method.name, (method.result)(generator)))
            .collect();
        members(
            "A result under its method's name, or an error.",
            results.into_iter().chain([error]),
        )
    }
}

/// An object with exactly one of these members.
fn members(description: &str, members: impl Iterator<Item = (&'static str, Schema)>) -> Schema {
    let members: Map<String, Value> = members
        .map(|(name, schema)| (name.to_owned(), schema.into()))
        .collect();
    let mut schema = Schema::default();
    for (key, value) in [
        ("description", json!(description)),
        ("type", json!("object")),
        ("properties", Value::Object(members)),
        ("minProperties", json!(1)),
        ("maxProperties", json!(1)),
    ] {
        schema.insert(key.to_owned(), value);
    }
    schema
}
