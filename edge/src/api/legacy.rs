//! The legacy endpoint: commands one after another in one body (server-api.md section 8).

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::ErrorBody;
use super::lenient::{BadBody, Payload, decode};
use super::methods::{Method, single};
use super::{Api, ApiError};

/// Methods of the reference program that this edge does not have: their calls are errors, while a name that is no
/// method's spoils the body.
const ELSEWHERE: [&str; 26] = [
    "connections",
    "update_user_status",
    "get_user_status",
    "delete_user_status",
    "block_user",
    "unblock_user",
    "revoke_token",
    "invalidate_user_tokens",
    "device_register",
    "device_update",
    "device_remove",
    "device_list",
    "device_topic_list",
    "device_topic_update",
    "user_topic_list",
    "user_topic_update",
    "send_push_notification",
    "update_push_status",
    "cancel_push",
    "map_publish",
    "map_remove",
    "map_read_state",
    "map_read_stream",
    "map_stats",
    "map_clear",
    "shared_poll_publish",
];

/// One command.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Command {
    id: u32,
    method: Named,
    params: Payload,
}

/// The method that a command names; without a name it is that of number 0. `None` if this edge does not have it.
#[derive(Debug)]
struct Named(Option<&'static Method>);

/// The answer to one command.
#[derive(Debug, Serialize)]
struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
}

/// Runs the commands one after another and returns their replies, a line each.
///
/// # Errors
/// [`BadBody`] as soon as something is no command; the ones before it were run.
pub(super) async fn run(api: &Api, body: &[u8]) -> Result<Vec<u8>, BadBody> {
    let mut replies = Vec::new();
    for command in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
        let command = command.map_err(|_syntax_error| BadBody)?;
        let command: Command = decode(command.get().as_bytes())?;
        let reply = command.run(api).await;
        if !replies.is_empty() {
            replies.push(b'\n');
        }
        serde_json::to_writer(&mut replies, &reply).map_err(|_not_written| BadBody)?;
    }
    if replies.is_empty() {
        return Err(BadBody);
    }
    Ok(replies)
}

impl Command {
    async fn run(self, api: &Api) -> Reply {
        let result = match self.method {
            Named(None) => Err(ApiError::NotFound),
            Named(Some(method)) => match (method.prepare)(api, &self.params.0) {
                Ok(call) => call.await,
                Err(BadBody) => Err(ApiError::BadRequest),
            },
        };
        let (result, error) = match result {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error.body())),
        };
        Reply {
            id: Some(self.id).filter(|id| *id != 0),
            error,
            result,
        }
    }
}

impl Named {
    fn numbered(number: i32) -> Self {
        Self(
            single()
                .find(|(_, its_number)| *its_number == number)
                .map(|(method, _)| method),
        )
    }

    fn called(name: &str) -> Option<Self> {
        let is_name = |method: &str| method.eq_ignore_ascii_case(name);
        match single().find(|(method, _)| is_name(method.name)) {
            Some((method, _)) => Some(Self(Some(method))),
            None => ELSEWHERE
                .iter()
                .any(|method| is_name(method))
                .then_some(Self(None)),
        }
    }
}

impl Default for Named {
    fn default() -> Self {
        Self::numbered(0)
    }
}

impl<'de> Deserialize<'de> for Named {
    /// A name or a number; `null` is neither.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if raw.starts_with('"') {
            let name: String = serde_json::from_str(raw).map_err(D::Error::custom)?;
            return Self::called(&name).ok_or_else(|| D::Error::custom("no such method"));
        }
        serde_json::from_str(raw)
            .map(Self::numbered)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(json: &str) -> Option<Option<&'static str>> {
        let command = format!(r#"{{"method":{json}}}"#);
        let Command { method, .. } = decode(command.as_bytes()).ok()?;
        Some(method.0.map(|method| method.name))
    }

    #[test]
    fn methods_have_names_and_numbers() {
        let numbers = [
            "publish",
            "broadcast",
            "unsubscribe",
            "disconnect",
            "presence",
            "presence_stats",
            "history",
            "history_remove",
            "channels",
            "info",
            "rpc",
            "subscribe",
            "refresh",
        ];
        for (number, name) in numbers.into_iter().enumerate() {
            assert_eq!(named(&number.to_string()), Some(Some(name)));
            assert_eq!(named(&format!("{name:?}")), Some(Some(name)));
            assert_eq!(
                named(&format!("{:?}", name.to_uppercase())),
                Some(Some(name))
            );
        }
        assert_eq!(single().count(), numbers.len());
        for other in [
            "13",
            "14",
            "39",
            "99",
            "-1",
            "\"connections\"",
            "\"MAP_CLEAR\"",
        ] {
            assert_eq!(named(other), Some(None), "{other}");
        }
        for wrong in ["null", "\"0\"", "\"batch\"", "\"\"", "1.5", "true", "[]"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }
}
