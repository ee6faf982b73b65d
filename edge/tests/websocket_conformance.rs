//! The edge's WebSocket layer against RFC 6455 and RFC 7692, over real sockets.
//!
//! The cases follow the groups of the Autobahn test suite, whose numbers stand in their names.
//! What is sent without compression is also sent to tungstenite, which has to agree on what is
//! echoed and on whether the connection ends in order.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

#[path = "support/websocket.rs"]
mod websocket;
#[path = "support/websocket_cases.rs"]
mod websocket_cases;

use websocket_cases::{Case, End, case, run};

use websocket::{
    BINARY, CLOSE, CONTINUATION, DECOMPRESSED_MAX, FIN, Frame, MESSAGE_MAX, PING, PONG, RSV1, TEXT,
    close, exchange, frame, open, start_echo,
};

/// A message in frames of the given payloads.
fn fragments(opcode: u8, payloads: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = payloads.len() - 1;
    let fragments = payloads.iter().enumerate().map(|(at, payload)| {
        let fin = if at == last { FIN } else { 0 };
        let opcode = if at == 0 { opcode } else { CONTINUATION };
        frame(fin | opcode, payload)
    });
    fragments.collect()
}

fn text(payload: &str) -> Frame {
    Frame::new(TEXT, payload)
}

#[tokio::test]
async fn messages_of_every_length_form_are_echoed() {
    let mut cases = Vec::new();
    for (opcode, group) in [(TEXT, "1.1"), (BINARY, "1.2")] {
        let filler = if opcode == TEXT { b'*' } else { 0xFE };
        for (number, length) in [0, 125, 126, 127, 128, 65_535, 65_536].iter().enumerate() {
            let payload = vec![filler; *length];
            let name = format!("{group}.{}", number + 1);
            let chunks = vec![frame(FIN | opcode, &payload)];
            cases.push(case(
                &name,
                chunks,
                vec![Frame::new(opcode, payload)],
                End::Client,
            ));
        }
        let payload = vec![filler; 65_536];
        let chunks = vec![frame(FIN | opcode, &payload)];
        let whole = case(
            &format!("{group}.8"),
            chunks,
            vec![Frame::new(opcode, payload)],
            End::Client,
        );
        cases.push(whole.chopped(997));
    }
    run(cases).await;
}

#[tokio::test]
async fn pings_are_answered_and_pongs_are_not() {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let pong = |payload: &[u8]| Frame::new(PONG, payload);
    let mut cases = Vec::new();
    let binary = [0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF];
    for (name, payload) in [
        ("2.1", b"".as_slice()),
        ("2.2", b"Hello, world!"),
        ("2.3", &binary),
        ("2.4", &[0xFE; 125]),
    ] {
        cases.push(case(
            name,
            vec![ping(payload)],
            vec![pong(payload)],
            End::Client,
        ));
    }
    cases.push(case(
        "2.5",
        vec![ping(&[0xFE; 126])],
        vec![],
        End::Fail(1002),
    ));
    cases.push(
        case(
            "2.6",
            vec![ping(&[0xFE; 125])],
            vec![pong(&[0xFE; 125])],
            End::Client,
        )
        .chopped(1),
    );
    cases.push(case(
        "2.7",
        vec![frame(FIN | PONG, b"")],
        vec![],
        End::Client,
    ));
    cases.push(case(
        "2.8",
        vec![frame(FIN | PONG, b"unasked")],
        vec![],
        End::Client,
    ));
    let unasked = vec![frame(FIN | PONG, b"unasked"), ping(b"asked")];
    cases.push(case("2.9", unasked, vec![pong(b"asked")], End::Client));
    let numbered: Vec<_> = (0..10)
        .map(|number| format!("payload-{number}").into_bytes())
        .collect();
    let ten = case(
        "2.10",
        numbered.iter().map(|payload| ping(payload)).collect(),
        numbered.iter().map(|payload| pong(payload)).collect(),
        End::Client,
    );
    cases.extend(ten.all_ways());
    run(cases).await;
}

#[tokio::test]
async fn reserved_bits_fail_the_connection() {
    let hello = || frame(FIN | TEXT, b"Hello, world!");
    let echoed = || vec![text("Hello, world!")];
    let ping = || frame(FIN | PING, b"");
    let fail = |name: &str, bits: u8, opcode: u8| {
        case(
            name,
            vec![frame(FIN | bits << 4 | opcode, b"x")],
            vec![],
            End::Fail(1002),
        )
    };
    let mut cases = vec![
        fail("3.1", 1, TEXT),
        fail("3.5", 5, BINARY),
        fail("3.6", 6, PING),
        fail("3.7", 7, CLOSE),
    ];
    for (name, bits) in [("3.2", 2), ("3.3", 3), ("3.4", 4)] {
        let chunks = vec![
            hello(),
            frame(FIN | bits << 4 | TEXT, b"Hello, world!"),
            ping(),
        ];
        cases.extend(case(name, chunks, echoed(), End::Fail(1002)).all_ways());
    }
    let late = vec![frame(TEXT, b"a"), frame(FIN | RSV1 | CONTINUATION, b"b")];
    cases.push(case("bit on a continuation", late, vec![], End::Fail(1002)));
    run(cases).await;
}

#[tokio::test]
async fn reserved_opcodes_fail_the_connection() {
    let mut cases = Vec::new();
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let group = if opcode < 8 { "4.1" } else { "4.2" };
        let alone = vec![frame(FIN | opcode, b"")];
        cases.push(case(
            &format!("{group} opcode {opcode}"),
            alone,
            vec![],
            End::Fail(1002),
        ));
        let after = vec![
            frame(FIN | TEXT, b"Hello"),
            frame(FIN | opcode, b"x"),
            frame(FIN | PING, b""),
        ];
        let after = case(
            &format!("{group} opcode {opcode}, later"),
            after,
            vec![text("Hello")],
            End::Fail(1002),
        );
        cases.extend(after.all_ways());
    }
    run(cases).await;
}

#[tokio::test]
async fn fragments_are_joined_around_control_frames() {
    let ping = || frame(FIN | PING, b"ping payload");
    let pong = || Frame::new(PONG, "ping payload");
    let joined = || text("fragment1fragment2");
    let parts: [&[u8]; 2] = [b"fragment1", b"fragment2"];
    let split = || fragments(TEXT, &parts);
    let mut with_ping = split();
    with_ping.insert(1, ping());
    let mut five = fragments(TEXT, &[b"1", b"2", b"3", b"4", b"5"]);
    five.insert(4, frame(FIN | PING, b"second"));
    five.insert(2, frame(FIN | PING, b"first"));
    let pongs = vec![
        Frame::new(PONG, "first"),
        Frame::new(PONG, "second"),
        text("12345"),
    ];
    let cases = [
        case("5.3-5.5", split(), vec![joined()], End::Client),
        case("5.6-5.8", with_ping, vec![pong(), joined()], End::Client),
        case("5.19, 5.20", five, pongs, End::Client),
        case(
            "binary",
            fragments(BINARY, &parts),
            vec![Frame::new(BINARY, "fragment1fragment2")],
            End::Client,
        ),
        case(
            "empty fragments",
            fragments(TEXT, &[b"", b"", b""]),
            vec![text("")],
            End::Client,
        ),
    ];
    run(cases.into_iter().flat_map(Case::all_ways).collect()).await;
}

#[tokio::test]
async fn broken_fragmentation_fails_the_connection() {
    let hello = || frame(FIN | TEXT, b"Hello, world!");
    let fail = |name: &str, chunks| case(name, chunks, vec![], End::Fail(1002));
    let first = || frame(TEXT, b"fragment1");
    let last = || frame(FIN | CONTINUATION, b"fragment2");
    let cases = [
        fail("5.1", vec![frame(PING, b"fragment1"), last()]),
        fail("5.2", vec![frame(PONG, b"fragment1"), last()]),
        fail("close in fragments", vec![frame(CLOSE, b""), last()]),
        fail("5.9-5.11", vec![last(), hello()]),
        fail("5.12-5.14", vec![frame(CONTINUATION, b"no start"), hello()]),
        case(
            "5.15",
            vec![
                first(),
                last(),
                frame(CONTINUATION, b"fragment3"),
                frame(FIN | TEXT, b"fragment4"),
            ],
            vec![text("fragment1fragment2")],
            End::Fail(1002),
        ),
        fail(
            "5.16",
            vec![frame(CONTINUATION, b"fragment1"), first(), last()],
        ),
        fail(
            "5.17",
            vec![frame(FIN | CONTINUATION, b"fragment1"), first(), last()],
        ),
        fail("5.18", vec![first(), frame(FIN | TEXT, b"fragment2")]),
        fail(
            "binary within text",
            vec![first(), frame(BINARY, b"fragment2")],
        ),
    ];
    run(cases.into_iter().flat_map(Case::all_ways).collect()).await;
}

/// Text that is valid UTF-8, most of it at the edges of the encoding (6.2, 6.5-6.7, 6.9, 6.11,
/// 6.17, 6.22, 6.23).
const VALID: [&str; 22] = [
    "",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\u{0}",
    "\u{80}",
    "\u{800}",
    "\u{10000}",
    "\u{7f}",
    "\u{7ff}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{1fffe}",
    "\u{1ffff}",
    "\u{2fffe}",
    "\u{8ffff}",
    "\u{fffff}",
    "\u{10fffe}",
    "\u{10ffff}",
    "\u{1f680}\u{fe0f}\u{200d}\u{301}",
];

/// Bytes that are not UTF-8 (6.3, 6.4, 6.8, 6.10, 6.12-6.16, 6.18-6.21).
const INVALID: [&[u8]; 41] = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
    // Beginnings without an end.
    b"\xce",
    b"\xe1",
    b"\xe1\xbd",
    b"\xf0\x90\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xc0\xe0\x80\xf0\x80\x80",
    // More than is allowed.
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\xf4\x90\x80\x80",
    // Continuations without a beginning.
    b"\x80",
    b"\xbf",
    b"\x80\xbf",
    b"\x80\xbf\x80\xbf\x80",
    // Beginnings before something else.
    b"\xc0 \xc1 \xc2 ",
    b"\xe0 \xe1 \xef ",
    b"\xf0 \xf1 \xf7 ",
    b"\xf8 \xf9 \xfb ",
    b"\xfc \xfd ",
    // Never part of UTF-8.
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    // Longer than necessary.
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf8\x80\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    // Halves of surrogates, and both.
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xb0\x80",
    b"\xed\xa0\x80\xed\xb0\x80",
];

/// A text message whole, and in fragments that cut it anywhere and everywhere.
fn cuts(payload: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut ways = vec![
        fragments(TEXT, &[payload]),
        fragments(TEXT, &[b"", payload, b""]),
    ];
    ways.extend((1..payload.len()).map(|at| fragments(TEXT, &[&payload[..at], &payload[at..]])));
    let bytes: Vec<_> = payload.chunks(1).collect();
    if !bytes.is_empty() {
        ways.push(fragments(TEXT, &bytes));
    }
    ways
}

#[tokio::test]
async fn valid_text_is_echoed_however_it_is_cut() {
    let mut cases = Vec::new();
    for payload in VALID {
        for (number, chunks) in cuts(payload.as_bytes()).into_iter().enumerate() {
            let name = format!("6 {payload:?} way {number}");
            cases.push(case(&name, chunks, vec![text(payload)], End::Client));
        }
        let whole = vec![frame(FIN | TEXT, payload.as_bytes())];
        cases.push(
            case(
                &format!("6 {payload:?}"),
                whole,
                vec![text(payload)],
                End::Client,
            )
            .chopped(1),
        );
    }
    run(cases).await;
}

#[tokio::test]
async fn invalid_text_fails_the_connection_however_it_is_cut() {
    let mut cases = Vec::new();
    for payload in INVALID {
        for (number, chunks) in cuts(payload).into_iter().enumerate() {
            let name = format!("6 {} way {number}", payload.escape_ascii());
            cases.push(case(&name, chunks, vec![], End::Fail(1007)));
        }
    }
    run(cases).await;
}

#[tokio::test]
async fn invalid_text_fails_before_the_message_ends() {
    // 6.4.1 and 6.4.2: the third fragment never comes.
    let start = "κόσμε".as_bytes();
    let cases = [
        b"\xf4\x90\x80\x80".as_slice(),
        b"\xf4\x90",
        b"\xed\xa0",
        b"\xff",
    ]
    .map(|bad| {
        let chunks = vec![frame(TEXT, start), frame(CONTINUATION, bad)];
        case(
            &format!("6.4 {}", bad.escape_ascii()),
            chunks,
            vec![],
            End::Fail(1007),
        )
    });
    run(cases.into()).await;
}

#[tokio::test]
async fn binary_messages_may_hold_anything() {
    let cases = INVALID.map(|payload| {
        let chunks = vec![frame(FIN | BINARY, payload)];
        let name = format!("{}", payload.escape_ascii());
        case(
            &name,
            chunks,
            vec![Frame::new(BINARY, payload)],
            End::Client,
        )
    });
    run(cases.into()).await;
}

#[tokio::test]
async fn nothing_after_a_close_frame_counts() {
    let hello = || frame(FIN | TEXT, b"Hello World!");
    let closed = || close(1000, "");
    let answer = End::Answer(Some(1000));
    let long = vec![b'B'; 256 << 10];
    let cases = [
        case(
            "7.1.1",
            vec![hello(), closed()],
            vec![text("Hello World!")],
            answer,
        ),
        case("7.1.2", vec![closed(), closed()], vec![], answer),
        case(
            "7.1.3",
            vec![closed(), frame(FIN | PING, b"")],
            vec![],
            answer,
        ),
        case("7.1.4", vec![closed(), hello()], vec![], answer),
        case(
            "7.1.5",
            vec![
                frame(TEXT, b"fragment1"),
                closed(),
                frame(FIN | CONTINUATION, b"fragment2"),
            ],
            vec![],
            answer,
        ),
        case(
            "7.1.6",
            vec![
                frame(FIN | TEXT, &long),
                hello(),
                closed(),
                frame(FIN | PING, b""),
            ],
            vec![Frame::new(TEXT, long.clone()), text("Hello World!")],
            answer,
        ),
    ];
    run(cases.into()).await;
}

#[tokio::test]
async fn close_payloads_are_checked() {
    let raw = |payload: &[u8]| vec![frame(FIN | CLOSE, payload)];
    let answer = End::Answer(Some(1000));
    let mut cases = vec![
        case("7.3.1", raw(b""), vec![], End::Answer(None)),
        case("7.3.2", raw(b"a"), vec![], End::Fail(1002)),
        case("7.3.3", raw(&1000_u16.to_be_bytes()), vec![], answer),
        case("7.3.4", vec![close(1000, "Hello World!")], vec![], answer),
        case("7.3.5", vec![close(1000, &"*".repeat(123))], vec![], answer),
        case(
            "7.3.6",
            vec![close(1000, &"*".repeat(124))],
            vec![],
            End::Fail(1002),
        ),
    ];
    let cut = [1000_u16.to_be_bytes().as_slice(), INVALID[0]].concat();
    cases.push(case("7.5.1", raw(&cut), vec![], End::Fail(1007)));
    run(cases).await;
}

#[tokio::test]
async fn close_codes_that_may_be_sent_are_answered() {
    let codes = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ];
    let cases = codes.map(|code| {
        case(
            &format!("7.7 code {code}"),
            vec![close(code, "reason")],
            vec![],
            End::Answer(Some(code)),
        )
    });
    run(cases.into()).await;
}

#[tokio::test]
async fn close_code_that_was_registered_last_is_answered() {
    // 1014, bad gateway: the oracle does not know it.
    let (stream, _) = open(start_echo().await, None).await;
    let frames = exchange(stream, &[close(1014, "")]).await;
    assert_eq!(frames, [Frame::close(1014)]);
}

#[tokio::test]
async fn close_codes_that_must_not_be_sent_fail_the_connection() {
    let codes = [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    let cases = codes.map(|code| {
        case(
            &format!("7.9 code {code}"),
            vec![close(code, "")],
            vec![],
            End::Fail(1002),
        )
    });
    run(cases.into()).await;
}

#[tokio::test]
async fn long_messages_are_echoed_up_to_the_limit() {
    let mut cases = Vec::new();
    for (opcode, filler) in [(TEXT, b'*'), (BINARY, 0xFE)] {
        for length in [64 << 10, 1 << 20, MESSAGE_MAX] {
            let payload = vec![filler; length];
            let chunks = vec![frame(FIN | opcode, &payload)];
            cases.push(case(
                &format!("9.1, 9.2: {length}"),
                chunks,
                vec![Frame::new(opcode, payload)],
                End::Client,
            ));
        }
        let payload = vec![filler; 1 << 20];
        for size in [64, 256, 4 << 10, 64 << 10, 256 << 10] {
            let parts: Vec<_> = payload.chunks(size).collect();
            let chunks = vec![fragments(opcode, &parts).concat()];
            let name = format!("9.3, 9.4: fragments of {size}");
            cases.push(case(
                &name,
                chunks,
                vec![Frame::new(opcode, payload.clone())],
                End::Client,
            ));
        }
        for size in [64, 256, 512, 1024, 2048] {
            let payload = vec![filler; 64 << 10];
            let chunks = vec![frame(FIN | opcode, &payload)];
            cases.push(
                case(
                    "9.5, 9.6",
                    chunks,
                    vec![Frame::new(opcode, payload)],
                    End::Client,
                )
                .chopped(size),
            );
        }
    }
    run(cases).await;
}

#[tokio::test]
async fn messages_over_the_limit_fail_the_connection() {
    let over = u64::try_from(MESSAGE_MAX + 1).unwrap().to_be_bytes();
    // Only the header: the length alone is enough.
    let header = [&[FIN | BINARY, 0xFF], over.as_slice(), &[0; 4]].concat();
    let highest = [&[FIN | BINARY, 0xFF], [0xFF; 8].as_slice(), &[0; 4]].concat();
    let half = vec![b'x'; MESSAGE_MAX / 2];
    let halves = vec![
        frame(TEXT, &half),
        frame(CONTINUATION, &half),
        frame(CONTINUATION, b"x"),
    ];
    let echo = start_echo().await;
    for (name, chunks, code) in [
        ("announced", vec![header], 1009),
        ("in fragments", halves, 1009),
        ("with the highest bit", vec![highest], 1002),
    ] {
        let (stream, _) = open(echo, None).await;
        let frames = exchange(stream, &chunks).await;
        assert_eq!(frames, [Frame::close(code)], "{name}");
    }
}

#[tokio::test]
async fn fragments_of_the_usual_size_are_joined() {
    let payload = vec![b'*'; 65_536];
    let parts: Vec<_> = payload.chunks(1300).collect();
    let echoed = vec![Frame::new(TEXT, payload.clone())];
    run(vec![case(
        "10.1.1",
        fragments(TEXT, &parts),
        echoed,
        End::Client,
    )])
    .await;
}

#[tokio::test]
async fn frames_without_mask_fail_the_connection() {
    let bare = |first: u8| vec![vec![first, 5, b'H', b'e', b'l', b'l', b'o']];
    let cases = [FIN | TEXT, FIN | BINARY, FIN | PING, TEXT].map(|first| {
        case(
            &format!("no mask: {first:x}"),
            bare(first),
            vec![],
            End::Fail(1002),
        )
    });
    run(cases.into()).await;
}

const OFFER: Option<&str> = Some("permessage-deflate; client_max_window_bits");

fn deflated(message: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(message).unwrap();
    encoder.flush().unwrap();
    let payload = encoder.get_ref().clone();
    payload.strip_suffix(b"\x00\x00\xff\xff").unwrap().to_vec()
}

fn inflated(frame: &Frame) -> Vec<u8> {
    if frame.first & RSV1 == 0 {
        return frame.payload.clone();
    }
    let whole = [
        &frame.payload,
        b"\x00\x00\xff\xff\x01\x00\x00\xff\xff".as_slice(),
    ]
    .concat();
    let mut message = Vec::new();
    DeflateDecoder::new(whole.as_slice())
        .read_to_end(&mut message)
        .unwrap();
    message
}

/// Opens a connection with compression and exchanges the chunks.
async fn exchange_compressed(chunks: &[Vec<u8>]) -> Vec<Frame> {
    let (stream, head) = open(start_echo().await, OFFER).await;
    assert!(head.contains("permessage-deflate"), "{head}");
    exchange(stream, chunks).await
}

#[tokio::test]
async fn compressed_messages_are_echoed_compressed() {
    // 12.1 to 12.5: sizes, levels, with and without fragments.
    let words = "{\"AutobahnPython\": [1.0, 2, \"κόσμε\"], \"ok\": true}, ";
    let mut sent = Vec::new();
    let mut messages = Vec::new();
    for (size, level) in [
        (16, 1),
        (64, 9),
        (256, 6),
        (1024, 0),
        (4096, 1),
        (8192, 9),
        (65_536, 1),
        (131_072, 6),
    ] {
        let message: Vec<u8> = words.bytes().cycle().take(size / 53 * 53 + 53).collect();
        let payload = deflated(&message, level);
        sent.push(frame(FIN | RSV1 | TEXT, &payload));
        let mut parts = fragments(BINARY, &payload.chunks(256).collect::<Vec<_>>());
        parts[0] = frame(parts[0][0] | RSV1, &payload[..payload.len().min(256)]);
        parts.insert(1, frame(FIN | PING, b"between"));
        sent.extend(parts);
        messages.extend([(TEXT, message.clone()), (BINARY, message)]);
    }
    sent.push(close(1000, ""));
    let frames = exchange_compressed(&sent).await;
    let echoed: Vec<_> = frames
        .iter()
        .filter(|frame| frame.opcode() < CLOSE)
        .collect();
    assert_eq!(echoed.len(), messages.len());
    for (frame, (opcode, message)) in echoed.into_iter().zip(messages) {
        assert_eq!(frame.opcode(), opcode);
        assert!(inflated(frame) == message, "{} bytes", message.len());
        assert_eq!(
            frame.first & RSV1 != 0,
            message.len() > 60,
            "{} bytes",
            message.len()
        );
    }
    assert_eq!(
        frames.iter().filter(|frame| frame.opcode() == PONG).count(),
        8
    );
    assert_eq!(frames.last(), Some(&Frame::close(1000)));
}

#[tokio::test]
async fn messages_need_not_be_compressed_where_they_may_be() {
    let sent = [
        frame(FIN | TEXT, b"plain"),
        frame(
            FIN | RSV1 | TEXT,
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        ),
        frame(FIN | RSV1 | TEXT, &[0x00]),
        frame(FIN | TEXT, b""),
        close(1000, ""),
    ];
    let frames = exchange_compressed(&sent).await;
    let messages: Vec<_> = frames[..4].iter().map(inflated).collect();
    assert_eq!(messages, [b"plain".as_slice(), b"Hello", b"", b""]);
    assert_eq!(frames[4..], [Frame::close(1000)]);
}

#[tokio::test]
async fn misuse_of_compression_fails_the_connection() {
    let hello = deflated(b"Hello, Hello, Hello", 6);
    let bomb = deflated(&vec![b'0'; DECOMPRESSED_MAX + 1], 9);
    let too_big = [
        &1009_u16.to_be_bytes(),
        b"message too big after decompression".as_slice(),
    ]
    .concat();
    let table = [
        (
            "ping",
            vec![frame(FIN | RSV1 | PING, b"")],
            Frame::close(1002),
        ),
        (
            "close",
            vec![frame(FIN | RSV1 | CLOSE, b"")],
            Frame::close(1002),
        ),
        (
            "second reserved bit",
            vec![frame(FIN | 0x60 | TEXT, &hello)],
            Frame::close(1002),
        ),
        (
            "continuation",
            vec![
                frame(RSV1 | TEXT, &hello[..3]),
                frame(FIN | RSV1 | CONTINUATION, &hello[3..]),
            ],
            Frame::close(1002),
        ),
        (
            "continuation only",
            vec![
                frame(BINARY, &hello[..3]),
                frame(FIN | RSV1 | CONTINUATION, &hello[3..]),
            ],
            Frame::close(1002),
        ),
        (
            "no compressed data",
            vec![frame(FIN | RSV1 | TEXT, b"Hello, world")],
            Frame::close(1007),
        ),
        (
            "cut short",
            vec![frame(FIN | RSV1 | BINARY, &hello[..hello.len() - 2])],
            Frame::close(1007),
        ),
        (
            "no text",
            vec![frame(FIN | RSV1 | TEXT, &deflated(INVALID[0], 6))],
            Frame::close(1007),
        ),
        (
            "bomb",
            vec![frame(FIN | RSV1 | BINARY, &bomb)],
            Frame::new(CLOSE, too_big),
        ),
    ];
    for (name, chunks, expected) in table {
        assert_eq!(exchange_compressed(&chunks).await, [expected], "{name}");
    }
}

#[tokio::test]
async fn compression_is_an_error_where_it_was_not_negotiated() {
    let chunks = vec![frame(FIN | RSV1 | TEXT, &deflated(b"Hello", 6))];
    run(vec![case(
        "12 without offer",
        chunks,
        vec![],
        End::Fail(1002),
    )])
    .await;
}

#[tokio::test]
async fn offers_are_answered_without_context_and_window() {
    // 13.1 to 13.7.
    let echo = start_echo().await;
    let answer = "\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    for (offer, accepted) in [
        ("permessage-deflate", true),
        (
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
            true,
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_max_window_bits",
            true,
        ),
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=9",
            false,
        ),
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate; client_max_window_bits",
            true,
        ),
        ("permessage-deflate; unknown", false),
        ("x-other", false),
    ] {
        let (stream, head) = open(echo, Some(offer)).await;
        assert_eq!(head.contains(answer), accepted, "{offer}: {head}");
        assert_eq!(
            head.contains("sec-websocket-extensions"),
            accepted,
            "{offer}: {head}"
        );
        let message = "the same words, the same words, the same words";
        let first = if accepted { RSV1 } else { 0 };
        let sent = [frame(FIN | TEXT, message.as_bytes()), close(1000, "")];
        let frames = exchange(stream, &sent).await;
        assert_eq!(frames[0].first, FIN | TEXT | first, "{offer}");
        assert_eq!(inflated(&frames[0]), message.as_bytes(), "{offer}");
    }
}

#[tokio::test]
async fn handshake_of_the_rfc_is_answered() {
    let (_, head) = open(start_echo().await, None).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{head}"
    );
}
