//! Fossil deltas: patches that nobody made, and such as we make.

use crate::delta::{apply, create};

const LIMIT: usize = 1 << 16;

/// The first byte is the length of the old data; the rest is a patch, and new data.
pub fn deltas(input: &[u8]) {
    let Some((length, input)) = input.split_first() else {
        return;
    };
    let (old, rest) = input.split_at(usize::from(*length).min(input.len()));
    if let Ok(new) = apply(old, rest, LIMIT) {
        assert!(new.len() <= LIMIT);
        assert!(
            new.capacity() <= 2 * LIMIT,
            "no length in a patch reserves memory"
        );
        comes_back(old, &new);
    }
    comes_back(old, rest);
    comes_back(rest, old);
}

fn comes_back(old: &[u8], new: &[u8]) {
    let patch = create(old, new);
    assert_eq!(apply(old, &patch, new.len()).as_deref(), Ok(new));
    if let Some(limit) = new.len().checked_sub(1) {
        assert!(apply(old, &patch, limit).is_err(), "over the limit");
    }
}
