//! What the HTTP transports have in common: refusals, response heads, the query.

use hyper::http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONNECTION, CONTENT_TYPE,
    PRAGMA,
};
use hyper::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use tidewire_protocol::Encoding;

/// Name of the query parameter with the first data of a connection.
pub const CONNECT_PARAMETER: &str = "cf_connect";

/// The content type that says Protobuf. Any other, or none, says JSON.
pub const PROTOBUF_TYPE: &str = "application/octet-stream";

/// Status of a request whose body ended before its announced length; the client is gone.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request that is answered with a status and no body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// 400: the request cannot be understood.
    BadRequest,
    /// 404: the node of an emulation request is not in the cluster, or not given.
    UnknownNode,
    /// 405: another method.
    MethodNotAllowed,
    /// 413: the body is longer than `max_request_body_size`.
    TooLarge,
    /// 499: the body could not be read to its end.
    Aborted,
    /// 500: another node cannot be reached.
    Internal,
    /// 503: this node has no room for the commands now.
    Busy,
}

impl Refused {
    /// The response's status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::UnknownNode => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Aborted => {
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The encoding a request's `Content-Type` asks for: Protobuf if it is exactly
/// [`PROTOBUF_TYPE`].
#[must_use]
pub fn encoding(headers: &HeaderMap) -> Encoding {
    match headers.get(CONTENT_TYPE) {
        Some(value) if value == PROTOBUF_TYPE => Encoding::Protobuf,
        Some(_) | None => Encoding::Json,
    }
}

/// The headers of a response whose body is a stream: not buffered by proxies, not cached.
#[must_use]
pub fn stream_headers(version: Version, content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::from_iter(
        [
            (CONTENT_TYPE, content_type),
            (HeaderName::from_static("x-accel-buffering"), "no"),
            (
                CACHE_CONTROL,
                "private, no-cache, no-store, must-revalidate, max-age=0",
            ),
            (PRAGMA, "no-cache"),
            // Not `Expires`: this is what the reference program sends.
            (HeaderName::from_static("expire"), "0"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value))),
    );
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    headers
}

/// The headers of the 204 that answers `OPTIONS`, besides those of the origin check.
#[must_use]
pub fn preflight_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300")),
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST, OPTIONS"),
        ),
    ])
}

/// The value of the first query parameter called `name`, decoded. Parameters with malformed
/// percent escapes or a semicolon are passed over.
#[must_use]
pub fn query_value(query: &str, name: &str) -> Option<Vec<u8>> {
    query
        .split('&')
        .filter(|pair| !pair.contains(';'))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter_map(|(key, value)| Some((decoded(key)?, decoded(value)?)))
        .find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
}

/// The bytes behind percent escapes, with `+` for a space; `None` if an escape is malformed.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => (hex(*high)? << 4 | hex(*low)?, after),
            [b'%', ..] => return None,
            [b'+', after @ ..] => (b' ', after),
            [byte, after @ ..] => (*byte, after),
            [] => return Some(bytes),
        };
        bytes.push(byte);
        rest = after;
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_are_statuses() {
        let table = [
            (Refused::BadRequest, 400),
            (Refused::UnknownNode, 404),
            (Refused::MethodNotAllowed, 405),
            (Refused::TooLarge, 413),
            (Refused::Aborted, 499),
            (Refused::Internal, 500),
            (Refused::Busy, 503),
        ];
        for (refused, status) in table {
            assert_eq!(refused.status().as_u16(), status);
        }
    }

    #[test]
    fn protobuf_is_one_exact_content_type() {
        let table = [
            (Some("application/octet-stream"), Encoding::Protobuf),
            (Some("application/octet-stream; charset=x"), Encoding::Json),
            (Some("Application/Octet-Stream"), Encoding::Json),
            (Some("application/json"), Encoding::Json),
            (Some(""), Encoding::Json),
            (None, Encoding::Json),
        ];
        for (value, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            assert_eq!(encoding(&headers), expected, "{value:?}");
        }
    }

    #[test]
    fn streams_are_neither_buffered_nor_cached() {
        let headers = stream_headers(Version::HTTP_11, "text/plain");
        let expected = [
            ("content-type", "text/plain"),
            ("x-accel-buffering", "no"),
            (
                "cache-control",
                "private, no-cache, no-store, must-revalidate, max-age=0",
            ),
            ("pragma", "no-cache"),
            ("expire", "0"),
            ("connection", "keep-alive"),
        ];
        assert_eq!(headers.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(headers[name], value);
        }
    }

    #[test]
    fn connection_header_is_for_the_first_http_versions() {
        for (version, expected) in [
            (Version::HTTP_10, true),
            (Version::HTTP_11, true),
            (Version::HTTP_2, false),
            (Version::HTTP_3, false),
        ] {
            let headers = stream_headers(version, "text/plain");
            assert_eq!(headers.contains_key("connection"), expected, "{version:?}");
        }
    }

    #[test]
    fn preflight_allows_post_for_five_minutes() {
        let headers = preflight_headers();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["access-control-max-age"], "300");
        assert_eq!(headers["access-control-allow-methods"], "POST, OPTIONS");
    }

    #[test]
    fn first_parameter_of_the_name_is_decoded() {
        let table = [
            ("cf_connect=%7B%22id%22%3A1%7D", Some("{\"id\":1}")),
            ("a=1&cf_connect=x+y%20z%2B", Some("x y z+")),
            ("cf%5fconnect=x", Some("x")),
            ("cf_connect=a=b", Some("a=b")),
            ("cf_connect=1&cf_connect=2", Some("1")),
            ("cf_connect=%zz&cf_connect=2", Some("2")),
            ("cf_connect=%4&cf_connect=%&cf_connect=3", Some("3")),
            ("cf_connect=1;2&cf_connect=3", Some("3")),
            ("cf_connect=", Some("")),
            ("cf_connect", Some("")),
            ("cf_connect=%+1", None),
            ("xcf_connect=1", None),
            ("CF_CONNECT=1", None),
            ("", None),
        ];
        for (query, expected) in table {
            let value = query_value(query, CONNECT_PARAMETER);
            assert_eq!(value.as_deref(), expected.map(str::as_bytes), "{query}");
        }
        assert_eq!(query_value("a=%ff%00", "a").unwrap(), [0xFF, 0x00]);
    }

    proptest! {
        #[test]
        fn every_value_can_be_escaped(value: Vec<u8>, before in "[a-z=%&;+]{0,20}") {
            let escaped: String = value.iter().map(|byte| format!("%{byte:02X}")).collect();
            let query = format!("{before}&n={escaped}");
            prop_assert_eq!(query_value(&query, "n").is_some(), true);
            prop_assert_eq!(query_value(&format!("n={escaped}&{before}"), "n"), Some(value));
        }
    }
}
