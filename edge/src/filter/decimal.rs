//! Exact comparison of decimal numbers in text.
//!
//! A number is an optional sign, digits, and optionally a point with 1 to 19 digits; at most 200
//! characters in all. Anything else is none: no exponent, no space, no point at either end.

use std::cmp::Ordering;

/// Longest number in characters.
const LENGTH_MAX: usize = 200;

/// Most digits after the point.
const FRACTION_MAX: usize = 19;

/// A number that was parsed once, to be compared often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    text: Box<str>,
}

/// The digits that matter of a number in text.
struct Parts<'a> {
    /// Below zero; never set for zero itself.
    negative: bool,
    /// Without leading zeros, so a longer one is greater.
    integer: &'a [u8],
    /// Without trailing zeros.
    fraction: &'a [u8],
}

impl Decimal {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Parts::of(text)?;
        Some(Self { text: text.into() })
    }
}

/// How the number in the text compares with a number; `None` if it is no number.
pub(super) fn compare(text: &str, number: &Decimal) -> Option<Ordering> {
    let (left, right) = (Parts::of(text)?, Parts::of(&number.text)?);
    let sizes = || left.size().cmp(&right.size());
    Some(match (left.negative, right.negative) {
        (false, false) => sizes(),
        (true, true) => sizes().reverse(),
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
    })
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        if text.len() > LENGTH_MAX {
            return None;
        }
        let (sign, digits) = match text.as_bytes() {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] | digits => (false, digits),
        };
        let point = digits.iter().position(|byte| *byte == b'.');
        let (integer, fraction) = match point.and_then(|at| digits.split_at_checked(at)) {
            Some((integer, [_, fraction @ ..])) if (1..=FRACTION_MAX).contains(&fraction.len()) => {
                (integer, fraction)
            }
            Some(_) => return None,
            None => (digits, [].as_slice()),
        };
        let are_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        if integer.is_empty() || !are_digits(integer) || !are_digits(fraction) {
            return None;
        }
        let integer = trim_start(integer);
        let fraction = trim_end(fraction);
        Some(Self {
            negative: sign && !(integer.is_empty() && fraction.is_empty()),
            integer,
            fraction,
        })
    }

    /// Orders numbers without their sign.
    fn size(&self) -> (usize, &[u8], &[u8]) {
        (self.integer.len(), self.integer, self.fraction)
    }
}

fn trim_start(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

fn trim_end(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(left: &str, right: &str) -> Option<Ordering> {
        compare(left, &Decimal::parse(right)?)
    }

    #[test]
    fn spellings_of_one_number_are_equal() {
        for spellings in [
            vec![
                "0",
                "-0",
                "+0",
                "00",
                "0.0",
                "-0.0000000000000000000",
                "+000.00",
            ],
            vec!["5", "+5", "05", "5.0", "+0005.0000000000000000000"],
            vec!["-1.5", "-01.50", "-1.5000000000000000000"],
        ] {
            for left in &spellings {
                for right in &spellings {
                    assert_eq!(order(left, right), Some(Ordering::Equal), "{left} {right}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let tens = format!("1{}", "0".repeat(199));
        let nines = "9".repeat(199);
        let below = format!("-{nines}");
        let ascending = [
            below.as_str(),
            "-100",
            "-99.9999999999999999999",
            "-10",
            "-9",
            "-1.5",
            "-1.49",
            "-1",
            "-0.0000000000000000001",
            "0",
            "0.0000000000000000001",
            "0.1",
            "0.10000000000000001",
            "0.2",
            "1",
            "1.000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551616",
            "18446744073709551616.1",
            nines.as_str(),
            tens.as_str(),
        ];
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(order(left, right), Some(at.cmp(&other)), "{left} {right}");
            }
        }
    }

    #[test]
    fn anything_else_is_no_number() {
        let long = "1".repeat(201);
        let fine = format!("1.{}", "0".repeat(20));
        for text in [
            "",
            "+",
            "-",
            ".",
            "-.",
            "5.",
            ".5",
            "-.5",
            "1e1",
            "1E1",
            "0x1",
            " 5",
            "5 ",
            "1 000",
            "1,5",
            "1_000",
            "--1",
            "+-1",
            "1-",
            "1.2.3",
            "1..2",
            "1.-2",
            "1.+2",
            "NaN",
            "Inf",
            "-inf",
            "٣",
            "1.٣",
            "1\n",
            "\u{2212}1",
            long.as_str(),
            fine.as_str(),
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
            assert_eq!(order(text, "1"), None, "{text}");
            assert_eq!(order("1", text), None, "{text}");
        }
        assert!(Decimal::parse(&long[1..]).is_some());
        assert!(Decimal::parse(&fine[..fine.len() - 1]).is_some());
    }

    proptest! {
        #[test]
        fn order_is_that_of_scaled_integers(
            left in -1_000_000..1_000_000_i64,
            right in -1_000_000..1_000_000_i64,
            zeros in 0..4_usize,
        ) {
            let decimal = |value: i64| {
                let sign = if value < 0 { "-" } else { "" };
                let size = value.unsigned_abs();
                format!("{sign}{}{}.{:03}{}", "0".repeat(zeros), size / 1000, size % 1000, "0".repeat(zeros))
            };
            prop_assert_eq!(order(&decimal(left), &decimal(right)), Some(left.cmp(&right)));
        }

        #[test]
        fn arbitrary_text_never_panics(left in "[-+.0-9e]{0,8}|.{0,8}", right in "[-+.0-9]{0,30}") {
            order(&left, &right);
        }
    }
}
