//! Making patches: blocks of the old data are found in the new data by a rolling hash.

use super::{DIGITS, checksum};

/// Length in bytes of the blocks that are looked up; shorter repetitions are not found.
const BLOCK: usize = 16;

/// How many blocks of one hash are compared with a place of the new data. Together with
/// [`Search::budget`] this keeps the time linear where all blocks are alike.
const CANDIDATES_MAX: u32 = 250;

/// How many are compared once the budget is used up.
const CANDIDATES_MIN: u32 = 4;

/// Longest data that is searched, in bytes: the clients' decoders count in 32 bits.
const SEARCH_MAX: usize = i32::MAX as usize;

/// End of a list of blocks.
const NONE: u32 = u32::MAX;

/// The patch that makes `new` out of `old`.
///
/// It may be longer than `new`: whether it is worth sending is the caller's decision. Greedy: at
/// each place the longest copy wins that is not shorter than its own notation.
#[must_use]
pub fn create(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut patch = Vec::new();
    write_number(new.len(), &mut patch);
    patch.push(b'\n');
    let mut rest = new;
    if old.len() > BLOCK && old.len().max(new.len()) <= SEARCH_MAX {
        let mut search = Search::new(old, new.len());
        while let Some(copy) = search.next_copy(rest) {
            let (skipped, from_copy) = rest.split_at(copy.skipped.min(rest.len()));
            if !skipped.is_empty() {
                write_insertion(skipped, &mut patch);
            }
            write_number(copy.count, &mut patch);
            patch.push(b'@');
            write_number(copy.offset, &mut patch);
            patch.push(b',');
            rest = from_copy.get(copy.count..).unwrap_or_default();
        }
    }
    if !rest.is_empty() {
        write_insertion(rest, &mut patch);
    }
    write_number(checksum(new) as usize, &mut patch);
    patch.push(b';');
    patch
}

fn write_insertion(bytes: &[u8], patch: &mut Vec<u8>) {
    write_number(bytes.len(), patch);
    patch.push(b':');
    patch.extend_from_slice(bytes);
}

fn write_number(number: usize, patch: &mut Vec<u8>) {
    let digits = digit_count(number);
    patch.extend((0..digits).rev().filter_map(|digit| {
        let value = (number >> (6 * digit)) & 0x3F;
        DIGITS.get(value)
    }));
}

/// How many digits a number has.
const fn digit_count(number: usize) -> usize {
    match number.checked_ilog2() {
        Some(log) => log as usize / 6 + 1,
        None => 1,
    }
}

/// A piece of the old data in the rest of the new data.
#[derive(Clone, Copy, Default)]
struct Copy {
    /// Bytes of the rest before it.
    skipped: usize,
    /// Where it is in the old data.
    offset: usize,
    count: usize,
}

/// The blocks of the old data by their hash.
struct Search<'a> {
    old: &'a [u8],
    /// The last block of each hash, by the hash's remainder.
    heads: Vec<u32>,
    /// The block before each block with the same remainder.
    previous: Vec<u32>,
    /// How many blocks may still be compared before only few are.
    budget: usize,
}

impl<'a> Search<'a> {
    fn new(old: &'a [u8], new_len: usize) -> Self {
        let blocks = old.len() / BLOCK;
        let mut search = Self {
            old,
            heads: vec![NONE; blocks],
            previous: vec![NONE; blocks],
            budget: (old.len() + new_len).saturating_mul(8),
        };
        // The last byte is never part of a block, as in the reference encoder.
        let indexed = old.get(..old.len() - 1).unwrap_or_default();
        for ((number, block), previous) in (0..)
            .zip(indexed.as_chunks::<BLOCK>().0)
            .zip(&mut search.previous)
        {
            let slot = Rolling::new(block).slot(blocks);
            if let Some(head) = search.heads.get_mut(slot) {
                *previous = std::mem::replace(head, number);
            }
        }
        search
    }

    /// The first place of `rest` where a block of the old data matches, as the longest copy there.
    fn next_copy(&mut self, rest: &[u8]) -> Option<Copy> {
        let mut hash = Rolling::new(rest.first_chunk()?);
        for (at, window) in rest.windows(BLOCK + 1).enumerate() {
            if let Some(copy) = self.best_at(rest, at, &hash) {
                return Some(copy);
            }
            if let (Some(first), Some(next)) = (window.first(), window.last()) {
                hash.roll(*first, *next);
            }
        }
        // The window that ends with the data, unless it is all of the rest.
        let last = rest.len().checked_sub(BLOCK).filter(|last| *last > 0)?;
        self.best_at(rest, last, &hash)
    }

    fn best_at(&mut self, rest: &[u8], at: usize, hash: &Rolling) -> Option<Copy> {
        let slot = hash.slot(self.heads.len());
        let mut block = *self.heads.get(slot)?;
        let mut best = Copy::default();
        let candidates = if self.budget > 0 {
            CANDIDATES_MAX
        } else {
            CANDIDATES_MIN
        };
        for _ in 0..candidates {
            let number = block as usize;
            let Some(&previous) = self.previous.get(number) else {
                break;
            };
            self.budget = self.budget.saturating_sub(1);
            if let Some(copy) = self.compare(rest, at, number * BLOCK)
                && copy.count > best.count
            {
                best = copy;
            }
            block = previous;
        }
        (best.count > 0).then_some(best)
    }

    /// The copy around a place of the rest and one of the old data, if it is worth its notation.
    fn compare(&self, rest: &[u8], at: usize, offset: usize) -> Option<Copy> {
        let (old_before, old_after) = self.old.split_at_checked(offset)?;
        let (before, after) = rest.split_at_checked(at)?;
        let forward = common_prefix(old_after, after);
        let backward = old_before
            .iter()
            .rev()
            .zip(before.iter().rev())
            .take_while(|(old, new)| old == new)
            .count();
        let copy = Copy {
            skipped: at - backward,
            offset: offset - backward,
            count: forward + backward,
        };
        let notation =
            digit_count(copy.skipped) + digit_count(copy.count) + digit_count(copy.offset) + 3;
        (copy.count >= notation).then_some(copy)
    }
}

/// How many bytes two slices begin with in common.
pub(super) fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    let (left_words, _) = left.as_chunks::<16>();
    let (right_words, _) = right.as_chunks::<16>();
    let words = left_words
        .iter()
        .zip(right_words)
        .take_while(|(left, right)| left == right)
        .count();
    let done = words * 16;
    let tail = left.iter().zip(right).skip(done);
    done + tail.take_while(|(left, right)| left == right).count()
}

/// The hash of a window of [`BLOCK`] bytes that can move on by one byte: the sum of the bytes, and
/// the sum of the bytes each times its distance from the end.
struct Rolling {
    sum: u16,
    weighted: u16,
}

impl Rolling {
    fn new(window: &[u8; BLOCK]) -> Self {
        let mut hash = Self {
            sum: 0,
            weighted: 0,
        };
        for byte in window {
            hash.sum = hash.sum.wrapping_add(u16::from(*byte));
            hash.weighted = hash.weighted.wrapping_add(hash.sum);
        }
        hash
    }

    /// Takes the window's first byte out, whose weight is [`BLOCK`], and the byte after it in.
    fn roll(&mut self, first: u8, next: u8) {
        let first = u16::from(first);
        self.sum = self.sum.wrapping_sub(first).wrapping_add(u16::from(next));
        self.weighted = self
            .weighted
            .wrapping_sub(first.wrapping_shl(BLOCK.ilog2()))
            .wrapping_add(self.sum);
    }

    fn slot(&self, slots: usize) -> usize {
        let hash = u32::from(self.weighted) << 16 | u32::from(self.sum);
        (hash as usize).checked_rem(slots).unwrap_or_default()
    }
}
