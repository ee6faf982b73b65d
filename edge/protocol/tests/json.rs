//! The JSON codec against vectors derived by hand from the rules of the protocol.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidewire_protocol::*;

fn command(line: &str) -> Result<Command, Malformed> {
    let mut commands = decode::commands(Encoding::Json, line.as_bytes());
    let command = commands.next().unwrap_or(Err(Malformed::Empty));
    assert!(commands.next().is_none(), "more than one command in {line}");
    command
}

fn commands(frame: &str) -> Vec<Result<u32, Malformed>> {
    decode::commands(Encoding::Json, frame.as_bytes())
        .map(|command| command.map(|command| command.id))
        .collect()
}

fn written(reply: &Reply) -> String {
    let mut out = Vec::new();
    let written = encode::reply(Encoding::Json, reply, &mut out);
    assert_eq!(written, Ok(()));
    String::from_utf8_lossy(&out).into_owned()
}

fn publish_data(line: &str) -> Bytes {
    let command = command(line).unwrap_or_default();
    command.publish.unwrap_or_default().data
}

#[test]
fn command_with_all_kinds_of_fields_is_read() {
    let line = r#"{"id":7,"subscribe":{"channel":"a","recover":true,"offset":18446744073709551615,
        "data":[1, 2],"flag":-3,"type":1,"tf":{"op":"and","nodes":[{"key":"k","cmp":"in","vals":["x","y"]}]}}}"#
        .replace('\n', "");
    let expected = Command {
        id: 7,
        subscribe: Some(SubscribeRequest {
            channel: "a".into(),
            recover: true,
            offset: u64::MAX,
            data: Bytes::from_static(b"[1, 2]"),
            flag: -3,
            r#type: 1,
            tf: Some(Box::new(FilterNode {
                op: "and".into(),
                nodes: vec![FilterNode {
                    key: "k".into(),
                    cmp: "in".into(),
                    vals: vec!["x".into(), "y".into()],
                    ..FilterNode::default()
                }],
                ..FilterNode::default()
            })),
            ..SubscribeRequest::default()
        }),
        ..Command::default()
    };
    assert_eq!(command(&line), Ok(expected));
}

#[test]
fn names_match_in_any_case_and_unknown_fields_are_ignored() {
    let read =
        command(r#"{"x":[{}],"ID":1,"Presence_Stats":{"CHANNEL":"a","y":"\ud800"}}"#).unwrap();
    assert_eq!(read.id, 1);
    assert_eq!(read.presence_stats.unwrap().channel, "a");
}

#[test]
fn names_may_be_written_with_escapes() {
    assert_eq!(command(r#"{"\u0069d":5}"#).unwrap().id, 5);
}

#[test]
fn payloads_keep_their_bytes() {
    for payload in [
        "{\"a\" : 1}",
        "\"<b>&\\u0041\"",
        "null",
        "1.50e+0",
        "[ ]",
        "{\"a\":1,\"a\":2}",
    ] {
        let line = format!("{{\"id\":1,\"publish\":{{\"channel\":\"a\",\"data\":  {payload} }}}}");
        assert_eq!(publish_data(&line), payload);
    }
}

#[test]
fn null_is_a_payload_but_an_absent_message_or_scalar() {
    assert_eq!(publish_data(r#"{"id":1,"publish":{"data":null}}"#), "null");
    assert_eq!(publish_data(r#"{"id":1,"publish":{}}"#), "");
    let read =
        command(r#"{"id":1,"connect":null,"subscribe":{"channel":null,"tf":null,"offset":null}}"#);
    let read = read.unwrap();
    assert_eq!(read.connect, None);
    assert_eq!(read.subscribe, Some(SubscribeRequest::default()));
}

#[test]
fn wrong_types_are_malformed() {
    for line in [
        r#"{"id":"1"}"#,
        r#"{"id":1.0}"#,
        r#"{"id":-1}"#,
        r#"{"id":4294967296}"#,
        r#"{"id":true}"#,
        r#"{"connect":[]}"#,
        r#"{"connect":""}"#,
        r#"{"subscribe":{"recover":1}}"#,
        r#"{"subscribe":{"channel":1}}"#,
        r#"{"subscribe":{"tf":{"vals":"a"}}}"#,
        r#"{"connect":{"subs":[]}}"#,
        r#"{"connect":{"headers":{"a":1}}}"#,
        "[]",
        "1",
        "\"\"",
        "null",
        "{}{}",
        "{} x",
        "{\"id\":1",
        "{\"id\":1,}",
        "{\"id\":1 \"x\":2}",
        "{\"x\":zz}",
        "{\"rpc\":{\"data\":zz}}",
    ] {
        assert!(
            matches!(command(line), Err(Malformed::Json { .. })),
            "{line}"
        );
    }
}

#[test]
fn invalid_utf8_is_malformed() {
    for line in [
        &b"{\"id\":1,\"publish\":{\"channel\":\"\xff\"}}"[..],
        b"{\"id\":1,\"publish\":{\"data\":\"\xff\"}}",
    ] {
        let read: Vec<_> = decode::commands(Encoding::Json, line).collect();
        assert!(
            matches!(&read[..], [Err(Malformed::Json { .. })]),
            "{read:?}"
        );
    }
}

#[test]
fn malformed_says_where_but_not_what() {
    let error = command(r#"{"id":1,"connect":{"token":["secret"]}}"#).unwrap_err();
    assert_eq!(error.disconnect(), DisconnectCode::BadRequest);
    let text = format!("{error} {error:?}");
    assert!(!text.contains("secret"), "{text}");
    let Malformed::Json { kind, column } = error else {
        panic!("{error:?}");
    };
    assert_eq!(kind, "type");
    assert!((27..=29).contains(&column), "{column}");
    assert!(matches!(
        command("{"),
        Err(Malformed::Json { kind: "end", .. })
    ));
    assert!(matches!(
        command("{]"),
        Err(Malformed::Json { kind: "syntax", .. })
    ));
}

#[test]
fn frames_are_lines_and_one_newline_may_follow() {
    assert_eq!(commands("{\"id\":1}"), [Ok(1)]);
    assert_eq!(commands("{\"id\":1}\n"), [Ok(1)]);
    assert_eq!(commands("{\"id\":1}\n{\"id\":2}"), [Ok(1), Ok(2)]);
    assert_eq!(
        commands(" {\"id\":1}\t\r\n {\"id\":2} \r\n"),
        [Ok(1), Ok(2)]
    );
}

#[test]
fn blank_lines_are_errors_after_the_commands_before_them() {
    let blank = || Err(Malformed::BlankLine);
    assert_eq!(commands(""), [Err(Malformed::Empty)]);
    assert_eq!(commands("\n"), [blank()]);
    assert_eq!(commands("  "), [blank()]);
    assert_eq!(commands("{\"id\":1}\n\n"), [Ok(1), blank()]);
    assert_eq!(commands("{\"id\":1}\n  \n{\"id\":2}"), [Ok(1), blank()]);
    assert_eq!(commands("{\"id\":1}\n\r\n{\"id\":2}"), [Ok(1), blank()]);
    assert_eq!(commands("{\"id\":1}\n "), [Ok(1), blank()]);
}

#[test]
fn object_over_several_lines_is_malformed() {
    let read = commands("{\"id\":1,\n\"connect\":{}}");
    assert!(
        matches!(read[..], [Err(Malformed::Json { kind: "end", .. })]),
        "{read:?}"
    );
}

#[test]
fn blank_line_is_still_seen_when_decoding_goes_on_from_the_rest() {
    let mut reading = decode::commands(Encoding::Json, b"{\"id\":1}\n\n");
    assert!(reading.next().unwrap().is_ok());
    assert_eq!(reading.rest(), b"\n");
    let mut parked = decode::commands(Encoding::Json, reading.rest());
    assert_eq!(parked.next(), Some(Err(Malformed::BlankLine)));
    assert_eq!(parked.rest(), b"");
    assert_eq!(parked.next(), None);
}

#[test]
fn filter_too_deep_is_malformed() {
    let filter = |depth: usize| {
        let nodes = "{\"nodes\":[".repeat(depth) + &"]}".repeat(depth);
        format!("{{\"id\":1,\"subscribe\":{{\"tf\":{nodes}}}}}")
    };
    assert!(command(&filter(50)).is_ok());
    assert!(command(&filter(100)).is_err());
    assert!(command(&filter(50_000)).is_err());
}

#[test]
fn empty_results_are_written_as_empty_objects() {
    let cases = [
        (
            Reply {
                publish: Some(PublishResult {}),
                ..Reply::default()
            },
            r#"{"id":3,"publish":{}}"#,
        ),
        (
            Reply {
                unsubscribe: Some(UnsubscribeResult {}),
                ..Reply::default()
            },
            r#"{"id":3,"unsubscribe":{}}"#,
        ),
        (
            Reply {
                sub_refresh: Some(SubRefreshResult::default()),
                ..Reply::default()
            },
            r#"{"id":3,"sub_refresh":{}}"#,
        ),
        (
            Reply {
                rpc: Some(RPCResult::default()),
                ..Reply::default()
            },
            r#"{"id":3,"rpc":{}}"#,
        ),
    ];
    for (reply, expected) in cases {
        assert_eq!(written(&Reply { id: 3, ..reply }), expected);
    }
}

#[test]
fn empty_reply_is_the_ping() {
    assert_eq!(written(&Reply::default()).as_bytes(), Encoding::Json.ping());
}

#[test]
fn fields_read_without_default_are_always_written() {
    let cases = [
        (
            Reply {
                presence: Some(PresenceResult::default()),
                ..Reply::default()
            },
            r#"{"presence":{"presence":{}}}"#,
        ),
        (
            Reply {
                presence: Some(PresenceResult {
                    presence: BTreeMap::from([("c".into(), ClientInfo::default())]),
                }),
                ..Reply::default()
            },
            r#"{"presence":{"presence":{"c":{"user":"","client":""}}}}"#,
        ),
        (
            Reply {
                presence_stats: Some(PresenceStatsResult::default()),
                ..Reply::default()
            },
            r#"{"presence_stats":{"num_clients":0,"num_users":0}}"#,
        ),
        (
            Reply {
                history: Some(HistoryResult::default()),
                ..Reply::default()
            },
            r#"{"history":{"publications":[],"epoch":"","offset":0}}"#,
        ),
    ];
    for (reply, expected) in cases {
        assert_eq!(written(&reply), expected);
    }
}

#[test]
fn error_is_written_with_temporary_only_if_it_is() {
    let reply = |code: ErrorCode| Reply {
        id: 1,
        error: Some(code.into()),
        ..Reply::default()
    };
    assert_eq!(
        written(&reply(ErrorCode::Internal)),
        r#"{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}"#
    );
    assert_eq!(
        written(&reply(ErrorCode::BadRequest)),
        r#"{"id":1,"error":{"code":107,"message":"bad request"}}"#
    );
}

#[test]
fn numbers_are_written_as_numbers() {
    let reply = Reply {
        push: Some(Push {
            id: i64::MIN,
            r#pub: Some(Publication {
                offset: u64::MAX,
                score: -1,
                ..Publication::default()
            }),
            ..Push::default()
        }),
        ..Reply::default()
    };
    assert_eq!(
        written(&reply),
        r#"{"push":{"id":-9223372036854775808,"pub":{"offset":18446744073709551615,"score":-1}}}"#
    );
}

fn full_publication() -> Publication {
    Publication {
        data: Bytes::from_static(b"{\"a\" :\n \"<&>\"}"),
        info: Some(ClientInfo {
            user: "42".into(),
            client: "c1".into(),
            conn_info: Bytes::from_static(b"{}"),
            chan_info: Bytes::from_static(b"[1]"),
        }),
        offset: 5,
        tags: BTreeMap::from([("<k>".into(), "a\"b".into()), ("z".into(), "&".into())]),
        delta: true,
        time: -1,
        channel: "x".into(),
        key: "k".into(),
        removed: true,
        score: 3,
        epoch: "e".into(),
        prev_data: Bytes::from_static(b"0"),
        version: 9,
    }
}

#[test]
fn publication_is_written_with_escaped_strings_and_raw_payload_on_one_line() {
    let mut out = Vec::new();
    encode::publication(Encoding::Json, "a<b>&\u{1}", &full_publication(), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"push":{"channel":"a\u003cb\u003e\u0026\u0001","pub":{"data":{"a" : "<&>"},"#,
            r#""info":{"user":"42","client":"c1","conn_info":{},"chan_info":[1]},"offset":5,"#,
            r#""tags":{"\u003ck\u003e":"a\"b","z":"\u0026"},"delta":true,"time":-1,"#,
            r#""channel":"x","key":"k","removed":true,"score":3,"epoch":"e","prev_data":0,"version":9}}}"#
        )
    );
}

#[test]
fn join_and_leave_are_written_with_their_client() {
    let info = Some(ClientInfo {
        user: "42".into(),
        client: "c1".into(),
        ..ClientInfo::default()
    });
    let mut out = Vec::new();
    encode::join(Encoding::Json, "a", &Join { info: info.clone() }, &mut out).unwrap();
    out.push(b'\n');
    encode::leave(Encoding::Json, "a", &Leave { info }, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"push":{"channel":"a","join":{"info":{"user":"42","client":"c1"}}}}"#,
            "\n",
            r#"{"push":{"channel":"a","leave":{"info":{"user":"42","client":"c1"}}}}"#
        )
    );
}

#[test]
fn payload_that_is_not_json_is_refused_and_leaves_the_buffer_alone() {
    let publication = Publication {
        data: Bytes::from_static(b"\x00\x01\x02"),
        ..Publication::default()
    };
    let reply = Reply {
        rpc: Some(RPCResult {
            data: Bytes::from_static(b"{}{}"),
        }),
        ..Reply::default()
    };
    let mut out = b"before".to_vec();
    let error = encode::publication(Encoding::Json, "a", &publication, &mut out).unwrap_err();
    assert_eq!(error.disconnect(), DisconnectCode::InappropriateProtocol);
    assert_eq!(encode::reply(Encoding::Json, &reply, &mut out), Err(error));
    assert_eq!(out, b"before");
    assert_eq!(
        encode::publication(Encoding::Protobuf, "a", &publication, &mut out),
        Ok(())
    );
}

#[test]
fn null_body_is_an_empty_message() {
    let request = decode::message::<ConnectRequest>(Encoding::Json, b"null");
    assert_eq!(request, Ok(ConnectRequest::default()));
}
