//! Server-sent events: commands in the query or body of one request, replies as events of its
//! response. JSON only.
//!
//! What the client sends later comes through [`emulation`](super::emulation). Meaning: protocol
//! specification, section 4.

use hyper::http::{HeaderMap, Method, Version};

use super::http::{self, CONNECT_PARAMETER, Refused};

/// What the body begins with.
pub const PREAMBLE: &[u8] = b"\r\n";

/// Where the first commands of a connection are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Initial {
    /// Here: they came with the query.
    Query(Vec<u8>),
    /// In the request's body.
    Body,
}

/// Judges the head of a request. `query` is the part of the URI after `?`.
///
/// # Errors
/// [`Refused::MethodNotAllowed`] for another method than `GET` and `POST`,
/// [`Refused::BadRequest`] for `GET` without the parameter `cf_connect`.
pub fn request(method: &Method, query: Option<&str>) -> Result<Initial, Refused> {
    match *method {
        Method::GET => query
            .and_then(|query| http::query_value(query, CONNECT_PARAMETER))
            .filter(|commands| !commands.is_empty())
            .map(Initial::Query)
            .ok_or(Refused::BadRequest),
        Method::POST => Ok(Initial::Body),
        _ => Err(Refused::MethodNotAllowed),
    }
}

/// The headers of the 200.
#[must_use]
pub fn response_headers(version: Version) -> HeaderMap {
    http::stream_headers(version, "text/event-stream; charset=utf-8")
}

/// Appends newline-separated JSON messages as one event each.
///
/// A carriage return also ends a line of an event. In JSON it can only be white space between
/// values, so it is left out.
pub fn write(out: &mut Vec<u8>, messages: &[u8]) {
    if messages.is_empty() {
        return;
    }
    for message in messages.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        if message.contains(&b'\r') {
            out.extend(message.iter().filter(|byte| **byte != b'\r'));
        } else {
            out.extend_from_slice(message);
        }
        out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_commands_are_in_the_query_or_the_body() {
        let table = [
            (
                Method::GET,
                Some("cf_connect=%7B%7D"),
                Ok(Initial::Query(b"{}".to_vec())),
            ),
            (
                Method::GET,
                Some("cf_connect=%7B%7D%0A%7B%7D"),
                Ok(Initial::Query(b"{}\n{}".to_vec())),
            ),
            (
                Method::GET,
                Some("cf_connect=zz"),
                Ok(Initial::Query(b"zz".to_vec())),
            ),
            (Method::GET, Some("cf_connect="), Err(Refused::BadRequest)),
            (Method::GET, Some("cf_connect=%7"), Err(Refused::BadRequest)),
            (Method::GET, Some("x=1"), Err(Refused::BadRequest)),
            (Method::GET, None, Err(Refused::BadRequest)),
            (Method::POST, None, Ok(Initial::Body)),
            (Method::POST, Some("cf_connect=%7B%7D"), Ok(Initial::Body)),
            (Method::OPTIONS, None, Err(Refused::MethodNotAllowed)),
            (Method::HEAD, None, Err(Refused::MethodNotAllowed)),
            (Method::PUT, None, Err(Refused::MethodNotAllowed)),
        ];
        for (method, query, expected) in table {
            assert_eq!(request(&method, query), expected, "{method} {query:?}");
        }
    }

    #[test]
    fn response_is_an_event_stream() {
        let headers = response_headers(Version::HTTP_11);
        assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(headers["x-accel-buffering"], "no");
    }

    fn written(messages: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, messages.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_message_is_an_event() {
        assert_eq!(written("{}"), "data: {}\n\n");
        assert_eq!(
            written("{\"id\":1}\n{}"),
            "data: {\"id\":1}\n\ndata: {}\n\n"
        );
        assert_eq!(written(""), "");
    }

    #[test]
    fn carriage_return_does_not_end_the_event() {
        assert_eq!(written("{\"a\":\r 1}"), "data: {\"a\": 1}\n\n");
    }

    /// The data of the events, as a browser reads the body.
    fn events(body: &str) -> Vec<String> {
        let mut events = Vec::new();
        let mut data: Vec<&str> = Vec::new();
        for line in body.split("\r\n").flat_map(|part| part.split(['\n', '\r'])) {
            match line.split_once(": ") {
                Some(("data", value)) => data.push(value),
                Some(_) => {}
                None if line.is_empty() && !data.is_empty() => {
                    events.push(std::mem::take(&mut data).join("\n"));
                }
                None => {}
            }
        }
        events
    }

    proptest! {
        #[test]
        fn browser_reads_each_message_back(texts in prop::collection::vec(".{0,20}", 1..5)) {
            let messages: Vec<_> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
            let body = format!("\r\n{}", written(&messages.join("\n")));
            prop_assert_eq!(events(&body), messages);
        }
    }
}
