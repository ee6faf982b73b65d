//! What comes by HTTP: queries, bodies, and the heads of handshakes.

use hyper::http::{HeaderMap, HeaderName, HeaderValue, Method};
use prost::Message as _;
use serde_json::json;
use tidewire_protocol::{EmulationRequest, Encoding};

use crate::transport::emulation::{self, Emulated};
use crate::transport::http::{CONNECT_PARAMETER, query_value};
use crate::transport::websocket::{deflate, handshake};
use crate::transport::{sse, uni};

/// Any bytes as a query, as the body of each kind of request, and as the lines of a head.
pub fn bodies(bytes: &[u8]) {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        if let Ok(emulated) = emulation::read(encoding, bytes) {
            written_comes_back(encoding, emulated);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        query(text);
        head(text);
    }
    if uni::connect_request(bytes).is_ok() {
        let mut escaped = String::from("cf_connect=");
        escaped.extend(bytes.iter().map(|byte| format!("%{byte:02x}")));
        let by_query = uni::connect_from_query(Some(&escaped));
        assert_eq!(
            by_query,
            Ok(Some(bytes.to_vec())),
            "in the query as in the body"
        );
    }
    events(bytes);
}

fn written_comes_back(encoding: Encoding, emulated: Emulated) {
    assert!(!emulated.node.is_empty());
    let Some(commands) = &emulated.commands else {
        assert_eq!(encoding, Encoding::Json, "Protobuf data is never dropped");
        return;
    };
    let (node, session) = (emulated.node.clone(), emulated.session.clone());
    let body = match encoding {
        Encoding::Json => {
            let commands = std::str::from_utf8(commands).expect("a JSON string is text");
            json!({"node": node, "session": session, "data": commands})
                .to_string()
                .into_bytes()
        }
        Encoding::Protobuf => EmulationRequest {
            node,
            session,
            data: commands.clone(),
        }
        .encode_to_vec(),
    };
    assert_eq!(emulation::read(encoding, &body), Ok(emulated));
}

fn query(text: &str) {
    let value = query_value(text, CONNECT_PARAMETER).filter(|value| !value.is_empty());
    let initial = sse::request(&Method::GET, Some(text)).ok();
    assert_eq!(initial, value.clone().map(sse::Initial::Query));
    let connect = value.map(|value| uni::connect_request(&value).map(|_good| value));
    assert_eq!(uni::connect_from_query(Some(text)), connect.transpose());
}

/// Lines of `name: value`, as far as they are headers.
fn head(text: &str) {
    let (request, lines) = text.split_once('\n').unwrap_or((text, ""));
    let headers: HeaderMap = lines
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect();
    if let Ok(upgrade) = handshake::upgrade(&Method::GET, &headers, Some(request)) {
        assert_eq!(upgrade.accept.len(), 28, "20 bytes in Base64");
    }
    if let Some(extension) = deflate::negotiate(&headers) {
        assert!(extension.starts_with("permessage-deflate"));
    }
}

/// Every message is one event, whatever is in it.
fn events(messages: &[u8]) {
    let mut out = Vec::new();
    sse::write(&mut out, messages);
    if messages.is_empty() {
        return assert_eq!(out, b"");
    }
    let text = out.strip_suffix(b"\n\n").expect("an event ends");
    let mut events = Vec::new();
    for event in text.split(|byte| *byte == b'\n').step_by(2) {
        events.push(event.strip_prefix(b"data: ").expect("one line of data"));
    }
    let sent: Vec<Vec<u8>> = messages
        .split(|byte| *byte == b'\n')
        .map(|message| {
            message
                .iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect()
        })
        .collect();
    assert_eq!(events, sent);
}
