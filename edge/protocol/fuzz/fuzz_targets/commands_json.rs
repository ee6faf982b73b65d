//! Fuzz target; its body is shared with the test that replays the corpus.
#![no_main]

libfuzzer_sys::fuzz_target!(|frame: &[u8]| tidewire_protocol::fuzzing::commands_json(frame));
