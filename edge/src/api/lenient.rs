//! Reading requests as forgivingly as the reference program (server-api.md section 2.3): names in any letter case,
//! `null` is the zero value, unknown fields are ignored, the last of two equal names counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde_json::Error;
use serde_json::value::RawValue;

use super::ApiError;

/// A request, or a field of it, has the wrong JSON type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadBody;

/// Reads one JSON value.
///
/// # Errors
/// [`BadBody`] for anything that is not what `T` looks like, an empty text included.
pub(super) fn decode<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, BadBody> {
    serde_json::from_slice::<&RawValue>(json)
        .and_then(|raw| T::deserialize(Lenient(raw)))
        .map_err(|_type_error| BadBody)
}

/// A payload: JSON of any kind, byte for byte. Empty if it is absent; `null` is a payload.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload(pub(super) Bytes);

impl Payload {
    /// The payload, or its Base64 twin, which wins unless it is empty.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] if the twin is not Base64.
    pub(super) fn or_base64(self, twin: &str) -> Result<Bytes, ApiError> {
        if twin.is_empty() {
            return Ok(self.0);
        }
        STANDARD
            .decode(twin)
            .map(Bytes::from)
            .map_err(|_not_base64| ApiError::BadRequest)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(Bytes::copy_from_slice(raw.get().as_bytes())))
    }
}

impl JsonSchema for Payload {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Payload".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// A value and the rules above.
#[derive(Clone, Copy)]
struct Lenient<'de>(&'de RawValue);

impl Lenient<'_> {
    fn is_null(self) -> bool {
        self.0.get() == "null"
    }
}

impl<'de> IntoDeserializer<'de, Error> for Lenient<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! null_is_zero {
    ($($read:ident, $visit:ident, $zero:expr;)*) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if self.is_null() {
                visitor.$visit($zero)
            } else {
                self.0.$read(visitor)
            }
        }
    )*};
}

macro_rules! as_it_is {
    ($($read:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $read<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Error> {
            self.0.$read($($argument,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient<'de> {
    type Error = Error;

    null_is_zero! {
        deserialize_bool, visit_bool, false;
        deserialize_i8, visit_i8, 0;
        deserialize_i16, visit_i16, 0;
        deserialize_i32, visit_i32, 0;
        deserialize_i64, visit_i64, 0;
        deserialize_u8, visit_u8, 0;
        deserialize_u16, visit_u16, 0;
        deserialize_u32, visit_u32, 0;
        deserialize_u64, visit_u64, 0;
        deserialize_f32, visit_f32, 0.0;
        deserialize_f64, visit_f64, 0.0;
        deserialize_str, visit_str, "";
        deserialize_string, visit_str, "";
    }

    as_it_is! {
        deserialize_any();
        deserialize_char();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        // Raw values are of this kind.
        deserialize_newtype_struct(name: &'static str);
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items: Option<Vec<&RawValue>> = Deserialize::deserialize(self.0)?;
        let items = items.unwrap_or_default().into_iter().map(Lenient);
        visitor.visit_seq(SeqDeserializer::new(items))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Members(members) = Option::deserialize(self.0)?.unwrap_or_default();
        let members = members.into_iter().map(|(name, raw)| (name, Lenient(raw)));
        visitor.visit_map(MapDeserializer::new(members))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Members(members) = Option::deserialize(self.0)?.unwrap_or_default();
        let named = fields.iter().filter_map(|field| {
            let last = members
                .iter()
                .rfind(|(name, _)| name.eq_ignore_ascii_case(field))?;
            Some((*field, Lenient(last.1)))
        });
        visitor.visit_map(MapDeserializer::new(named))
    }
}

/// The members of an object in their order.
#[derive(Default)]
struct Members<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Request {
        channel: String,
        data: Payload,
        tags: BTreeMap<String, String>,
        limit: i32,
        since: Option<Since>,
        channels: Vec<String>,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Since {
        offset: u64,
    }

    fn read(json: &str) -> Request {
        decode(json.as_bytes()).unwrap()
    }

    #[test]
    fn names_match_in_any_case_at_any_depth_and_payloads_stay_as_sent() {
        let request = read(
            r#"{"Channel":"c","DATA":{ "A" : 1 },"extra":true,"Since":{"OFFSET":7},"tags":{"K":"v"}}"#,
        );
        assert_eq!(request.channel, "c");
        assert_eq!(request.data.0, r#"{ "A" : 1 }"#);
        assert_eq!(request.since.unwrap().offset, 7);
        assert_eq!(request.tags, [("K".to_owned(), "v".to_owned())].into());
    }

    #[test]
    fn a_null_field_is_absent_and_a_null_payload_is_not() {
        let request = read(
            r#"{"channel":null,"data":null,"tags":null,"limit":null,"since":null,"channels":null}"#,
        );
        assert_eq!(request.data.0, "null");
        assert!(request.channel.is_empty() && request.tags.is_empty() && request.since.is_none());
        assert!(request.limit == 0 && request.channels.is_empty());
        let request = read(r#"{"tags":{"a":null},"since":{"offset":null},"channels":["a",null]}"#);
        assert_eq!(request.tags, [("a".to_owned(), String::new())].into());
        assert_eq!(request.since.unwrap().offset, 0);
        assert_eq!(request.channels, ["a", ""]);
        assert_eq!(read("null").data.0, "");
        assert_eq!(read("{}").data.0, "");
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        assert_eq!(read(r#"{"channel":"a","Channel":"b"}"#).channel, "b");
        assert_eq!(read(r#"{"Channel":"b","channel":"a"}"#).channel, "a");
    }

    #[test]
    fn anything_but_one_object_of_the_right_types_is_refused() {
        for body in [
            "",
            " ",
            "[]",
            "1",
            "{} {}",
            "{",
            "{\"a\":}",
            r#"{"channel":1}"#,
            r#"{"limit":"1"}"#,
            r#"{"limit":1.5}"#,
            r#"{"limit":9999999999}"#,
            r#"{"tags":[]}"#,
            r#"{"tags":{"a":1}}"#,
            r#"{"since":[1]}"#,
            r#"{"channels":{}}"#,
            r#"{"channels":[1]}"#,
        ] {
            let refused = decode::<Request>(body.as_bytes());
            assert_eq!(refused.unwrap_err(), BadBody, "{body}");
        }
        assert_eq!(decode::<Request>(b"{\"a\":\"\xff\"}").unwrap_err(), BadBody);
    }
}
