//! The Protobuf codec against vectors derived by hand from the schema.

use bytes::Bytes;
use tidewire_protocol::*;

fn commands(frame: &[u8]) -> Vec<Result<Command, Malformed>> {
    decode::commands(Encoding::Protobuf, frame).collect()
}

/// `{"id":1,"subscribe":{"channel":"ab"}}`
const SUBSCRIBE: &[u8] = b"\x08\x08\x01\x2a\x04\x0a\x02ab";

fn subscribe() -> Command {
    Command {
        id: 1,
        subscribe: Some(SubscribeRequest {
            channel: "ab".into(),
            ..SubscribeRequest::default()
        }),
        ..Command::default()
    }
}

#[test]
fn command_is_written_with_its_length() {
    let mut out = Vec::new();
    encode::command(Encoding::Protobuf, &subscribe(), &mut out).unwrap();
    assert_eq!(out, SUBSCRIBE);
}

#[test]
fn several_commands_stand_one_after_the_other() {
    let frame = [SUBSCRIBE, b"\x00", SUBSCRIBE].concat();
    assert_eq!(
        commands(&frame),
        [Ok(subscribe()), Ok(Command::default()), Ok(subscribe())]
    );
}

#[test]
fn ping_and_pong_are_one_zero_byte() {
    assert_eq!(
        commands(Encoding::Protobuf.ping()),
        [Ok(Command::default())]
    );
    let mut out = Vec::new();
    encode::reply(Encoding::Protobuf, &Reply::default(), &mut out).unwrap();
    assert_eq!(out, Encoding::Protobuf.ping());
}

#[test]
fn empty_frame_is_an_error() {
    assert_eq!(commands(b""), [Err(Malformed::Empty)]);
}

#[test]
fn empty_result_is_a_zero_length_field() {
    let reply = Reply {
        id: 3,
        publish: Some(PublishResult {}),
        ..Reply::default()
    };
    let mut out = Vec::new();
    encode::reply(Encoding::Protobuf, &reply, &mut out).unwrap();
    assert_eq!(out, b"\x04\x08\x03\x42\x00");
}

#[test]
fn unknown_fields_are_ignored() {
    // Fields 2 (varint), 3 (bytes), 99 (fixed64), 100 (fixed32) are not in the schema.
    let frame = b"\x1c\x10\x05\x1a\x01x\x08\x07\x99\x06\x01\x02\x03\x04\x05\x06\x07\x08\xa5\x06\x01\x02\x03\x04\x3a\x03\x0a\x01a";
    let read = commands(frame);
    let [Ok(command)] = &read[..] else {
        panic!("{read:?}");
    };
    assert_eq!(command.id, 7);
    assert_eq!(command.publish.as_ref().unwrap().channel, "a");
}

#[test]
fn length_beyond_the_frame_is_an_error_after_the_commands_before_it() {
    for tail in [
        &b"\x09\x08\x01"[..],
        b"\x80",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\x07\x00",
    ] {
        let frame = [SUBSCRIBE, tail].concat();
        assert_eq!(commands(&frame), [Ok(subscribe()), Err(Malformed::Length)]);
    }
}

#[test]
fn damaged_message_is_malformed() {
    for frame in [
        // A wrong wire type, a length inside beyond the message, invalid UTF-8, key 0.
        &b"\x05\x0d\x01\x00\x00\x00"[..],
        b"\x04\x2a\x7f\x0a\x00",
        b"\x05\x2a\x03\x0a\x01\xff",
        b"\x02\x00\x00",
        b"\x01\x08",
    ] {
        let read = commands(frame);
        assert!(
            matches!(read[..], [Err(Malformed::Protobuf(_))]),
            "{frame:?}: {read:?}"
        );
    }
}

#[test]
fn filter_too_deep_is_malformed() {
    let filter = |depth: usize| {
        let mut node = FilterNode::default();
        for _ in 0..depth {
            node = FilterNode {
                nodes: vec![node],
                ..FilterNode::default()
            };
        }
        let mut command = subscribe();
        command.subscribe.as_mut().unwrap().tf = Some(Box::new(node));
        let mut frame = Vec::new();
        encode::command(Encoding::Protobuf, &command, &mut frame).unwrap();
        commands(&frame)
    };
    assert!(filter(50)[0].is_ok());
    assert!(matches!(filter(150)[..], [Err(Malformed::Protobuf(_))]));
}

#[test]
fn publication_is_written_as_a_push_in_a_reply() {
    let publication = Publication {
        data: Bytes::from_static(b"\x00\xff"),
        offset: 300,
        ..Publication::default()
    };
    let mut out = Vec::new();
    encode::publication(Encoding::Protobuf, "ab", &publication, &mut out).unwrap();
    // Reply length; field 4 push; field 2 channel; field 4 pub with data (4) and offset (6).
    assert_eq!(
        out,
        b"\x0f\x22\x0d\x12\x02ab\x22\x07\x22\x02\x00\xff\x30\xac\x02"
    );
}

#[test]
fn lengths_of_more_than_one_byte_are_right() {
    let publication = Publication {
        data: Bytes::from(vec![7; 300]),
        ..Publication::default()
    };
    let mut out = Vec::new();
    encode::publication(Encoding::Protobuf, &"c".repeat(200), &publication, &mut out).unwrap();
    let read: Vec<_> = decode::replies(Encoding::Protobuf, &out).collect();
    let [Ok(reply)] = &read[..] else {
        panic!("{read:?}");
    };
    let push = reply.push.as_ref().unwrap();
    assert_eq!(push.channel.len(), 200);
    assert_eq!(push.r#pub.as_ref(), Some(&publication));
}

#[test]
fn join_and_leave_are_written_as_pushes() {
    let info = Some(ClientInfo {
        user: "u".into(),
        ..ClientInfo::default()
    });
    let mut out = Vec::new();
    encode::join(
        Encoding::Protobuf,
        "a",
        &Join { info: info.clone() },
        &mut out,
    )
    .unwrap();
    assert_eq!(out, b"\x0c\x22\x0a\x12\x01a\x2a\x05\x0a\x03\x0a\x01u");
    out.clear();
    encode::leave(Encoding::Protobuf, "a", &Leave { info }, &mut out).unwrap();
    assert_eq!(out, b"\x0c\x22\x0a\x12\x01a\x32\x05\x0a\x03\x0a\x01u");
}

#[test]
fn bare_push_has_no_reply_around_it() {
    let push = Push {
        disconnect: Some(DisconnectCode::Shutdown.into()),
        ..Push::default()
    };
    let mut out = Vec::new();
    encode::push(Encoding::Protobuf, &push, &mut out).unwrap();
    assert_eq!(out, b"\x0f\x5a\x0d\x08\xb9\x17\x12\x08shutdown");
}

#[test]
fn map_entries_have_their_key_and_value_even_if_empty() {
    // The JavaScript SDK reads a missing value as `null` and fails on it.
    let reply = Reply {
        connect: Some(ConnectResult {
            subs: [("a".to_owned(), SubscribeResult::default())].into(),
            ..ConnectResult::default()
        }),
        ..Reply::default()
    };
    let mut out = Vec::new();
    encode::reply(Encoding::Protobuf, &reply, &mut out).unwrap();
    assert_eq!(out, b"\x09\x2a\x07\x32\x05\x0a\x01a\x12\x00");
    // Without value, as a client may write it, it is the same entry.
    let read: Vec<_> =
        decode::replies(Encoding::Protobuf, b"\x07\x2a\x05\x32\x03\x0a\x01a").collect();
    assert_eq!(read, [Ok(reply)]);
}

#[test]
fn map_of_the_wrong_wire_type_is_malformed() {
    assert!(matches!(
        commands(b"\x04\x22\x02\x18\x00")[..],
        [Err(Malformed::Protobuf(_))]
    ));
}

#[test]
fn protobuf_errors_name_the_field_but_not_its_content() {
    let read = commands(b"\x0a\x22\x08\x0a\x06secre\xff");
    let [Err(Malformed::Protobuf(error))] = &read[..] else {
        panic!("{read:?}");
    };
    let text = error.to_string();
    assert!(text.contains("ConnectRequest.token"), "{text}");
    assert!(!text.contains("secre"), "{text}");
}
