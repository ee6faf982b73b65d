//! Our deltas against the decoder of the official JavaScript SDK, which runs in Node.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tidewire_edge::delta::{Delta, create};
use tidewire_protocol::Encoding;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/delta.js");
const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/assets/centrifuge.js");

/// A patch for the SDK, and what it has to make of it.
struct Case {
    line: Vec<u8>,
    made: Vec<u8>,
}

/// What the SDK makes of each case: bytes, or its error.
fn decode(cases: &[Case]) -> Vec<Result<Vec<u8>, String>> {
    let mut node = Command::new("node")
        .args([SCRIPT, BUNDLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node.js is installed");
    let mut input = node.stdin.take().unwrap();
    for case in cases {
        input.write_all(&case.line).unwrap();
        input.write_all(b"\n").unwrap();
    }
    drop(input);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed");
    let output = String::from_utf8(output.stdout).unwrap();
    output
        .lines()
        .map(|line| match line.strip_prefix('!') {
            Some(error) => Err(error.to_owned()),
            None => Ok(STANDARD.decode(line).unwrap()),
        })
        .collect()
}

fn bytes_case(old: &[u8], new: &[u8], patch: &[u8]) -> Case {
    let line = format!("bytes {} {}", STANDARD.encode(old), STANDARD.encode(patch));
    Case {
        line: line.into_bytes(),
        made: new.to_vec(),
    }
}

/// A case as a JSON connection gets it; `None` where it gets the full data.
fn text_case(old: &str, new: &str) -> Option<Case> {
    let step = Delta::between(old.as_bytes(), new.as_bytes());
    let data = step.data(Encoding::Json).unwrap();
    let mut line = format!("text {} ", STANDARD.encode(old)).into_bytes();
    line.extend_from_slice(&data.data);
    data.delta.then_some(Case {
        line,
        made: new.as_bytes().to_vec(),
    })
}

/// Bytes with many repetitions, or none.
fn any_bytes(random: &mut StdRng) -> Vec<u8> {
    let (length, kinds) = (
        random.random_range(0..3000),
        random.random_range(1..=256_u32),
    );
    let byte = |random: &mut StdRng| u8::try_from(random.random_range(0..kinds)).unwrap();
    (0..length).map(|_| byte(random)).collect()
}

/// The old data with pieces moved, repeated, left out and put in.
fn edited(random: &mut StdRng, old: &[u8]) -> Vec<u8> {
    let mut new = Vec::new();
    for _ in 0..random.random_range(0..8) {
        let from = random.random_range(0..=old.len());
        let to = random.random_range(from..=old.len());
        new.extend_from_slice(&old[from..to]);
        let added = any_bytes(random);
        new.extend_from_slice(&added[..added.len() / 30]);
    }
    new
}

/// A state as applications publish it: few fields change from one to the next.
fn document(random: &mut StdRng, tick: u32) -> String {
    let words = [
        "goal",
        "Tor",
        "гол",
        "ゴール",
        "\u{1f945}",
        "a\"b\\c\nd",
        "<b>&\u{2028}",
    ];
    let items: Vec<_> = (0..12)
        .map(|id| {
            let changed = random.random_ratio(1, 6);
            let word = words[if changed {
                random.random_range(0..words.len())
            } else {
                id % words.len()
            }];
            serde_json::json!({"id": id, "word": word, "score": if changed { tick } else { 0 }})
        })
        .collect();
    serde_json::json!({"tick": tick, "items": items}).to_string()
}

fn assert_made(cases: &[Case]) {
    let results = decode(cases);
    assert_eq!(results.len(), cases.len());
    for (number, (case, result)) in cases.iter().zip(&results).enumerate() {
        assert_eq!(result.as_ref(), Ok(&case.made), "case {number}");
    }
}

#[test]
fn sdk_makes_the_new_bytes_of_our_patches() {
    let random = &mut StdRng::seed_from_u64(1);
    let mut cases = Vec::new();
    for _ in 0..300 {
        let old = any_bytes(random);
        for new in [edited(random, &old), any_bytes(random), old.clone()] {
            cases.push(bytes_case(&old, &new, &create(&old, &new)));
        }
    }
    assert_made(&cases);
}

#[test]
fn sdk_makes_the_new_text_of_our_json_strings() {
    let random = &mut StdRng::seed_from_u64(2);
    let documents: Vec<_> = (0..500).map(|tick| document(random, tick)).collect();
    let cases: Vec<_> = documents
        .windows(2)
        .filter_map(|pair| text_case(&pair[0], &pair[1]))
        .collect();
    assert!(cases.len() > 200, "{} patches are text", cases.len());
    assert_made(&cases);
}

#[test]
fn sdk_refuses_a_patch_for_other_data() {
    let old = b"some words that are in both of them: 1";
    let new = b"some words that are in both of them: 2";
    let other = b"any words that are in both of them:: 1";
    let patch = create(old, new);
    let results = decode(&[bytes_case(old, new, &patch), bytes_case(other, new, &patch)]);
    assert_eq!(results, [Ok(new.to_vec()), Err("bad checksum".to_owned())]);
}
