//! The JSON form of messages, on top of serde.
//!
//! What differs from a plain serde derive: names match in any ASCII case, `null` leaves a field
//! absent (but is a value for payloads), zero values are left out, and payloads are embedded raw.
//! `Serialize` alone already yields that; the [`Wire`] formatter adds what only this crate's own
//! writer can do: escapes for HTML in strings, and no newlines in payloads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{self, Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

use crate::raw;

/// What to do with a field that is zero or empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// Leave it out: the rule.
    Omit,
    /// Write it: SDKs read it without a default.
    Write,
}

/// The name of a Rust field on the wire: keywords lose their `r#`.
pub(crate) const fn wire_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// A type that can be a field of a message.
pub(crate) trait Field: Sized {
    /// Whether the value is left out of JSON.
    fn is_zero(&self) -> bool;

    /// Reads the value of the field whose name was just read.
    fn read<'de, A: MapAccess<'de>>(object: &mut A) -> Result<Self, A::Error>;

    /// Writes name and value.
    fn write<M: SerializeMap>(&self, name: &'static str, object: &mut M) -> Result<(), M::Error>;
}

macro_rules! plain_fields {
    ($( [$($generics:tt)*] $ty:ty: $is_zero:expr; )*) => { $(
        impl<$($generics)*> Field for $ty {
            fn is_zero(&self) -> bool {
                $is_zero(self)
            }

            fn read<'de, A: MapAccess<'de>>(object: &mut A) -> Result<Self, A::Error> {
                Ok(object.next_value::<Option<Self>>()?.unwrap_or_default())
            }

            fn write<M: SerializeMap>(
                &self,
                name: &'static str,
                object: &mut M,
            ) -> Result<(), M::Error> {
                object.serialize_entry(name, self)
            }
        }
    )* };
}

plain_fields! {
    [] u32: |value: &Self| *value == 0;
    [] u64: |value: &Self| *value == 0;
    [] i32: |value: &Self| *value == 0;
    [] i64: |value: &Self| *value == 0;
    [] bool: |value: &Self| !value;
    [] String: Self::is_empty;
    [T: Serialize + de::DeserializeOwned] Vec<T>: Self::is_empty;
    [T: Serialize + de::DeserializeOwned] BTreeMap<String, T>: Self::is_empty;
    [T: Serialize + de::DeserializeOwned] Option<T>: Self::is_none;
}

impl Field for Bytes {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn read<'de, A: MapAccess<'de>>(object: &mut A) -> Result<Self, A::Error> {
        // The box is the one copy of the payload; it becomes the buffer of the `Bytes`.
        let value: Box<RawValue> = object.next_value()?;
        Ok(Self::from(Box::<str>::from(value).into_string()))
    }

    fn write<M: SerializeMap>(&self, name: &'static str, object: &mut M) -> Result<(), M::Error> {
        object.serialize_entry(name, &Payload(self))
    }
}

struct Payload<'a>(&'a [u8]);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match raw::parse(self.0) {
            Some(value) => value.serialize(serializer),
            None => Err(ser::Error::custom("payload is not JSON")),
        }
    }
}

pub(crate) fn write_field<M: SerializeMap>(
    object: &mut M,
    name: &'static str,
    value: &impl Field,
    zero: Zero,
) -> Result<(), M::Error> {
    if zero == Zero::Omit && value.is_zero() {
        return Ok(());
    }
    value.write(name, object)
}

/// A message as a JSON object.
pub(crate) trait Object: Default {
    /// Name of the message, for errors.
    const NAME: &'static str;

    /// Reads the value of the named field; `false`, and nothing read, if there is no such field.
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<bool, A::Error>;
}

pub(crate) fn read_object<'de, T: Object, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<T, A::Error> {
        let mut message = T::default();
        while let Some(Name(name)) = object.next_key()? {
            if !message.read_field(&name, &mut object)? {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(message)
    }
}

/// The name of a field, borrowed from the input unless it holds escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// Writes JSON as it goes to clients.
pub(crate) struct Wire;

impl Formatter for Wire {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment.as_bytes();
        while let Some(at) = rest.iter().position(|byte| html_escape(*byte).is_some()) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain)?;
            let Some((byte, tail)) = special.split_first() else {
                break;
            };
            writer.write_all(html_escape(*byte).unwrap_or_default())?;
            rest = tail;
        }
        writer.write_all(rest)
    }

    fn write_raw_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        writer.write_all(&raw::without_newlines(fragment.as_bytes()))
    }
}

/// How a character of a string is written that could end a script element of a page.
const fn html_escape(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'<' => Some(b"\\u003c"),
        b'>' => Some(b"\\u003e"),
        b'&' => Some(b"\\u0026"),
        _ => None,
    }
}

/// Appends the value as it goes to clients; fails if a payload in it is not JSON.
pub(crate) fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Wire))
}

/// Appends a string in quotes.
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = special.split_first() else {
            break;
        };
        write_escape(*byte, out);
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

const fn needs_escape(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&')
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        _ => {
            out.extend_from_slice(b"\\u00");
            for digit in [byte >> 4, byte & 15] {
                out.push(if digit < 10 {
                    b'0' + digit
                } else {
                    b'a' + digit - 10
                });
            }
        }
    }
}

/// Appends a number in decimal digits.
pub(crate) fn write_u64(mut number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Appends a number in decimal digits.
pub(crate) fn write_i64(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_u64(number.unsigned_abs(), out);
}
