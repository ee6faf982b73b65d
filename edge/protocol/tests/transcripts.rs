//! Real traffic of Centrifugo v6.9.1: every message must be understood, and every message of the
//! server must be written back byte for byte.
//!
//! `data/transcripts.jsonl` holds one message, frame or body per line, as observed, with ids,
//! epochs and times replaced by fixed ones. `kind` says who sent it and what it is.

use serde_json::Value;
use tidewire_protocol::{
    ConnectRequest, EmulationRequest, Encoding, Push, Reply, decode, encode, raw,
};

struct Line {
    probe: String,
    kind: String,
    data: String,
}

fn lines(kind: &str) -> Vec<Line> {
    let lines: Vec<Line> = include_str!("data/transcripts.jsonl")
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| {
            let text = |name: &str| {
                let value = line.get(name).and_then(Value::as_str);
                value.unwrap_or_default().to_owned()
            };
            Line {
                probe: text("probe"),
                kind: text("kind"),
                data: text("data"),
            }
        })
        .filter(|line| line.kind == kind)
        .collect();
    assert!(!lines.is_empty(), "no lines of kind {kind}");
    lines
}

fn value(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(json).ok()
}

#[test]
fn commands_of_real_clients_are_read() {
    for line in lines("commands") {
        let frame = line.data.as_bytes();
        let mut count = 0;
        for command in decode::commands(Encoding::Json, frame) {
            assert!(command.is_ok(), "{}: {command:?}", line.probe);
            count += 1;
        }
        assert_eq!(
            count,
            line.data.trim_end().lines().count(),
            "{}",
            line.probe
        );
    }
}

#[test]
fn commands_of_real_clients_survive_protobuf() {
    for line in lines("commands") {
        for command in decode::commands(Encoding::Json, line.data.as_bytes()).flatten() {
            let mut frame = Vec::new();
            encode::command(Encoding::Protobuf, &command, &mut frame).unwrap();
            let again: Vec<_> = decode::commands(Encoding::Protobuf, &frame).collect();
            assert_eq!(again, [Ok(command)], "{}", line.probe);
        }
    }
}

#[test]
fn frames_refused_by_the_reference_are_refused() {
    for line in lines("malformed") {
        let last = decode::commands(Encoding::Json, line.data.as_bytes()).last();
        assert!(matches!(last, Some(Err(_))), "{}", line.probe);
    }
}

#[test]
fn replies_of_the_reference_are_written_back_byte_for_byte() {
    for line in lines("reply") {
        let frame = line.data.as_bytes();
        let replies: Vec<Reply> = decode::replies(Encoding::Json, frame)
            .collect::<Result<_, _>>()
            .unwrap();
        let [reply] = &replies[..] else {
            panic!("{}: {} replies", line.probe, replies.len());
        };
        let mut written = Vec::new();
        encode::reply(Encoding::Json, reply, &mut written).unwrap();
        assert_eq!(value(&written), value(frame), "{}", line.probe);
        // Only the order of map entries is free.
        let single_entries = reply
            .presence
            .as_ref()
            .is_none_or(|it| it.presence.len() < 2)
            && reply.connect.as_ref().is_none_or(|it| it.subs.len() < 2);
        if single_entries {
            assert_eq!(
                String::from_utf8_lossy(&written),
                line.data,
                "{}",
                line.probe
            );
        }
    }
}

#[test]
fn replies_of_the_reference_survive_protobuf() {
    for line in lines("reply") {
        for reply in decode::replies(Encoding::Json, line.data.as_bytes()).flatten() {
            let mut frame = Vec::new();
            encode::reply(Encoding::Protobuf, &reply, &mut frame).unwrap();
            let again: Vec<_> = decode::replies(Encoding::Protobuf, &frame).collect();
            assert_eq!(again, [Ok(reply)], "{}", line.probe);
        }
    }
}

#[test]
fn pushes_of_the_reference_are_written_back_byte_for_byte() {
    for line in lines("push") {
        let pushes: Vec<Push> = decode::pushes(Encoding::Json, line.data.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        let mut written = Vec::new();
        for push in &pushes {
            encode::push(Encoding::Json, push, &mut written).unwrap();
        }
        assert_eq!(
            String::from_utf8_lossy(&written),
            line.data,
            "{}",
            line.probe
        );
    }
}

#[test]
fn connect_requests_of_unidirectional_clients_are_read() {
    for line in lines("connect") {
        let request: ConnectRequest =
            decode::message(Encoding::Json, line.data.as_bytes()).unwrap();
        assert_eq!(
            request.token.is_empty(),
            !line.data.contains("token"),
            "{}",
            line.probe
        );
        assert_eq!(
            request.subs.is_empty(),
            !line.data.contains("subs"),
            "{}",
            line.probe
        );
    }
    for line in lines("malformed_connect") {
        let request = decode::message::<ConnectRequest>(Encoding::Json, line.data.as_bytes());
        assert!(request.is_err(), "{}", line.probe);
    }
}

#[test]
fn emulation_requests_are_read_and_their_data_is_a_string_of_commands() {
    let mut counts = Vec::new();
    for line in lines("emulation") {
        let request: EmulationRequest =
            decode::message(Encoding::Json, line.data.as_bytes()).unwrap();
        assert!(!request.node.is_empty() && !request.session.is_empty());
        let frame = raw::unquote(&request.data).unwrap();
        counts.push(
            decode::commands(Encoding::Json, frame.as_bytes())
                .filter(Result::is_ok)
                .count(),
        );
    }
    assert_eq!(counts, [2, 1, 1, 0]);
    for line in lines("malformed_emulation") {
        let request = decode::message::<EmulationRequest>(Encoding::Json, line.data.as_bytes());
        assert!(request.is_err(), "{}", line.probe);
    }
}
