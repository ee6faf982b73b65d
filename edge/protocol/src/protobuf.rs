//! The Protobuf form of fields, on top of prost's encoding of single values.
//!
//! As in proto3, zero values are left out; but an entry of a map always has its key and its value,
//! as the reference writes it.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    self, DecodeContext, WireType, btree_map, check_wire_type, encode_key, encode_varint,
    encoded_len_varint, key_len, message, string,
};
use prost::{DecodeError, Message};

/// The form that the type of a field implies.
pub(crate) enum Plain {}

/// Signed numbers with the sign in the lowest bit (`sint64`).
pub(crate) enum ZigZag {}

/// A type that can be a field of a message.
pub(crate) trait Field<Form> {
    /// Appends key and value, or nothing if the value is zero or absent.
    fn encode(&self, number: u32, out: &mut impl BufMut);

    /// Bytes that [`Field::encode`] appends.
    fn encoded_len(&self, number: u32) -> usize;

    /// Reads a value whose key was just read: replaces numbers and strings, completes messages,
    /// adds to lists and maps.
    fn merge(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError>;
}

/// A message of this crate, or a box of one: what can be a field besides scalars.
pub(crate) trait Embedded: Message + Default {}

impl<M: Embedded> Embedded for Box<M> {}

macro_rules! scalar_fields {
    ($( $ty:ty as $form:ty: $codec:ident; )*) => { $(
        impl Field<$form> for $ty {
            fn encode(&self, number: u32, out: &mut impl BufMut) {
                if *self != Self::default() {
                    encoding::$codec::encode(number, self, out);
                }
            }

            fn encoded_len(&self, number: u32) -> usize {
                if *self == Self::default() {
                    0
                } else {
                    encoding::$codec::encoded_len(number, self)
                }
            }

            fn merge(
                &mut self,
                wire_type: WireType,
                input: &mut impl Buf,
                context: DecodeContext,
            ) -> Result<(), DecodeError> {
                encoding::$codec::merge(wire_type, self, input, context)
            }
        }
    )* };
}

scalar_fields! {
    u32 as Plain: uint32;
    u64 as Plain: uint64;
    i32 as Plain: int32;
    i64 as Plain: int64;
    i64 as ZigZag: sint64;
    bool as Plain: bool;
    String as Plain: string;
    Bytes as Plain: bytes;
}

impl<M: Embedded> Field<Plain> for Option<M> {
    fn encode(&self, number: u32, out: &mut impl BufMut) {
        if let Some(value) = self {
            message::encode(number, value, out);
        }
    }

    fn encoded_len(&self, number: u32) -> usize {
        self.as_ref()
            .map_or(0, |value| message::encoded_len(number, value))
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        message::merge(wire_type, self.get_or_insert_default(), input, context)
    }
}

impl<M: Embedded> Field<Plain> for Vec<M> {
    fn encode(&self, number: u32, out: &mut impl BufMut) {
        message::encode_repeated(number, self, out);
    }

    fn encoded_len(&self, number: u32) -> usize {
        message::encoded_len_repeated(number, self)
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        message::merge_repeated(wire_type, self, input, context)
    }
}

impl Field<Plain> for Vec<String> {
    fn encode(&self, number: u32, out: &mut impl BufMut) {
        string::encode_repeated(number, self, out);
    }

    fn encoded_len(&self, number: u32) -> usize {
        string::encoded_len_repeated(number, self)
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        string::merge_repeated(wire_type, self, input, context)
    }
}

impl Field<Plain> for BTreeMap<String, String> {
    fn encode(&self, number: u32, out: &mut impl BufMut) {
        for (key, value) in self {
            let value_len = string::encoded_len(2, value);
            encode_entry_key(number, key, value_len, out);
            string::encode(2, value, out);
        }
    }

    fn encoded_len(&self, number: u32) -> usize {
        self.iter()
            .map(|(key, value)| entry_len(number, key, string::encoded_len(2, value)))
            .sum()
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        btree_map::merge(string::merge, string::merge, self, input, context)
    }
}

impl<M: Embedded> Field<Plain> for BTreeMap<String, M> {
    fn encode(&self, number: u32, out: &mut impl BufMut) {
        for (key, value) in self {
            let value_len = message::encoded_len(2, value);
            encode_entry_key(number, key, value_len, out);
            message::encode(2, value, out);
        }
    }

    fn encoded_len(&self, number: u32) -> usize {
        self.iter()
            .map(|(key, value)| entry_len(number, key, message::encoded_len(2, value)))
            .sum()
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        btree_map::merge(string::merge, message::merge, self, input, context)
    }
}

/// Appends the head of a map entry and its key; the value, of the given length with its own key,
/// follows.
fn encode_entry_key(number: u32, key: &String, value_len: usize, out: &mut impl BufMut) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint((string::encoded_len(1, key) + value_len) as u64, out);
    string::encode(1, key, out);
}

fn entry_len(number: u32, key: &String, value_len: usize) -> usize {
    let content = string::encoded_len(1, key) + value_len;
    key_len(number) + encoded_len_varint(content as u64) + content
}
