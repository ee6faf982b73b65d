//! Replays the committed corpus of the fuzz targets, and tries the session with more.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

/// Runs every file of a target's corpus; fails if there is none.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        run(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}

#[test]
fn corpus_of_api_holds() {
    replay("api", super::api);
}

#[test]
fn corpus_of_bodies_holds() {
    replay("bodies", super::bodies);
}

#[test]
fn corpus_of_deltas_holds() {
    replay("deltas", super::deltas);
}

#[test]
fn corpus_of_filters_holds() {
    replay("filters", super::filters);
}

#[test]
fn corpus_of_frames_holds() {
    replay("frames", super::frames);
}

#[test]
fn corpus_of_sessions_holds() {
    replay("session", super::session);
}

#[test]
fn corpus_of_tokens_holds() {
    replay("tokens", super::tokens);
}

proptest! {
    #[test]
    fn a_session_keeps_its_promises_whatever_comes(input in vec(any::<u8>(), 0..400)) {
        super::session(&input);
    }
}
