//! Payloads in API answers: the same JSON, compacted and escaped (server-api.md section 2.3).

use serde_json::value::RawValue;

use super::ApiError;

/// A payload as the API writes it.
///
/// # Errors
/// [`ApiError::Unwritable`] if it is not JSON.
pub(super) fn compact(payload: &[u8]) -> Result<Box<RawValue>, ApiError> {
    let text: &RawValue =
        serde_json::from_slice(payload).map_err(|_not_json| ApiError::Unwritable)?;
    let text = text.get();
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if !in_string && matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    RawValue::from_string(out).map_err(|_not_json| ApiError::Unwritable)
}

/// The same JSON with `<`, `>` and `&` written as escapes, as the reference program writes them: they stand in
/// strings only.
pub(super) fn escaped(body: Vec<u8>) -> Vec<u8> {
    if !body.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')) {
        return body;
    }
    let mut out = Vec::with_capacity(body.len() + 32);
    for byte in body {
        match byte {
            b'<' | b'>' | b'&' => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_outside_strings_only() {
        let payload = br#" { "a b" : [ 1 , "x \" y" ] , "c\\" : " <&> " } "#;
        let compacted = compact(payload).unwrap();
        assert_eq!(
            compacted.get(),
            r#"{"a b":[1,"x \" y"],"c\\":" \u003c\u0026\u003e "}"#
        );
    }

    #[test]
    fn what_is_not_json_cannot_be_written() {
        for payload in [&b"{"[..], b"\xff", b"", b"a b", b"1 2", b"tr ue"] {
            assert!(matches!(compact(payload), Err(ApiError::Unwritable)));
        }
    }
}
