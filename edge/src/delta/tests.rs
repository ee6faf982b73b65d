use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// What the client of an encoding holds after it got the data.
fn receive(encoding: Encoding, old: &[u8], got: &Data<'_>) -> Vec<u8> {
    let bytes = match encoding {
        Encoding::Json => raw::unquote(&got.data).unwrap().into_bytes(),
        Encoding::Protobuf => got.data.to_vec(),
    };
    if got.delta {
        apply(old, &bytes, usize::MAX).unwrap()
    } else {
        bytes
    }
}

#[test]
fn patches_are_those_of_the_reference_program() {
    // Observed: transcripts `delta-fossil-json`, `delta-after-empty-recovery`,
    // `delta-with-tags-filter` and, of the bytes before it replaced one, `delta-multibyte`.
    let a60 = "a".repeat(60);
    let a40 = "a".repeat(40);
    let table = [
        (
            format!("{{\"text\":\"{a60}\",\"n\":1}}"),
            format!("{{\"text\":\"{a60}\",\"n\":2}}"),
            b"1D\n1B@0,2:2}2qZw6Y;".as_slice(),
        ),
        (
            format!("{{\"t\":\"{a40}\",\"n\":1}}"),
            format!("{{\"t\":\"{a40}\",\"n\":7}}"),
            b"r\np@0,2:7}3S~OPI;",
        ),
        (
            format!("{{\"t\":\"{a40}\",\"n\":1}}"),
            format!("{{\"t\":\"{a40}\",\"n\":2}}"),
            b"r\np@0,2:2}3N~OPI;",
        ),
        (
            format!("{{\"t\":\"{a40}\",\"c\":\"ж\"}}"),
            format!("{{\"t\":\"{a40}\",\"c\":\"з\"}}"),
            b"u\nr@0,3:\xb7\"}15HZqp;",
        ),
    ];
    for (old, new, expected) in table {
        let patch = create(old.as_bytes(), new.as_bytes());
        assert_eq!(patch, expected, "{new}: {}", patch.escape_ascii());
        assert_eq!(
            apply(old.as_bytes(), expected, new.len()).unwrap(),
            new.as_bytes()
        );
    }
}

#[test]
fn data_without_repetitions_is_inserted() {
    assert_eq!(text(&create(b"", b"")), "0\n0;");
    assert_eq!(text(&create(b"some old data of any length", b"")), "0\n0;");
    assert_eq!(text(&create(b"", b"abc")), "3\n3:abc1XObC0;");
    assert_eq!(
        text(&create(b"short", b"short")),
        "5
5:short3cQ6yn;"
    );
}

#[test]
fn numbers_use_all_digits_in_order() {
    for (length, expected) in [
        (0, "0"),
        (35, "Z"),
        (36, "_"),
        (37, "a"),
        (63, "~"),
        (64, "10"),
        (4095, "~~"),
        (4096, "100"),
    ] {
        let patch = create(b"", &vec![0; length]);
        let line = patch.split(|byte| *byte == b'\n').next().unwrap();
        assert_eq!(text(line), expected);
    }
}

#[test]
fn checksum_adds_big_endian_words() {
    assert_eq!(checksum(b""), 0);
    assert_eq!(checksum(b"\x01"), 0x0100_0000);
    assert_eq!(checksum(b"\x01\x02\x03"), 0x0102_0300);
    assert_eq!(
        checksum(b"\xff\xff\xff\xff\x00\x00\x00\x02\x03"),
        0x0300_0001
    );
}

#[test]
fn moved_and_repeated_blocks_are_copied() {
    let first: Vec<u8> = (0..=255).collect();
    let second: Vec<u8> = (0..=255).rev().collect();
    let old = [first.as_slice(), &second].concat();
    let new = [second.as_slice(), b"!", &first, &second].concat();
    let patch = create(&old, &new);
    assert!(patch.len() < 40, "{}", patch.escape_ascii());
    assert_eq!(apply(&old, &patch, new.len()).unwrap(), new);
}

#[test]
fn malformed_patches_are_errors() {
    let old = b"0123456789";
    let table: [(&[u8], PatchError); 19] = [
        (b"", PatchError::Malformed(0)),
        (b"3", PatchError::Malformed(1)),
        (b"\n", PatchError::Malformed(0)),
        (b"3;", PatchError::Malformed(1)),
        (b"3\n", PatchError::Malformed(2)),
        (b"3\n3", PatchError::Malformed(3)),
        (b"3\n3!", PatchError::Malformed(3)),
        (b"3\n3:ab", PatchError::Malformed(4)),
        (b"3\n3@0", PatchError::Malformed(5)),
        (b"3\n3@0;", PatchError::Malformed(5)),
        (b"3\n3@,", PatchError::Malformed(4)),
        (b"3\n3:abc", PatchError::Malformed(7)),
        (b"0\n0;0", PatchError::Malformed(4)),
        (b"400000\n", PatchError::Malformed(5)),
        (
            b"3\n3@8,",
            PatchError::OutsideOld {
                offset: 8,
                count: 3,
            },
        ),
        (b"3\n4:abcd", PatchError::Length(3)),
        (b"3\n2:ab0;", PatchError::Length(3)),
        (b"G\n", PatchError::TooBig(16)),
        (
            b"3\n3:abc1;",
            PatchError::Checksum {
                expected: 1,
                actual: 0x6162_6300,
            },
        ),
    ];
    for (patch, expected) in table {
        assert_eq!(
            apply(old, patch, 15),
            Err(expected),
            "{}",
            patch.escape_ascii()
        );
    }
}

#[test]
fn numbers_up_to_32_bits_are_read() {
    let greatest = b"3~~~~~\n";
    assert_eq!(
        apply(b"", greatest, usize::MAX),
        Err(PatchError::Malformed(7))
    );
    let greater = b"400000\n";
    assert_eq!(
        apply(b"", greater, usize::MAX),
        Err(PatchError::Malformed(5))
    );
    assert_eq!(apply(b"", b"40\n0;", 255), Err(PatchError::TooBig(256)));
}

#[test]
fn patch_is_sent_only_if_it_is_smaller() {
    let old = br#"{"text":"some words that stay","n":1}"#;
    for (new, delta) in [
        (br#"{"text":"some words that stay","n":2}"#.as_slice(), true),
        (br#"{"n":3}"#, false),
        (b"1", false),
    ] {
        let step = Delta::between(old, new);
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let data = step.data(encoding).unwrap();
            assert_eq!(data.delta, delta);
            assert_eq!(receive(encoding, old, &data), new);
        }
    }
}

#[test]
fn patch_as_long_as_the_data_is_not_sent() {
    let old = b"a block of bytes!!";
    let added: Vec<u8> = (0..49).map(|byte| 190 - byte).collect();
    let new = |added: &[u8]| [added, &old[..16]].concat();
    let (equal, smaller) = (new(&added[..48]), new(&added[..47]));
    assert_eq!(create(old, &equal).len(), equal.len());
    assert!(
        !Delta::between(old, &equal)
            .data(Encoding::Protobuf)
            .unwrap()
            .delta
    );
    assert_eq!(create(old, &smaller).len(), smaller.len() - 1);
    assert!(
        Delta::between(old, &smaller)
            .data(Encoding::Protobuf)
            .unwrap()
            .delta
    );
}

#[test]
fn json_data_is_a_string_in_either_form() {
    let new = br#"{"a": "b"}"#;
    let data = full(Encoding::Json, new).unwrap();
    assert_eq!(text(&data.data), r#""{\"a\": \"b\"}""#);
    assert!(!data.delta);
    let data = full(Encoding::Protobuf, new).unwrap();
    assert_eq!(&*data.data, new);
}

#[test]
fn patch_that_cuts_a_character_is_for_protobuf_only() {
    let stays = "a".repeat(40);
    let old = format!("[\"{stays}\",\"ж\"]");
    let new = format!("[\"{stays}\",\"з\"]");
    let step = Delta::between(old.as_bytes(), new.as_bytes());
    let json = step.data(Encoding::Json).unwrap();
    assert_eq!(json, full(Encoding::Json, new.as_bytes()).unwrap());
    let protobuf = step.data(Encoding::Protobuf).unwrap();
    assert!(protobuf.delta);
    assert_eq!(
        receive(Encoding::Protobuf, old.as_bytes(), &protobuf),
        new.as_bytes()
    );
}

#[test]
fn data_that_is_not_json_is_for_protobuf_only() {
    let old = b"\xff00000000000000000000000000000000000000000";
    let new = b"\xff00000000000000000000000000000000000000001";
    for new in [new.as_slice(), b"zz", b"\xff", b""] {
        let step = Delta::between(old, new);
        assert_eq!(step.data(Encoding::Json), Err(EncodeError::PayloadNotJson));
        let data = step.data(Encoding::Protobuf).unwrap();
        assert_eq!(receive(Encoding::Protobuf, old, &data), new);
    }
}

/// Blocks that are all alike: comparing each place with each block would take minutes.
#[test]
fn hostile_data_takes_linear_time() {
    let size = 1 << 17;
    let almost = |period: usize| -> Vec<u8> {
        (0..size)
            .map(|at| {
                if at % period == period - 1 {
                    b'b'
                } else {
                    b'a'
                }
            })
            .collect()
    };
    let began = Instant::now();
    for period in [16, 17, 31, 1000, size + 1] {
        let (old, new) = (almost(size + 1), almost(period));
        for (old, new) in [(&old, &new), (&new, &old), (&new, &new)] {
            let patch = create(old, new);
            assert_eq!(&apply(old, &patch, size).unwrap(), new);
        }
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Pairs that have pieces in common, as publications of one channel do.
fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let piece = || vec(prop_oneof![Just(b'a'), any::<u8>()], 0..60);
    let pieces = vec(piece(), 1..6);
    (pieces, vec((any::<prop::sample::Index>(), piece()), 0..6)).prop_map(|(pieces, picks)| {
        let new = picks.iter().flat_map(|(index, added)| {
            let kept = pieces[index.index(pieces.len())].iter();
            kept.chain(added).copied()
        });
        (pieces.concat(), new.collect())
    })
}

proptest! {
    #[test]
    fn applying_a_patch_gives_the_new_data((old, new) in pair()) {
        let patch = create(&old, &new);
        prop_assert_eq!(apply(&old, &patch, new.len()), Ok(new));
    }

    #[test]
    fn unrelated_data_comes_back_too(old: Vec<u8>, new: Vec<u8>) {
        let patch = create(&old, &new);
        prop_assert_eq!(apply(&old, &patch, usize::MAX), Ok(new));
    }

    #[test]
    fn every_client_ends_with_the_new_text(old in "[a-c]{0,9}.{0,60}", new in ".{0,60}", tail in "[жзи]{0,3}") {
        let text = |middle: &str| serde_json::to_vec(&[&"same words in both".repeat(2), middle, &tail]).unwrap();
        let (old, new) = (text(&old), text(&new));
        let step = Delta::between(&old, &new);
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let data = step.data(encoding).unwrap();
            prop_assert_eq!(receive(encoding, &old, &data), &*new);
        }
    }

    #[test]
    fn arbitrary_patches_never_panic_nor_exceed_the_limit(old: Vec<u8>, patch: Vec<u8>, limit in 0..300_usize) {
        if let Ok(new) = apply(&old, &patch, limit) {
            prop_assert!(new.len() <= limit);
        }
    }

    #[test]
    fn damaged_patches_never_panic_nor_exceed_their_length(
        (old, new) in pair(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut patch = create(&old, &new);
        let first = patch.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let at = first + at.index(patch.len() - first);
        patch[at] = byte;
        if let Ok(made) = apply(&old, &patch, usize::MAX) {
            prop_assert_eq!(made.len(), new.len());
        }
    }

    #[test]
    fn long_common_prefixes_are_counted(same in vec(any::<u8>(), 0..80), left: Vec<u8>, right: Vec<u8>) {
        let left = [same.as_slice(), &left].concat();
        let right = [same.as_slice(), &right].concat();
        let expected = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
        prop_assert_eq!(create::common_prefix(&left, &right), expected);
    }
}
