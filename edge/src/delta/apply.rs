//! Applying patches. The patch is not trusted: no length in it reserves memory.

use super::{DIGITS, checksum};

/// Why a patch cannot be applied. The receiver has lost its base and must get full data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch does not follow the format, or something follows its end.
    #[error("patch is malformed at byte {0}")]
    Malformed(usize),
    /// A copy reaches beyond the old data: the patch is for other data.
    #[error("copy of {count} bytes at {offset} is outside of the old data")]
    OutsideOld {
        /// Where it begins.
        offset: usize,
        /// Its length in bytes.
        count: usize,
    },
    /// The commands make more or less than the length at the beginning.
    #[error("patch makes another length than {0} bytes")]
    Length(usize),
    /// The new data would be longer than the limit.
    #[error("patch makes {0} bytes, more than allowed")]
    TooBig(usize),
    /// The new data has another checksum: the patch is for other data.
    #[error("checksum is {actual}, not {expected}")]
    Checksum {
        /// The one in the patch.
        expected: u32,
        /// That of the data made.
        actual: u32,
    },
}

/// The new data that a patch makes out of the old data, of at most `limit` bytes.
///
/// # Errors
/// [`PatchError`] if it is not a patch, not one for this old data, or over the limit.
pub fn apply(old: &[u8], patch: &[u8], limit: usize) -> Result<Vec<u8>, PatchError> {
    let mut reader = Reader { patch, at: 0 };
    let length = reader.number()? as usize;
    reader.expect(b'\n')?;
    if length > limit {
        return Err(PatchError::TooBig(length));
    }
    let mut new = Vec::new();
    loop {
        let number = reader.number()?;
        let count = number as usize;
        let piece = match reader.byte()? {
            b'@' => {
                let offset = reader.number()? as usize;
                reader.expect(b',')?;
                offset
                    .checked_add(count)
                    .and_then(|end| old.get(offset..end))
                    .ok_or(PatchError::OutsideOld { offset, count })?
            }
            b':' => reader.take(count)?,
            b';' => return reader.finish(new, length, number),
            _ => return Err(PatchError::Malformed(reader.at - 1)),
        };
        if new.len().saturating_add(count) > length {
            return Err(PatchError::Length(length));
        }
        new.extend_from_slice(piece);
    }
}

struct Reader<'a> {
    patch: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn malformed<T>(&self) -> Result<T, PatchError> {
        Err(PatchError::Malformed(self.at))
    }

    fn byte(&mut self) -> Result<u8, PatchError> {
        let Some(byte) = self.patch.get(self.at) else {
            return self.malformed();
        };
        self.at += 1;
        Ok(*byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), PatchError> {
        if self.patch.get(self.at) != Some(&byte) {
            return self.malformed();
        }
        self.at += 1;
        Ok(())
    }

    /// A number of at least one digit that fits into 32 bits.
    fn number(&mut self) -> Result<u32, PatchError> {
        let mut number = None;
        while let Some(digit) = self.patch.get(self.at).and_then(|byte| digit(*byte)) {
            let shifted = number.unwrap_or(0_u32).checked_mul(64);
            let Some(next) = shifted.and_then(|shifted| shifted.checked_add(digit)) else {
                return self.malformed();
            };
            number = Some(next);
            self.at += 1;
        }
        number.map_or_else(|| self.malformed(), Ok)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PatchError> {
        let rest = self.patch.get(self.at..).unwrap_or_default();
        let Some((taken, _)) = rest.split_at_checked(count) else {
            return self.malformed();
        };
        self.at += count;
        Ok(taken)
    }

    /// The data made, if it is what the patch says and the patch ends here.
    fn finish(&self, new: Vec<u8>, length: usize, expected: u32) -> Result<Vec<u8>, PatchError> {
        if self.at != self.patch.len() {
            return self.malformed();
        }
        if new.len() != length {
            return Err(PatchError::Length(length));
        }
        let actual = checksum(&new);
        if actual != expected {
            return Err(PatchError::Checksum { expected, actual });
        }
        Ok(new)
    }
}

fn digit(byte: u8) -> Option<u32> {
    (0..)
        .zip(DIGITS)
        .find_map(|(value, digit)| (*digit == byte).then_some(value))
}
