//! The opening handshake (RFC 6455 section 4.2) and what the request asks for.
//!
//! It does not look at `Origin`: call [`upgrade`] first, then
//! [`AllowedOrigins`](crate::transport::origin::AllowedOrigins), and answer
//! [`Refused::FORBIDDEN`] when that refuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::http::header::{
    AsHeaderName, CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::http::{HeaderMap, Method, StatusCode};
use sha1::{Digest as _, Sha1};

const JSON: &str = "centrifuge-json";
const PROTOBUF: &str = "centrifuge-protobuf";

/// Section 1.3: what is appended to the key before hashing.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An accepted handshake: what goes into the 101 response and how the
/// connection is to be served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upgrade {
    /// Value of the response's `Sec-WebSocket-Accept`.
    pub accept: String,
    /// Value of the response's `Sec-WebSocket-Protocol`: the first of the
    /// client's entries that is known. `None`: omit the header.
    pub subprotocol: Option<&'static str>,
    /// Messages are Protobuf in binary frames, otherwise JSON in text frames.
    pub encoding_protobuf: bool,
    /// The client is a debug tool without application pings: send native ping
    /// frames instead, and neither `ping` nor `pong` in the connect result.
    pub frame_ping_pong: bool,
}

/// A refused handshake: the response, of type `text/plain; charset=utf-8`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    /// 400, 403 or 405.
    pub status: StatusCode,
    /// The whole body, with its newline.
    pub body: &'static str,
}

impl Refused {
    /// Not a WebSocket handshake, or a malformed one.
    pub const BAD_REQUEST: Self = Self {
        status: StatusCode::BAD_REQUEST,
        body: "Bad Request\n",
    };
    /// The origin is not allowed.
    pub const FORBIDDEN: Self = Self {
        status: StatusCode::FORBIDDEN,
        body: "Forbidden\n",
    };
    /// A handshake with another method than GET.
    pub const METHOD_NOT_ALLOWED: Self = Self {
        status: StatusCode::METHOD_NOT_ALLOWED,
        body: "Method Not Allowed\n",
    };
}

/// Judges the head of a request. `query` is the part of the URI after `?`.
///
/// # Errors
/// [`Refused`]: 400 for any request without upgrade headers, whatever its
/// method, then 405 for another method than GET, then 400 for another version
/// than 13 or a key that is not 16 bytes in Base64.
pub fn upgrade(
    method: &Method,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Upgrade, Refused> {
    if !has_token(headers, CONNECTION, "upgrade") || !has_token(headers, UPGRADE, "websocket") {
        return Err(Refused::BAD_REQUEST);
    }
    if method != Method::GET {
        return Err(Refused::METHOD_NOT_ALLOWED);
    }
    if !has_token(headers, SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refused::BAD_REQUEST);
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .map(|key| key.as_bytes().trim_ascii())
        .filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16))
        .ok_or(Refused::BAD_REQUEST)?;
    let subprotocol = tokens(headers, SEC_WEBSOCKET_PROTOCOL)
        .find_map(|token| [JSON, PROTOBUF].into_iter().find(|known| *known == token));
    let query = query.unwrap_or_default();
    Ok(Upgrade {
        accept: accept(key),
        subprotocol,
        encoding_protobuf: subprotocol == Some(PROTOBUF)
            || query_is(query, "cf_protocol", "protobuf")
            || query_is(query, "format", "protobuf"),
        frame_ping_pong: query_is(query, "cf_ws_frame_ping_pong", "true"),
    })
}

fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn has_token(headers: &HeaderMap, name: impl AsHeaderName, token: &str) -> bool {
    tokens(headers, name).any(|value| value.eq_ignore_ascii_case(token))
}

/// The elements of a comma-separated header that may occur several times.
fn tokens(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether the first parameter called `name` has this value.
fn query_is(query: &str, name: &str, value: &str) -> bool {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decodes_to(key, name))
        .is_some_and(|(_, raw)| decodes_to(raw, value))
}

/// Compares a percent-encoded string with its plain form, without allocating.
fn decodes_to(encoded: &str, plain: &str) -> bool {
    let mut rest = encoded.as_bytes();
    for expected in plain.bytes() {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, after),
                (None, _) | (_, None) => return false,
            },
            [b'+', after @ ..] => (b' ', after),
            [byte, after @ ..] => (*byte, after),
            [] => return false,
        };
        if byte != expected {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The RFC's example request, changed by the given headers: an empty value
    /// removes one.
    fn headers(changes: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let example = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ];
        for (name, value) in example.iter().chain(changes) {
            let name = HeaderName::from_static(name);
            if value.is_empty() {
                headers.remove(name);
            } else {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        headers
    }

    fn get(changes: &[(&'static str, &str)], query: &str) -> Result<Upgrade, Refused> {
        upgrade(&Method::GET, &headers(changes), Some(query))
    }

    #[test]
    fn example_of_the_rfc_is_accepted() {
        let accepted = upgrade(&Method::GET, &headers(&[]), None).unwrap();
        let expected = Upgrade {
            accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
            subprotocol: None,
            encoding_protobuf: false,
            frame_ping_pong: false,
        };
        assert_eq!(accepted, expected);
    }

    #[test]
    fn upgrade_headers_are_token_lists_without_case() {
        let changes = [
            ("connection", "keep-alive, UPGRADE"),
            ("upgrade", "h2c, WebSocket"),
        ];
        assert!(get(&changes, "").is_ok());
        let mut repeated = headers(&[("connection", "keep-alive")]);
        repeated.append(CONNECTION, HeaderValue::from_static("upgrade"));
        assert!(upgrade(&Method::GET, &repeated, None).is_ok());
    }

    #[test]
    fn request_without_upgrade_headers_is_a_bad_request_whatever_its_method() {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            for missing in ["connection", "upgrade"] {
                let answer = upgrade(&method, &headers(&[(missing, "")]), None);
                assert_eq!(answer, Err(Refused::BAD_REQUEST), "{method} {missing}");
            }
            let wrong = headers(&[("connection", "upgraded")]);
            assert_eq!(upgrade(&method, &wrong, None), Err(Refused::BAD_REQUEST));
        }
    }

    #[test]
    fn handshake_with_another_method_is_not_allowed() {
        let answer = upgrade(&Method::POST, &headers(&[]), None);
        assert_eq!(answer, Err(Refused::METHOD_NOT_ALLOWED));
        assert_eq!(Refused::METHOD_NOT_ALLOWED.status.as_u16(), 405);
        assert_eq!(Refused::METHOD_NOT_ALLOWED.body, "Method Not Allowed\n");
    }

    #[test]
    fn other_versions_are_a_bad_request() {
        for version in ["", "8", "130"] {
            let answer = get(&[("sec-websocket-version", version)], "");
            assert_eq!(answer, Err(Refused::BAD_REQUEST), "{version}");
        }
    }

    #[test]
    fn key_must_be_sixteen_bytes_in_base64() {
        for key in [
            "",
            "c2hvcnQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "!!!!",
            "dGhlIHNhbXBsZSBub25jZXM=",
        ] {
            let answer = get(&[("sec-websocket-key", key)], "");
            assert_eq!(answer, Err(Refused::BAD_REQUEST), "{key}");
        }
    }

    #[test]
    fn first_known_subprotocol_of_the_client_is_echoed() {
        let table = [
            ("centrifuge-json", Some(JSON), false),
            ("centrifuge-protobuf", Some(PROTOBUF), true),
            (
                "x, centrifuge-protobuf, centrifuge-json",
                Some(PROTOBUF),
                true,
            ),
            ("centrifuge-json,centrifuge-protobuf", Some(JSON), false),
            ("Centrifuge-JSON", None, false),
            ("graphql-ws", None, false),
        ];
        for (offer, subprotocol, protobuf) in table {
            let accepted = get(&[("sec-websocket-protocol", offer)], "").unwrap();
            assert_eq!(accepted.subprotocol, subprotocol, "{offer}");
            assert_eq!(accepted.encoding_protobuf, protobuf, "{offer}");
        }
    }

    #[test]
    fn protobuf_is_selected_by_either_query_parameter() {
        let table = [
            ("cf_protocol=protobuf", true),
            ("format=protobuf", true),
            ("a=b&format=proto%62u%66", true),
            ("cf_protocol=json&cf_protocol=protobuf", false),
            ("cf_protocol=json&format=protobuf", true),
            ("format=protobuff", false),
            ("format=proto", false),
            ("format=proto%zzuf", false),
            ("xformat=protobuf", false),
            ("format", false),
            ("", false),
        ];
        for (query, protobuf) in table {
            let accepted = get(&[], query).unwrap();
            assert_eq!(accepted.encoding_protobuf, protobuf, "{query}");
            assert_eq!(accepted.subprotocol, None, "{query}");
        }
        let json = [("sec-websocket-protocol", JSON)];
        assert!(
            get(&json, "cf_protocol=protobuf")
                .unwrap()
                .encoding_protobuf
        );
    }

    #[test]
    fn frame_pings_are_asked_for_by_query() {
        assert!(
            get(&[], "cf_ws_frame_ping_pong=true")
                .unwrap()
                .frame_ping_pong
        );
        assert!(!get(&[], "cf_ws_frame_ping_pong=1").unwrap().frame_ping_pong);
    }

    proptest! {
        #[test]
        fn accept_agrees_with_tungstenite(key: [u8; 16]) {
            let key = STANDARD.encode(key);
            prop_assert_eq!(accept(key.as_bytes()), derive_accept_key(key.as_bytes()));
        }

        #[test]
        fn arbitrary_queries_never_panic(query in "[&=%+a-f0-9é]{0,40}", plain in ".{0,8}") {
            query_is(&query, &plain, &plain);
        }
    }
}
