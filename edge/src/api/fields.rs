//! The fields of a request: names in any letter case, values raw until a method asks for them
//! (server-api.md section 2.3).

use std::collections::HashMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The body, or a field of it, has the wrong JSON type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

/// A request's fields by lower-case name.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<String, Box<RawValue>>);

impl Fields {
    /// Reads a JSON object; `null` is an empty one.
    ///
    /// # Errors
    /// [`BadBody`] for anything else, an empty body included.
    pub(super) fn parse(body: &[u8]) -> Result<Self, BadBody> {
        let fields: Option<HashMap<String, Box<RawValue>>> =
            serde_json::from_slice(body).map_err(|_type_error| BadBody)?;
        let fields = fields.unwrap_or_default();
        Ok(Self(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect(),
        ))
    }

    /// A field's value; absent and `null` are the type's default.
    ///
    /// # Errors
    /// [`BadBody`] if it has another type.
    pub(super) fn take<T: DeserializeOwned + Default>(&mut self, name: &str) -> Result<T, BadBody> {
        let Some(raw) = self.0.remove(name) else {
            return Ok(T::default());
        };
        serde_json::from_str::<Option<T>>(raw.get())
            .map(Option::unwrap_or_default)
            .map_err(|_type_error| BadBody)
    }

    /// A payload, byte for byte; empty if absent, `null` is the payload `null`.
    pub(super) fn payload(&mut self, name: &str) -> Bytes {
        self.0.remove(name).map_or_else(Bytes::new, |raw| {
            Bytes::copy_from_slice(raw.get().as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_in_any_case_and_payloads_stay_as_sent() {
        let mut fields =
            Fields::parse(br#"{"Channel":"c","DATA":{ "a" : 1 },"extra":true}"#).unwrap();
        assert_eq!(fields.take::<String>("channel").unwrap(), "c");
        assert_eq!(fields.payload("data"), r#"{ "a" : 1 }"#);
    }

    #[test]
    fn a_null_payload_is_present_and_a_null_field_is_absent() {
        let mut fields = Fields::parse(br#"{"data":null,"channel":null}"#).unwrap();
        assert_eq!(fields.payload("data"), "null");
        assert_eq!(fields.take::<String>("channel").unwrap(), "");
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for body in ["", "[]", "1", "{} {}", "{"] {
            assert_eq!(
                Fields::parse(body.as_bytes()).unwrap_err(),
                BadBody,
                "{body}"
            );
        }
        assert!(Fields::parse(b"null").is_ok());
        assert_eq!(
            Fields::parse(br#"{"channel":1}"#)
                .unwrap()
                .take::<String>("channel"),
            Err(BadBody)
        );
    }
}
