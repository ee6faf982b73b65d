use std::io::{Read as _, Write as _};

use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use hyper::http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 65_536;

fn offers(values: &[&'static str]) -> Option<&'static str> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(value));
    }
    negotiate(&headers)
}

fn inflate(payload: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    Inflater::new().inflate(payload, limit)
}

/// Compresses whatever the gain, by writing and flushing a stream.
fn compressed(message: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(message).unwrap();
    encoder.flush().unwrap();
    let payload = encoder.get_ref().clone();
    payload.strip_suffix(&TAIL).unwrap().to_vec()
}

/// Decompresses a message with the stream decoder of the library.
fn streamed(payload: &[u8]) -> Vec<u8> {
    let whole = [payload, &END].concat();
    let mut message = Vec::new();
    DeflateDecoder::new(whole.as_slice())
        .read_to_end(&mut message)
        .unwrap();
    message
}

#[test]
fn acceptable_offers_get_the_one_answer() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=\"15\"",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
        "foo; a=\"x, y; z\", permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        "permessage-deflate ; client_no_context_takeover",
    ] {
        let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(offers(&[offer]), Some(answer), "{offer}");
        assert_eq!(offers(&["foo", offer]), Some(answer), "{offer}");
    }
}

#[test]
fn other_offers_are_declined() {
    for offer in [
        "",
        "foo",
        "permessage-deflated",
        "permessage-deflate; ",
        "permessage-deflate; foo",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=\"\"",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "foo; a=\", permessage-deflate",
    ] {
        assert_eq!(offers(&[offer]), None, "{offer}");
    }
    assert_eq!(offers(&[]), None);
}

#[test]
fn examples_of_the_rfc_are_read() {
    // Section 7.2.3: one block, no compression, a last block, and two blocks.
    for payload in [
        [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00].as_slice(),
        &[
            0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ],
    ] {
        assert_eq!(inflate(payload, LIMIT).unwrap(), b"Hello", "{payload:x?}");
    }
}

#[test]
fn empty_messages_are_read() {
    assert_eq!(inflate(&[0x00], 0).unwrap(), b"");
    // Nothing at all is not even the first bits of a block.
    assert_eq!(inflate(&[], 0), Err(InflateError::Malformed));
    assert_eq!(inflate(&[0x02, 0x00], 0).unwrap(), b"");
    assert_eq!(inflate(&[0x03, 0x00], 0).unwrap(), b"");
}

#[test]
fn message_may_end_with_a_last_block() {
    assert_eq!(
        inflate(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], LIMIT).unwrap(),
        b"Hello"
    );
}

#[test]
fn message_may_be_several_sequences() {
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let payload = [hello.repeat(3).as_slice(), &[0x00]].concat();
    assert_eq!(inflate(&payload, LIMIT).unwrap(), b"HelloHelloHello");
    let empty = [0x03, 0x00].repeat(10_000);
    assert_eq!(inflate(&empty, LIMIT).unwrap(), b"");
}

#[test]
fn hello_is_compressed_as_in_the_rfc() {
    // Two bytes longer than the text: `deflate` would send it as it is.
    assert_eq!(
        compressed(b"Hello", 6),
        [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]
    );
    assert_eq!(Deflater::new(6, 0).deflate(b"Hello"), None);
}

#[test]
fn messages_do_not_depend_on_those_before() {
    let message = b"{\"data\":\"the same words in each message, the same words\"}";
    let mut deflater = Deflater::new(1, 0);
    let first = deflater.deflate(message).unwrap();
    deflater.deflate(&[b'x'; 5000]).unwrap();
    assert_eq!(deflater.deflate(message).unwrap(), first);
    assert_eq!(streamed(&first), message);
    let mut inflater = Inflater::new();
    for _ in 0..3 {
        assert_eq!(inflater.inflate(&first, LIMIT).unwrap(), message);
    }
}

#[test]
fn only_messages_over_the_least_size_are_compressed() {
    let mut deflater = Deflater::new(1, 100);
    assert_eq!(deflater.deflate(&[b'x'; 100]), None);
    assert_eq!(
        streamed(&deflater.deflate(&[b'x'; 101]).unwrap()),
        [b'x'; 101]
    );
    assert_eq!(Deflater::new(1, 0).deflate(b""), None);
}

#[test]
fn message_that_does_not_become_shorter_is_sent_as_it_is() {
    let noise: Vec<u8> = (0..4000_u64)
        .flat_map(|i| (i * i * 0x9E37_79B9).to_be_bytes().map(|b| b ^ 0x5A)[3..5].to_vec())
        .collect();
    let stored = Deflater::new(0, 0).deflate(&noise);
    assert_eq!(stored, None);
    assert_eq!(Deflater::new(1, 0).deflate(b"abc"), None);
}

#[test]
fn levels_trade_size() {
    let text: Vec<u8> = (0..3000_u32)
        .flat_map(|i| format!("{},", i * i % 977).into_bytes())
        .collect();
    let size = |level| Deflater::new(level, 0).deflate(&text).unwrap().len();
    assert!(size(9) < size(1));
    assert_eq!(size(100), size(9));
}

#[test]
fn limit_is_exact() {
    let payload = compressed(&[b'x'; 3000], 9);
    assert_eq!(inflate(&payload, 3000).unwrap(), [b'x'; 3000]);
    assert_eq!(inflate(&payload, 2999), Err(InflateError::TooBig(2999)));
    assert_eq!(inflate(&payload, 0), Err(InflateError::TooBig(0)));
    assert_eq!(inflate(&payload, usize::MAX).unwrap().len(), 3000);
}

#[test]
fn bomb_is_refused_with_little_memory() {
    let bomb = compressed(&vec![0; 16 << 20], 9);
    assert!(bomb.len() < LIMIT / 2, "{}", bomb.len());
    let mut inflater = Inflater::new();
    assert_eq!(
        inflater.inflate(&bomb, LIMIT),
        Err(InflateError::TooBig(LIMIT))
    );
    assert_eq!(
        inflater
            .inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], LIMIT)
            .unwrap(),
        b"Hello"
    );
    let mut message = Vec::with_capacity(ROOM_MIN);
    let mut input = bomb.as_slice();
    inflater.decompress.reset(false);
    while let Ok((rest, _)) = inflater.step(input, &mut message, LIMIT) {
        input = rest;
        assert!(message.capacity() <= 2 * LIMIT);
    }
    assert!(message.len() == LIMIT + 1, "{}", message.len());
}

#[test]
fn what_is_not_compressed_data_is_malformed() {
    for payload in [
        b"\xff".as_slice(),
        b"Hello, world",
        // Cut short: the code of the block's end is missing.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9],
        // A stored block that is longer than the message.
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65],
        // A copy from before the beginning.
        &[0x02, 0x13, 0x00, 0x00],
        // A last block and then something else.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xff],
    ] {
        assert_eq!(
            inflate(payload, LIMIT),
            Err(InflateError::Malformed),
            "{payload:x?}"
        );
    }
}

#[test]
fn errors_name_their_close_code_and_reason() {
    assert_eq!(InflateError::TooBig(1).close_code(), 1009);
    assert_eq!(
        InflateError::TooBig(1).close_reason(),
        "message too big after decompression"
    );
    assert_eq!(InflateError::Malformed.close_code(), 1007);
    assert_eq!(InflateError::Malformed.close_reason(), "");
}

/// Runs, words and noise.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (any::<u8>(), 0..2000_usize).prop_map(|(byte, count)| vec![byte; count]),
        vec(any::<u8>(), 0..200),
        (
            prop::sample::select(vec!["{\"push\":", "channel", "data"]),
            1..20_usize
        )
            .prop_map(|(word, count)| word.repeat(count).into_bytes()),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn messages_come_back_however_they_were_compressed(message in message(), level in 0..10_u32) {
        let limit = message.len();
        prop_assert_eq!(&inflate(&compressed(&message, level), limit).unwrap(), &message);
        if let Some(payload) = Deflater::new(level, 0).deflate(&message) {
            prop_assert!(payload.len() < message.len());
            prop_assert_eq!(&streamed(&payload), &message);
            prop_assert_eq!(&inflate(&payload, limit).unwrap(), &message);
            prop_assert_eq!(inflate(&payload, limit - 1), Err(InflateError::TooBig(limit - 1)));
        }
    }

    #[test]
    fn arbitrary_payloads_never_panic_nor_exceed_the_limit(
        payload in vec(any::<u8>(), 0..200),
        start in prop::sample::select(vec![vec![], vec![0x02], vec![0x04], vec![0x05], vec![0xf2, 0x48]]),
        limit in 0..5000_usize,
    ) {
        let mut inflater = Inflater::new();
        if let Ok(message) = inflater.inflate(&[start, payload].concat(), limit) {
            prop_assert!(message.len() <= limit);
        }
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        prop_assert_eq!(inflater.inflate(&hello, 5).unwrap(), b"Hello");
    }

    #[test]
    fn offers_never_panic(offer in "([a-z;,=\" ]|permessage-deflate|client_max_window_bits){0,20}") {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(&offer).unwrap());
        let answer = negotiate(&headers);
        prop_assert!(answer.is_none() || offer.contains("permessage-deflate"));
    }
}
