//! `batch`: many commands in one request (server-api.md section 5.12).

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Api, ApiError, Fields, METHODS, call as run};
use crate::api::error::ErrorBody;
use crate::api::fields::BadBody;

/// Commands that run at once in a parallel batch.
const PARALLEL_MAX: usize = 1024;

/// One reply per command, in their order.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Replies {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replies: Vec<Reply>,
}

/// The method and its result, or the error.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Reply {
    Result(BTreeMap<&'static str, Box<RawValue>>),
    Error { error: ErrorBody },
}

pub(in crate::api) async fn call(api: &Api, mut fields: Fields) -> Result<Replies, BadBody> {
    let commands: Vec<Box<RawValue>> = fields.take("commands")?;
    let parallel: bool = fields.take("parallel")?;
    let commands = commands.iter().map(|command| Command::parse(command.get()));
    let commands: Vec<Command> = commands.collect::<Result<_, _>>()?;
    let at_once = if parallel { PARALLEL_MAX } else { 1 };
    let replies = stream::iter(commands)
        .map(|command| command.run(api))
        .buffered(at_once);
    Ok(Replies {
        replies: replies.collect().await,
    })
}

/// One element of a batch.
enum Command {
    Call(&'static str, Fields),
    /// `null`.
    Absent,
    /// No member that is a method.
    Unknown,
}

impl Command {
    fn parse(element: &str) -> Result<Self, BadBody> {
        if element == "null" {
            return Ok(Self::Absent);
        }
        let mut members = Fields::parse(element.as_bytes())?;
        for method in METHODS {
            let body = members.payload(method);
            if !body.is_empty() {
                return Ok(Self::Call(method, Fields::parse(&body)?));
            }
        }
        Ok(Self::Unknown)
    }

    async fn run(self, api: &Api) -> Reply {
        let result = match self {
            Self::Call(method, fields) => {
                // Boxed: a batch has many of them.
                let result = Box::pin(run(api, method, fields)).await;
                result.map(|result| BTreeMap::from([(method, result)]))
            }
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
