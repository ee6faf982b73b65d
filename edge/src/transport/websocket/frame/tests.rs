use std::io::Cursor;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

use super::*;

const LIMIT: usize = 65_536;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// An [`Event`] that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Message(Opcode, Vec<u8>),
    Compressed(Opcode, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, MASK)
}

fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let (head, size) = header(Opcode::Text, payload.len());
    let mut bytes = head[..size].to_vec();
    bytes[0] = first;
    bytes[1] |= MASKED;
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, k)| b ^ k));
    bytes
}

/// Feeds the chunks as a connection would: unconsumed bytes are kept.
fn feed<'c>(
    decoder: &mut Decoder,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    limit: usize,
) -> (Vec<Seen>, Result<usize, Violation>) {
    let mut seen = Vec::new();
    let mut kept: Vec<u8> = Vec::new();
    for chunk in chunks {
        kept.extend_from_slice(chunk);
        loop {
            let (consumed, event) = match decoder.decode(&mut kept, limit) {
                Ok(decoded) => decoded,
                Err(violation) => return (seen, Err(violation)),
            };
            let end = matches!(event, Event::Incomplete);
            match event {
                Event::Incomplete => {}
                Event::Message {
                    opcode,
                    payload,
                    compressed,
                } => {
                    let seen_as = if compressed {
                        Seen::Compressed
                    } else {
                        Seen::Message
                    };
                    seen.push(seen_as(opcode, payload.into_owned()));
                }
                Event::Ping(payload) => seen.push(Seen::Ping(payload.to_vec())),
                Event::Pong(payload) => seen.push(Seen::Pong(payload.to_vec())),
                Event::Close { code, reason } => seen.push(Seen::Close(code, reason.to_owned())),
            }
            kept.drain(..consumed);
            if end {
                break;
            }
        }
    }
    (seen, Ok(kept.len()))
}

fn decode_with(utf8: Utf8, bytes: &[u8], limit: usize) -> (Vec<Seen>, Result<usize, Violation>) {
    feed(&mut Decoder::new(utf8), [bytes], limit)
}

fn events(bytes: &[u8]) -> Vec<Seen> {
    let (seen, end) = decode_with(Utf8::Unchecked, bytes, LIMIT);
    assert_eq!(end, Ok(0));
    seen
}

fn violation(bytes: &[u8]) -> Violation {
    decode_with(Utf8::Unchecked, bytes, LIMIT).1.unwrap_err()
}

fn text(payload: &str) -> Seen {
    Seen::Message(Opcode::Text, payload.as_bytes().to_vec())
}

#[test]
fn idle_decoder_is_two_words() {
    assert_eq!(size_of::<Decoder>(), 16);
}

#[test]
fn masked_hello_of_the_rfc_is_decoded_in_place() {
    let mut bytes = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let mut decoder = Decoder::default();
    let (consumed, event) = decoder.decode(&mut bytes, LIMIT).unwrap();
    assert_eq!(consumed, 11);
    let expected = Event::Message {
        opcode: Opcode::Text,
        payload: Cow::Borrowed(b"Hello"),
        compressed: false,
    };
    assert_eq!(event, expected);
    assert!(matches!(
        event,
        Event::Message {
            payload: Cow::Borrowed(_),
            ..
        }
    ));
    assert_eq!(&bytes[6..], b"Hello");
}

#[test]
fn fragmented_hello_of_the_rfc_is_joined_around_a_ping() {
    let mut bytes = frame(0x01, b"Hel");
    bytes.extend(frame(0x89, b"Hello"));
    bytes.extend(frame(0x80, b"lo"));
    assert_eq!(
        events(&bytes),
        [Seen::Ping(b"Hello".to_vec()), text("Hello")]
    );
}

#[test]
fn server_frames_of_the_rfc_are_written() {
    let mut out = Vec::new();
    write_frame(&mut out, Opcode::Text, b"Hello");
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(pong(b"Hello"), [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(header(Opcode::Binary, 256).0[..4], [0x82, 0x7e, 0x01, 0x00]);
    let (head, size) = header(Opcode::Binary, 65_536);
    assert_eq!(head[..size], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn header_has_the_shortest_length_form() {
    for (len, size) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        assert_eq!(header(Opcode::Text, len).1, size, "{len}");
    }
}

#[test]
fn empty_messages_and_pings_are_events() {
    let mut bytes = frame(0x81, b"");
    bytes.extend(frame(0x82, b""));
    bytes.extend(frame(0x89, b""));
    bytes.extend(frame(0x8a, b"x"));
    bytes.extend(frame(0x88, b""));
    let expected = [
        text(""),
        Seen::Message(Opcode::Binary, Vec::new()),
        Seen::Ping(Vec::new()),
        Seen::Pong(b"x".to_vec()),
        Seen::Close(None, String::new()),
    ];
    assert_eq!(events(&bytes), expected);
}

#[test]
fn fragment_memory_is_released_with_the_message() {
    let mut decoder = Decoder::default();
    let (_, end) = feed(&mut decoder, [&*frame(0x02, b"a")], LIMIT);
    assert_eq!(end, Ok(0));
    assert!(decoder.is_mid_message());
    let (seen, _) = feed(&mut decoder, [&*frame(0x80, b"b")], LIMIT);
    assert_eq!(seen, [Seen::Message(Opcode::Binary, b"ab".to_vec())]);
    assert!(!decoder.is_mid_message());
}

#[test]
fn each_header_fault_is_its_own_violation() {
    let mut continued = frame(0x01, b"a");
    continued.extend(frame(0x81, b"b"));
    let table: [(&[u8], Violation); 13] = [
        (&[0xC1], Violation::ReservedBits(0xC1)),
        (&[0xA1], Violation::ReservedBits(0xA1)),
        (&[0x91], Violation::ReservedBits(0x91)),
        (&[0x83], Violation::UnknownOpcode(3)),
        (&[0x8b], Violation::UnknownOpcode(11)),
        (&[0x81, 0x05], Violation::Unmasked),
        (&[0x88, 0x00], Violation::Unmasked),
        (&[0x09], Violation::FragmentedControl),
        (&[0x89, 0xfe], Violation::ControlTooLong),
        (&[0x88, 0xff], Violation::ControlTooLong),
        (&[0x80], Violation::UnexpectedContinuation),
        (&continued, Violation::InterruptedMessage),
        (
            &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
            Violation::LengthOverflow,
        ),
    ];
    for (bytes, expected) in table {
        assert_eq!(violation(bytes), expected, "{bytes:x?}");
        assert_eq!(expected.close_code(), 1002, "{expected}");
    }
}

fn compressing(utf8: Utf8, bytes: &[u8]) -> (Vec<Seen>, Result<usize, Violation>) {
    feed(&mut Decoder::new(utf8).allow_compressed(), [bytes], LIMIT)
}

#[test]
fn compressed_messages_are_told_apart_where_negotiated() {
    let mut bytes = frame(0xC1, b"a");
    bytes.extend(frame(0x81, b"b"));
    bytes.extend(frame(0x42, b"c"));
    bytes.extend(frame(0x89, b"ping"));
    bytes.extend(frame(0x00, b"d"));
    bytes.extend(frame(0x80, b"e"));
    let expected = vec![
        Seen::Compressed(Opcode::Text, b"a".to_vec()),
        text("b"),
        Seen::Ping(b"ping".to_vec()),
        Seen::Compressed(Opcode::Binary, b"cde".to_vec()),
    ];
    assert_eq!(compressing(Utf8::Unchecked, &bytes), (expected, Ok(0)));
}

#[test]
fn first_reserved_bit_is_for_first_frames_of_messages_only() {
    let mut continued = frame(0x01, b"a");
    continued.push(0xC0);
    let mut compressed = frame(0x41, b"a");
    compressed.push(0x40);
    let table: [(&[u8], u8); 9] = [
        (&[0xC8], 0xC8),
        (&[0xC9], 0xC9),
        (&[0xCA], 0xCA),
        (&[0xC0], 0xC0),
        (&continued, 0xC0),
        (&compressed, 0x40),
        (&[0xE1], 0xE1),
        (&[0xD2], 0xD2),
        (&[0xC3], 0xC3),
    ];
    for (bytes, first) in table {
        let (_, end) = compressing(Utf8::Unchecked, bytes);
        assert_eq!(end, Err(Violation::ReservedBits(first)), "{bytes:x?}");
    }
}

#[test]
fn compressed_text_is_left_to_who_decompresses_it() {
    for first in [0xC1, 0x41] {
        let (_, end) = compressing(Utf8::Check, &frame(first, b"\xff"));
        assert_eq!(end, Ok(0), "{first:x}");
        let plain = frame(first & !RSV1, b"\xff");
        assert_eq!(
            compressing(Utf8::Check, &plain).1,
            Err(Violation::InvalidUtf8)
        );
    }
}

#[test]
fn compressed_frames_differ_from_others_in_one_bit() {
    for len in [0, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; len];
        let (mut plain, mut compressed) = (Vec::new(), Vec::new());
        write_frame(&mut plain, Opcode::Text, &payload);
        write_compressed_frame(&mut compressed, Opcode::Text, &payload);
        assert_eq!(compressed[0], plain[0] | RSV1);
        assert!(compressed[1..] == plain[1..], "{len}");
    }
}

#[test]
fn continuation_after_a_finished_message_is_a_violation() {
    let mut bytes = frame(0x01, b"a");
    bytes.extend(frame(0x80, b"b"));
    bytes.extend(frame(0x80, b"c"));
    let (seen, end) = decode_with(Utf8::Unchecked, &bytes, LIMIT);
    assert_eq!(seen, [text("ab")]);
    assert_eq!(end, Err(Violation::UnexpectedContinuation));
}

#[test]
fn close_codes_are_those_that_may_be_sent() {
    let valid = |code: u16| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    for code in 0..=u16::MAX {
        let (seen, end) = decode_with(Utf8::Unchecked, &frame(0x88, &code.to_be_bytes()), LIMIT);
        if valid(code) {
            assert_eq!(seen, [Seen::Close(Some(code), String::new())]);
        } else {
            assert_eq!(end, Err(Violation::InvalidCloseCode(code)));
        }
    }
}

#[test]
fn malformed_close_payloads_are_violations() {
    assert_eq!(violation(&frame(0x88, b"x")), Violation::TruncatedCloseCode);
    let invalid = violation(&frame(0x88, b"\x03\xe8\xff"));
    assert_eq!(invalid, Violation::InvalidUtf8);
    assert_eq!(invalid.close_code(), 1007);
    let expected = [Seen::Close(Some(1000), "tschüss".to_owned())];
    assert_eq!(events(&frame(0x88, b"\x03\xe8tsch\xc3\xbcss")), expected);
}

#[test]
fn message_over_the_limit_is_refused_from_its_header_alone() {
    let exact = vec![b'x'; 200];
    assert_eq!(
        decode_with(Utf8::Unchecked, &frame(0x82, &exact), 200).1,
        Ok(0)
    );
    let head = &frame(0x82, &[0; 201])[..4];
    let (seen, end) = decode_with(Utf8::Unchecked, head, 200);
    assert!(seen.is_empty());
    assert_eq!(end, Err(Violation::TooBig(200)));
    assert_eq!(Violation::TooBig(200).close_code(), 1009);
    let huge = [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(violation(&huge), Violation::TooBig(LIMIT));
}

#[test]
fn limit_counts_all_fragments_but_no_control_frames() {
    let mut bytes = frame(0x01, b"abc");
    bytes.extend(frame(0x89, b"longer than the limit"));
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x80, b"de"));
    let (seen, end) = decode_with(Utf8::Unchecked, &bytes, 5);
    assert_eq!((seen.len(), end), (2, Ok(0)));
    assert_eq!(
        decode_with(Utf8::Unchecked, &bytes, 4).1,
        Err(Violation::TooBig(4))
    );
}

#[test]
fn text_is_checked_only_when_asked() {
    let bytes = frame(0x81, b"\xff");
    assert_eq!(events(&bytes), [Seen::Message(Opcode::Text, vec![0xff])]);
    let strict = decode_with(Utf8::Check, &bytes, LIMIT).1;
    assert_eq!(strict, Err(Violation::InvalidUtf8));
    let binary = decode_with(Utf8::Check, &frame(0x82, b"\xff"), LIMIT);
    assert_eq!(binary.1, Ok(0));
}

#[test]
fn character_may_be_cut_between_fragments_but_not_at_the_end() {
    let mut bytes = frame(0x01, b"\xe2\x82");
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x80, b"\xac"));
    assert_eq!(decode_with(Utf8::Check, &bytes, LIMIT).0, [text("€")]);
    let mut cut = frame(0x01, b"ok");
    cut.extend(frame(0x80, b"\xe2\x82"));
    assert_eq!(
        decode_with(Utf8::Check, &cut, LIMIT).1,
        Err(Violation::InvalidUtf8)
    );
}

#[test]
fn invalid_text_is_found_in_the_fragment_that_holds_it() {
    let bytes = frame(0x01, b"ok\xed\xa0\x80");
    assert_eq!(
        decode_with(Utf8::Check, &bytes, LIMIT).1,
        Err(Violation::InvalidUtf8)
    );
}

#[test]
fn close_reason_is_cut_at_a_character() {
    let frame = close_frame(3501, &"ü".repeat(62));
    assert_eq!(frame[..4], [0x88, 124, 0x0d, 0xad]);
    assert_eq!(&frame[4..], "ü".repeat(61).as_bytes());
    let exact = close_frame(3000, &"x".repeat(123));
    assert_eq!((exact[1], exact.len()), (125, 127));
    assert_eq!(close_frame(1000, "bye"), b"\x88\x05\x03\xe8bye");
}

#[test]
fn close_answer_repeats_the_code_without_reason() {
    assert_eq!(close_answer(Some(3001)), [0x88, 2, 0x0b, 0xb9]);
    assert_eq!(close_answer(None), [0x88, 0]);
}

#[test]
fn oversized_pong_payload_is_cut() {
    assert_eq!(pong(&[7; 200]).len(), 127);
    assert_eq!(PING, *control_frame(Opcode::Ping, &[]));
}

/// One client message or control frame, as its frames and what is to be seen.
fn client_item() -> impl Strategy<Value = (Vec<Vec<u8>>, Seen)> {
    let payload = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 120..300)];
    let message = (
        any::<bool>(),
        payload,
        vec(any::<Index>(), 0..4),
        any::<[u8; 4]>(),
    )
        .prop_map(|(is_text, payload, cuts, mask)| {
            let (opcode, first) = if is_text {
                (Opcode::Text, 1)
            } else {
                (Opcode::Binary, 2)
            };
            let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(payload.len() + 1)).collect();
            cuts.extend([0, payload.len()]);
            cuts.sort_unstable();
            let frames = cuts.windows(2).enumerate().map(|(i, cut)| {
                let fin = if i + 2 == cuts.len() { FIN } else { 0 };
                let first = if i == 0 { first } else { 0 };
                masked(fin | first, &payload[cut[0]..cut[1]], mask)
            });
            (frames.collect(), Seen::Message(opcode, payload.clone()))
        });
    let control = (any::<bool>(), vec(any::<u8>(), 0..=125), any::<[u8; 4]>()).prop_map(
        |(is_ping, payload, mask)| {
            let first = if is_ping { 0x89 } else { 0x8a };
            let frames = vec![masked(first, &payload, mask)];
            let seen = if is_ping {
                Seen::Ping(payload)
            } else {
                Seen::Pong(payload)
            };
            (frames, seen)
        },
    );
    prop_oneof![2 => message, 1 => control]
}

fn split<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

proptest! {
    #[test]
    fn valid_frames_give_their_messages_however_they_arrive(
        items in vec(client_item(), 0..6),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let bytes: Vec<u8> = items.iter().flat_map(|(frames, _)| frames.concat()).collect();
        let expected: Vec<Seen> = items.into_iter().map(|(_, seen)| seen).collect();
        let whole = decode_with(Utf8::Unchecked, &bytes, LIMIT);
        prop_assert_eq!(&whole, &(expected, Ok(0)));
        let chunks = split(&bytes, &cuts);
        prop_assert_eq!(&feed(&mut Decoder::default(), chunks, LIMIT), &whole);
        let single = feed(&mut Decoder::default(), bytes.chunks(1), LIMIT);
        prop_assert_eq!(&single, &whole);
    }

    #[test]
    fn control_frames_pass_between_any_two_fragments(
        payload in vec(any::<u8>(), 0..50),
        at in any::<Index>(),
        ping in vec(any::<u8>(), 0..20),
    ) {
        let (head, tail) = payload.split_at(at.index(payload.len() + 1));
        let mut bytes = frame(0x02, head);
        bytes.extend(frame(0x89, &ping));
        bytes.extend(frame(0x80, tail));
        let expected = [Seen::Ping(ping), Seen::Message(Opcode::Binary, payload.clone())];
        prop_assert_eq!(events(&bytes), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_split_the_same(
        bytes in vec(prop_oneof![any::<u8>(), Just(0x80), Just(0x81), Just(0x01), Just(0x00), Just(0xC1)], 0..80),
        cuts in vec(any::<Index>(), 0..8),
        limit in 0_usize..100,
        strict: bool,
        compression: bool,
    ) {
        let decoder = || {
            let decoder = Decoder::new(if strict { Utf8::Check } else { Utf8::Unchecked });
            if compression { decoder.allow_compressed() } else { decoder }
        };
        let whole = feed(&mut decoder(), [&*bytes], limit);
        let chunks = split(&bytes, &cuts);
        prop_assert_eq!(feed(&mut decoder(), chunks, limit), whole);
    }

    #[test]
    fn header_agrees_with_tungstenite(bytes in vec(any::<u8>(), 0..16), masked: bool) {
        let mut bytes = bytes;
        if let Some(second) = bytes.get_mut(1).filter(|_| masked) {
            *second |= MASKED;
        }
        let ours = Decoder::default().header(&bytes, usize::MAX);
        let mut cursor = Cursor::new(&bytes);
        let Ok(theirs) = FrameHeader::parse(&mut cursor) else {
            // Only the opcode is judged there.
            prop_assert!(ours.is_err());
            return Ok(());
        };
        match ours {
            Ok(None) => prop_assert!(theirs.is_none()),
            Ok(Some(ours)) => {
                let (theirs, len) = theirs.unwrap();
                prop_assert_eq!(Some(ours.mask), theirs.mask);
                prop_assert_eq!(ours.fin, theirs.is_final);
                prop_assert_eq!(ours.payload_len as u64, len);
                prop_assert_eq!(ours.size as u64, cursor.position());
                prop_assert!(!theirs.rsv1 && !theirs.rsv2 && !theirs.rsv3);
                let opcode = match ours.kind {
                    Kind::Data { opcode, .. } | Kind::Control(opcode) => opcode.wire(),
                    Kind::Continuation => 0,
                };
                prop_assert_eq!(opcode, u8::from(theirs.opcode));
            }
            // Theirs judges these elsewhere, or not without the whole header.
            Err(violation) => match (violation, theirs) {
                (Violation::ReservedBits(_), Some((header, _))) => {
                    prop_assert!(header.rsv1 || header.rsv2 || header.rsv3);
                }
                (Violation::Unmasked, Some((header, _))) => prop_assert!(header.mask.is_none()),
                (Violation::FragmentedControl, Some((header, _))) => {
                    prop_assert!(!header.is_final);
                    prop_assert!(matches!(header.opcode, OpCode::Control(_)));
                }
                (Violation::ControlTooLong, Some((header, len))) => {
                    prop_assert!(matches!(header.opcode, OpCode::Control(_)));
                    prop_assert!(len > 125 || bytes[1] & 0x7f > 125);
                }
                (Violation::UnexpectedContinuation, Some((header, _))) => {
                    prop_assert_eq!(header.opcode, OpCode::Data(Data::Continue));
                }
                (Violation::LengthOverflow, Some((_, len))) => prop_assert!(len >> 63 == 1),
                (_, None) => {}
                (other, Some(_)) => prop_assert!(false, "{other}"),
            },
        }
    }

    #[test]
    fn frames_written_by_tungstenite_are_read(
        payload in vec(any::<u8>(), 0..70_000),
        mask: [u8; 4],
    ) {
        let message = Frame::message(payload.clone(), OpCode::Data(Data::Binary), true);
        let mut written = Vec::new();
        let mut frame_header = message.header().clone();
        frame_header.mask = Some(mask);
        Frame::from_payload(frame_header, payload.clone().into()).format(&mut written).unwrap();
        let expected = vec![Seen::Message(Opcode::Binary, payload)];
        prop_assert_eq!(decode_with(Utf8::Unchecked, &written, 70_000), (expected, Ok(0)));
    }

    #[test]
    fn our_headers_are_those_of_tungstenite(len in prop_oneof![0..130_usize, 65_530..65_540_usize, any::<usize>()]) {
        let opcodes = [
            (Opcode::Text, OpCode::Data(Data::Text)),
            (Opcode::Binary, OpCode::Data(Data::Binary)),
            (Opcode::Close, OpCode::Control(Control::Close)),
            (Opcode::Ping, OpCode::Control(Control::Ping)),
            (Opcode::Pong, OpCode::Control(Control::Pong)),
        ];
        for (opcode, theirs) in opcodes {
            let mut written = Vec::new();
            let theirs = FrameHeader { opcode: theirs, ..FrameHeader::default() };
            theirs.format(len as u64, &mut written).unwrap();
            let (head, size) = header(opcode, len);
            prop_assert_eq!(&head[..size], &*written);
        }
    }

    #[test]
    fn close_frames_are_those_of_tungstenite(code in 1000..5000_u16, reason in ".{0,30}") {
        let mut written = Vec::new();
        let close = CloseFrame { code: code.into(), reason: reason.clone().into() };
        Frame::close(Some(close)).format(&mut written).unwrap();
        prop_assert_eq!(close_frame(code, &reason), written);
    }
}
