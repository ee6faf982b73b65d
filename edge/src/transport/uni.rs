//! Unidirectional transports: one connect request, then bare pushes in JSON to the end.
//!
//! They come over WebSocket, server-sent events and HTTP streaming. Heads and framing of the
//! latter two are those of [`sse`](super::sse) and [`http_stream`](super::http_stream), but for
//! the connect request. Meaning: protocol specification, section 5.

use hyper::http::Method;
use tidewire_protocol::{ConnectRequest, DisconnectCode, Encoding, ErrorCode, decode};

use super::http::{self, CONNECT_PARAMETER, Refused};

/// Body of the 400 to a WebSocket handshake whose query holds a malformed connect request.
pub const INVALID_CONNECT: &str = "invalid connect request\n";

/// Where the connect request of a client of server-sent events is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Initial {
    /// Here, in JSON: it came with the query, or is empty.
    Query(Vec<u8>),
    /// In the request's body.
    Body,
}

/// Judges the head of a request for server-sent events. `query` is the part of the URI after `?`.
///
/// # Errors
/// [`Refused::MethodNotAllowed`] for another method than `GET` and `POST`,
/// [`Refused::BadRequest`] for `GET` with a malformed connect request.
pub fn sse_request(method: &Method, query: Option<&str>) -> Result<Initial, Refused> {
    match *method {
        Method::GET => {
            let request = connect_from_query(query)?;
            Ok(Initial::Query(request.unwrap_or_else(|| b"{}".to_vec())))
        }
        Method::POST => Ok(Initial::Body),
        _ => Err(Refused::MethodNotAllowed),
    }
}

/// The connect request in the parameter `cf_connect`, in JSON and well-formed. `None` if it is missing or empty: a
/// WebSocket client sends the request as its first message then.
///
/// # Errors
/// [`Refused::BadRequest`] if the parameter is anything else. The body of the response to a
/// WebSocket handshake is [`INVALID_CONNECT`].
pub fn connect_from_query(query: Option<&str>) -> Result<Option<Vec<u8>>, Refused> {
    let request = query
        .and_then(|query| http::query_value(query, CONNECT_PARAMETER))
        .filter(|request| !request.is_empty());
    if let Some(request) = &request {
        connect_request(request)?;
    }
    Ok(request)
}

/// The connect request in a body or a WebSocket message. JSON `null` is an empty one.
///
/// # Errors
/// [`Refused::BadRequest`] if it is anything else, also nothing. To a WebSocket message the answer
/// is a close frame with [`DisconnectCode::BadRequest`] and no push.
pub fn connect_request(json: &[u8]) -> Result<ConnectRequest, Refused> {
    decode::message(Encoding::Json, json).map_err(|_malformed| Refused::BadRequest)
}

/// How a connection ends whose connect request failed with an error, unless
/// `client.connect_code_to_unidirectional_disconnect` says otherwise.
#[must_use]
pub const fn disconnect(error: ErrorCode) -> DisconnectCode {
    match error {
        ErrorCode::TokenExpired | ErrorCode::Expired => DisconnectCode::ConnectionExpired,
        ErrorCode::TooManyRequests => DisconnectCode::TooManyRequests,
        ErrorCode::PermissionDenied => DisconnectCode::PermissionDenied,
        ErrorCode::Internal
        | ErrorCode::Unauthorized
        | ErrorCode::UnknownChannel
        | ErrorCode::MethodNotFound
        | ErrorCode::AlreadySubscribed
        | ErrorCode::LimitExceeded
        | ErrorCode::BadRequest
        | ErrorCode::NotAvailable
        | ErrorCode::UnrecoverablePosition
        | ErrorCode::ConcurrentPagination => DisconnectCode::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(token: &str) -> ConnectRequest {
        ConnectRequest {
            token: token.to_owned(),
            ..ConnectRequest::default()
        }
    }

    #[test]
    fn query_may_hold_the_connect_request() {
        let table: [(_, Result<Option<&[u8]>, _>); 8] = [
            (
                Some("cf_connect=%7B%22token%22%3A%22t%22%7D"),
                Ok(Some(br#"{"token":"t"}"#)),
            ),
            (Some("cf_connect=%7B%7D"), Ok(Some(b"{}"))),
            (Some("cf_connect=null"), Ok(Some(b"null"))),
            (Some("cf_connect=zz"), Err(Refused::BadRequest)),
            (
                Some("cf_connect=%7B%22token%22%3A1%7D"),
                Err(Refused::BadRequest),
            ),
            (Some("cf_connect="), Ok(None)),
            (Some("x=1"), Ok(None)),
            (None, Ok(None)),
        ];
        for (query, expected) in table {
            let expected = expected.map(|request| request.map(<[u8]>::to_vec));
            assert_eq!(connect_from_query(query), expected, "{query:?}");
        }
    }

    #[test]
    fn body_holds_the_connect_request() {
        let table = [
            ("{\"token\":\"t\"}", Ok(token("t"))),
            ("{}", Ok(ConnectRequest::default())),
            ("null", Ok(ConnectRequest::default())),
            (" {}\n", Ok(ConnectRequest::default())),
            ("", Err(Refused::BadRequest)),
            ("zz", Err(Refused::BadRequest)),
            ("[]", Err(Refused::BadRequest)),
            ("{}{}", Err(Refused::BadRequest)),
        ];
        for (body, expected) in table {
            assert_eq!(connect_request(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn wanted_channels_come_with_the_request() {
        let body = br#"{"subs":{"c":{"recover":true,"offset":2,"epoch":"e"}},"headers":{"k":"v"}}"#;
        let request = connect_request(body).unwrap();
        assert!(request.subs["c"].recover);
        assert_eq!(request.subs["c"].offset, 2);
        assert_eq!(request.headers["k"], "v");
    }

    #[test]
    fn events_are_asked_for_by_get_or_post() {
        let query = |request: &str| Ok(Initial::Query(request.into()));
        let table = [
            (
                Method::GET,
                Some("cf_connect=%7B%22token%22%3A%22t%22%7D"),
                query(r#"{"token":"t"}"#),
            ),
            (Method::GET, None, query("{}")),
            (Method::GET, Some("cf_connect=zz"), Err(Refused::BadRequest)),
            (Method::POST, Some("cf_connect=zz"), Ok(Initial::Body)),
            (Method::OPTIONS, None, Err(Refused::MethodNotAllowed)),
            (Method::PUT, None, Err(Refused::MethodNotAllowed)),
        ];
        for (method, uri, expected) in table {
            assert_eq!(sse_request(&method, uri), expected, "{method} {uri:?}");
        }
    }

    #[test]
    fn connect_errors_become_disconnects() {
        for error in ErrorCode::ALL {
            let expected = match error.code() {
                109 | 110 => 3005,
                111 => 3013,
                103 => 3507,
                _ => 3004,
            };
            assert_eq!(disconnect(*error).code(), expected, "{error}");
        }
    }
}
