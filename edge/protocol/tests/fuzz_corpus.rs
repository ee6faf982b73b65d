//! Replays the committed corpus of the fuzz targets.

use std::fs;
use std::path::Path;

use tidewire_protocol::fuzzing;

/// Runs every file of a target's corpus; fails if there is none.
fn replay(target: &str, run: fn(&[u8])) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        run(&fs::read(entry?.path())?);
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
    Ok(())
}

#[test]
fn corpus_of_json_commands_holds() {
    replay("commands_json", fuzzing::commands_json).unwrap();
}

#[test]
fn corpus_of_protobuf_commands_holds() {
    replay("commands_protobuf", fuzzing::commands_protobuf).unwrap();
}

#[test]
fn corpus_of_replies_holds() {
    replay("replies", fuzzing::replies).unwrap();
}
