//! Payloads: one JSON value kept as bytes, never taken apart.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json;

/// Whether the bytes are exactly one JSON value of any kind, in UTF-8, with optional white space
/// around it.
#[must_use]
pub fn is_json(bytes: &[u8]) -> bool {
    parse(bytes).is_some()
}

/// Whether the bytes are exactly one JSON object, with optional white space around it.
#[must_use]
pub fn is_json_object(bytes: &[u8]) -> bool {
    parse(bytes).is_some_and(|value| value.get().starts_with('{'))
}

/// The JSON value in the bytes, without the white space around it.
pub(crate) fn parse(bytes: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(bytes).ok()
}

/// The JSON value without raw newlines, which would end the message in a frame. White space
/// inside strings is escaped in valid JSON, so this cannot change the value. Copies only if there
/// is a newline.
#[must_use]
pub fn without_newlines(json: &[u8]) -> Cow<'_, [u8]> {
    if !json.contains(&b'\n') {
        return Cow::Borrowed(json);
    }
    Cow::Owned(json.iter().copied().filter(|byte| *byte != b'\n').collect())
}

/// The text as a JSON string, escaped like all strings sent to clients. This is the form of every
/// payload of a JSON subscription with delta.
#[must_use]
pub fn quote(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(2));
    json::write_str(text, &mut out);
    out
}

/// The text of a JSON string; `None` if the bytes are anything else. This is how the data of a
/// JSON [`EmulationRequest`](crate::EmulationRequest) is opened.
#[must_use]
pub fn unquote(json: &[u8]) -> Option<String> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_value_is_json() {
        for text in [
            "null",
            "0",
            "-1.5e3",
            "\"a\"",
            "[]",
            "{}",
            " {\"a\" : 1}\r\n",
            "1e999",
        ] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_json() {
        for bytes in [
            &b""[..],
            b" ",
            b"zz",
            b"{",
            b"{}{}",
            b"1 2",
            b"\"\n\"",
            b"01",
            b"\xff",
            b"\"\xff\"",
            b"\x00\x01\x02",
            b"NaN",
        ] {
            assert!(!is_json(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn only_objects_are_objects() {
        assert!(is_json_object(b" {\"a\":[]} "));
        for text in ["[]", "null", "\"{}\"", "{", "1"] {
            assert!(!is_json_object(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let depth = 200_000;
        let mut text = vec![b'['; depth];
        assert!(!is_json(&text));
        text.resize(2 * depth, b']');
        assert!(is_json(&text));
    }

    #[test]
    fn newlines_are_removed_without_changing_the_value() {
        assert_eq!(
            &*without_newlines(b"{\n \"a\\n\": [1,\n2]\r\n}"),
            b"{ \"a\\n\": [1,2]\r}"
        );
    }

    #[test]
    fn payload_without_newlines_is_not_copied() {
        assert!(matches!(
            without_newlines(b"{\"a\": 1}"),
            Cow::Borrowed(b"{\"a\": 1}")
        ));
    }

    #[test]
    fn quoted_text_is_a_json_string_and_comes_back() {
        let text = "{\"a\":\"<b>&\"}\n\u{1}\u{1f}\u{8}\u{c}\r\t\\ \u{2028} é";
        let quoted = quote(text);
        assert_eq!(
            String::from_utf8(quoted.clone()).unwrap(),
            "\"{\\\"a\\\":\\\"\\u003cb\\u003e\\u0026\\\"}\\n\\u0001\\u001f\\b\\f\\r\\t\\\\ \u{2028} é\""
        );
        assert_eq!(unquote(&quoted).as_deref(), Some(text));
    }

    #[test]
    fn only_a_string_can_be_unquoted() {
        for text in ["", "null", "1", "{}", "[\"a\"]", "\"a", "\"a\"b"] {
            assert_eq!(unquote(text.as_bytes()), None, "{text}");
        }
    }
}
