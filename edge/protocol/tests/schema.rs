//! Every field of every message has the name, number and type of the schema, in both encodings.
//!
//! For each line of `data/schema.txt` a message with all fields set is written by hand, once as
//! JSON and once as Protobuf; both must read as the same message, and be written back equal.

use std::fmt::{Debug, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidewire_protocol::*;

/// Writes a varint, seven bits at a time.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 127 {
        out.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    out.push((number & 127) as u8);
}

fn key(number: u64, wire_type: u64, out: &mut Vec<u8>) {
    varint(number << 3 | wire_type, out);
}

fn delimited(number: u64, content: &[u8], out: &mut Vec<u8>) {
    key(number, 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// JSON text and Protobuf content of a string, payload or empty message; `None` for numbers.
fn content(kind: &str) -> Option<(&'static str, &'static [u8])> {
    match kind {
        "s" => Some(("\"text\"", b"text")),
        "b" => Some(("[1, 2]", b"[1, 2]")),
        "t" | "u" | "U" | "i" | "I" | "Z" => None,
        _ => Some(("{}", b"")),
    }
}

/// JSON text and varint of a number or flag.
fn scalar(kind: &str) -> (&'static str, u64) {
    match kind {
        "t" => ("true", 1),
        "u" => ("4294967295", 0xffff_ffff),
        "U" => ("18446744073709551615", u64::MAX),
        "i" | "I" => ("-2", u64::MAX - 1),
        // Zig-zag.
        _ => ("-2", 3),
    }
}

/// One field with a value, in both encodings.
fn field(number: u64, name: &str, kind: &str, json: &mut String, protobuf: &mut Vec<u8>) {
    let written = if let Some(element) = kind.strip_prefix("[]") {
        content(element).map(|(text, bytes)| {
            delimited(number, bytes, protobuf);
            delimited(number, bytes, protobuf);
            format!("[{text},{text}]")
        })
    } else if let Some(value) = kind.strip_prefix("{}") {
        content(value).map(|(text, bytes)| {
            let mut entry = Vec::new();
            delimited(1, b"k", &mut entry);
            delimited(2, bytes, &mut entry);
            delimited(number, &entry, protobuf);
            format!("{{\"k\":{text}}}")
        })
    } else {
        content(kind).map(|(text, bytes)| {
            delimited(number, bytes, protobuf);
            text.to_owned()
        })
    };
    let text = written.unwrap_or_else(|| {
        let (text, value) = scalar(kind);
        key(number, 0, protobuf);
        varint(value, protobuf);
        text.to_owned()
    });
    let separator = if json.len() > 1 { "," } else { "" };
    let wrote = write!(json, "{separator}\"{name}\":{text}");
    assert!(wrote.is_ok());
}

fn check<T>(name: &str)
where
    T: prost::Message + Serialize + DeserializeOwned + Default + PartialEq + Debug,
{
    let schema = include_str!("data/schema.txt");
    let fields = schema
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .find(|rest| rest.is_empty() || rest.starts_with(' '));
    assert!(fields.is_some(), "{name} is not in the schema");

    let mut json = String::from("{");
    let mut protobuf = Vec::new();
    for part in fields.unwrap_or_default().split_whitespace() {
        let mut parts = part.splitn(3, ':');
        let number = parts.next().and_then(|number| number.parse().ok());
        let (name, kind) = (parts.next(), parts.next());
        field(
            number.unwrap_or(0),
            name.unwrap_or_default(),
            kind.unwrap_or_default(),
            &mut json,
            &mut protobuf,
        );
    }
    json.push('}');

    let from_json: Result<T, _> = decode::message(Encoding::Json, json.as_bytes());
    let from_protobuf: Result<T, _> = decode::message(Encoding::Protobuf, &protobuf);
    assert_eq!(from_json, from_protobuf, "{name}: {json}");
    assert!(from_json.is_ok(), "{name}: {from_json:?}");

    let message = from_json.unwrap_or_default();
    assert_eq!(message.encode_to_vec(), protobuf, "{name}");
    // Sub-messages are empty here, and only these have fields that JSON always writes.
    let written = serde_json::to_string(&message).unwrap_or_default();
    let empty_info = "{\"user\":\"\",\"client\":\"\"}";
    let empty_presence = "{\"presence\":{}}";
    let empty_stats = "{\"num_clients\":0,\"num_users\":0}";
    let empty_history = "{\"publications\":[],\"epoch\":\"\",\"offset\":0}";
    let expected = json
        .replace("\"info\":{}", &format!("\"info\":{empty_info}"))
        .replace(
            "\"presence\":{\"k\":{}}",
            &format!("\"presence\":{{\"k\":{empty_info}}}"),
        )
        .replace(
            "\"presence_stats\":{}",
            &format!("\"presence_stats\":{empty_stats}"),
        )
        .replace("\"history\":{}", &format!("\"history\":{empty_history}"))
        .replace(
            "\"presence\":{},",
            &format!("\"presence\":{empty_presence},"),
        );
    let requests = name == "Command";
    assert_eq!(written, if requests { json } else { expected }, "{name}");
}

macro_rules! check_all {
    ($($name:ident)*) => {
        const CHECKED: &[&str] = &[$(stringify!($name)),*];

        #[test]
        fn every_field_has_the_name_number_and_type_of_the_schema() {
            $( check::<$name>(stringify!($name)); )*
        }
    };
}

check_all! {
    Command Reply Error Push EmulationRequest ConnectRequest SubscribeRequest UnsubscribeRequest
    PublishRequest PresenceRequest PresenceStatsRequest HistoryRequest StreamPosition RPCRequest
    SendRequest RefreshRequest SubRefreshRequest TrackBatch KeyedItem FilterNode PingRequest
    ConnectResult Connect SubscribeResult UnsubscribeResult PublishResult PresenceResult
    PresenceStatsResult HistoryResult PingResult RPCResult RefreshResult SubRefreshResult
    Dictionary Publication ClientInfo Join Leave Unsubscribe Message Subscribe Disconnect Refresh
}

#[test]
fn every_message_of_the_schema_is_checked() {
    let names: Vec<&str> = include_str!("data/schema.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, CHECKED);
}
