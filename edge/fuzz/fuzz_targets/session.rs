//! Fuzz target; its body is shared with the test that replays the corpus.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidewire_edge::fuzzing::session(input));
