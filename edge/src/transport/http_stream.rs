//! HTTP streaming: commands in the body of one POST, replies in the endless body of its response.
//!
//! What the client sends later comes through [`emulation`](super::emulation). Meaning: protocol
//! specification, section 4.

use hyper::http::{HeaderMap, Method, Version};
use tidewire_protocol::Encoding;

use super::http::{self, Refused};

/// What a request to the endpoint asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// A browser asks whether it may: 204 with [`http::preflight_headers`].
    Preflight,
    /// A stream. The body is framed commands of this encoding; whatever it is, even nothing, goes
    /// to the session, which refuses it with a push.
    Open(Encoding),
}

/// Judges the head of a request.
///
/// # Errors
/// [`Refused::MethodNotAllowed`] for another method than `POST` and `OPTIONS`.
pub fn request(method: &Method, headers: &HeaderMap) -> Result<Request, Refused> {
    match *method {
        Method::OPTIONS => Ok(Request::Preflight),
        Method::POST => Ok(Request::Open(http::encoding(headers))),
        _ => Err(Refused::MethodNotAllowed),
    }
}

/// The headers of the 200.
#[must_use]
pub fn response_headers(version: Version, encoding: Encoding) -> HeaderMap {
    let content_type = match encoding {
        Encoding::Json => "text/plain; charset=utf-8",
        Encoding::Protobuf => http::PROTOBUF_TYPE,
    };
    http::stream_headers(version, content_type)
}

/// Appends messages for the body: each JSON message with a newline behind it, each Protobuf
/// message with its length before it, as it is encoded.
pub fn write(out: &mut Vec<u8>, encoding: Encoding, messages: &[u8]) {
    if messages.is_empty() {
        return;
    }
    out.extend_from_slice(messages);
    out.extend_from_slice(encoding.separator());
}

#[cfg(test)]
mod tests {
    use hyper::http::HeaderValue;
    use hyper::http::header::CONTENT_TYPE;
    use tidewire_protocol::{Command, Error, Reply, decode, encode};

    use super::*;

    #[test]
    fn methods_are_post_and_options() {
        let table = [
            (Method::POST, Ok(Request::Open(Encoding::Json))),
            (Method::OPTIONS, Ok(Request::Preflight)),
            (Method::GET, Err(Refused::MethodNotAllowed)),
            (Method::HEAD, Err(Refused::MethodNotAllowed)),
            (Method::PUT, Err(Refused::MethodNotAllowed)),
            (Method::DELETE, Err(Refused::MethodNotAllowed)),
        ];
        for (method, expected) in table {
            assert_eq!(request(&method, &HeaderMap::new()), expected, "{method}");
        }
    }

    #[test]
    fn content_type_selects_protobuf() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        let opened = request(&Method::POST, &headers);
        assert_eq!(opened, Ok(Request::Open(Encoding::Protobuf)));
    }

    #[test]
    fn response_type_tells_the_encoding() {
        let of = |encoding| response_headers(Version::HTTP_11, encoding);
        assert_eq!(
            of(Encoding::Json)["content-type"],
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            of(Encoding::Protobuf)["content-type"],
            "application/octet-stream"
        );
        assert_eq!(of(Encoding::Json)["x-accel-buffering"], "no");
    }

    fn written(encoding: Encoding, batches: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for messages in batches {
            write(&mut out, encoding, messages);
        }
        out
    }

    #[test]
    fn each_json_message_ends_with_a_newline() {
        let out = written(Encoding::Json, &[b"{}", b"", b"{\"id\":1}\n{\"id\":2}"]);
        assert_eq!(out, b"{}\n{\"id\":1}\n{\"id\":2}\n");
    }

    #[test]
    fn protobuf_messages_carry_their_length() {
        assert_eq!(
            written(Encoding::Protobuf, &[b"\0", b"", b"\x02\x08\x01"]),
            b"\0\x02\x08\x01"
        );
    }

    #[test]
    fn replies_are_read_back_from_the_body() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let replies: Vec<_> = [1, 200]
                .map(|id| Reply {
                    id,
                    error: Some(Error {
                        code: 107,
                        message: "x".repeat(200),
                        temporary: false,
                    }),
                    ..Reply::default()
                })
                .into();
            let mut body = Vec::new();
            for reply in &replies {
                let mut message = Vec::new();
                encode::reply(encoding, reply, &mut message).unwrap();
                write(&mut body, encoding, &message);
            }
            let body = match encoding {
                Encoding::Json => body.strip_suffix(b"\n").unwrap(),
                Encoding::Protobuf => &body,
            };
            let read: Result<Vec<_>, _> = decode::replies(encoding, body).collect();
            assert_eq!(read.unwrap(), replies);
        }
    }

    #[test]
    fn an_empty_body_is_for_the_session_to_refuse() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let first: Option<Result<Command, _>> = decode::commands(encoding, b"").next();
            assert!(first.unwrap().is_err());
        }
    }
}
