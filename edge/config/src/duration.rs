//! Durations in the notation of the configuration file: `300ms`, `1.5s`, `2m`, `720h`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, never negative, with a resolution of one nanosecond.
///
/// It is written as decimal numbers with units (`ns`, `us` or `µs`, `ms`, `s`, `m`, `h`; there is
/// no unit for days): `1h30m`, `1.5s`. A bare number in a file is taken as nanoseconds. The
/// longest duration is about 292 years, the limit of the notation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is empty or is not a number followed by a unit.
    #[error("not a duration; write a number with a unit, such as 300ms, 25s or 1h30m")]
    Malformed,
    /// A number stands without its unit.
    #[error("the unit is missing; write for example 25s or 300ms")]
    MissingUnit,
    /// The unit is not one of ns, us, ms, s, m and h.
    #[error("unknown unit; the units are ns, us, ms, s, m and h")]
    UnknownUnit,
    /// The duration is below zero.
    #[error("durations cannot be negative")]
    Negative,
    /// The duration is above about 292 years.
    #[error("the duration is too long; the limit is 2562047h47m16s")]
    TooLong,
}

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// The notation counts nanoseconds in 63 bits.
const MAX_NANOS: u64 = i64::MAX.unsigned_abs();

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// A number of whole seconds; above the limit the limit.
    pub const fn from_secs(seconds: u64) -> Self {
        match seconds.checked_mul(SECOND) {
            Some(nanos) => Self::from_nanos(nanos),
            None => Self::from_nanos(MAX_NANOS),
        }
    }

    /// A number of milliseconds; above the limit the limit.
    pub const fn from_millis(millis: u64) -> Self {
        match millis.checked_mul(1_000_000) {
            Some(nanos) => Self::from_nanos(nanos),
            None => Self::from_nanos(MAX_NANOS),
        }
    }

    /// A number of nanoseconds; above the limit the limit.
    pub const fn from_nanos(nanos: u64) -> Self {
        let nanos = if nanos > MAX_NANOS { MAX_NANOS } else { nanos };
        Self(std::time::Duration::from_nanos(nanos))
    }

    /// The duration for timers and arithmetic.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Whether there is no time in it.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is a whole number of seconds.
    pub const fn is_whole_seconds(self) -> bool {
        self.0.subsec_nanos() == 0
    }

    fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(MAX_NANOS)
    }
}

impl fmt::Display for Duration {
    /// Prints hours, minutes and seconds (`720h0m0s`, `1m0s`, `1.5s`), or below one second a
    /// single smaller unit (`300ms`, `1.5µs`, `7ns`); no time is `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos();
        match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{nanos}ns"),
            1_000..1_000_000 => return write_decimal(f, nanos, 1_000, "µs"),
            1_000_000..SECOND => return write_decimal(f, nanos, 1_000_000, "ms"),
            SECOND.. => {}
        }
        if nanos >= HOUR {
            write!(f, "{}h", nanos / HOUR)?;
        }
        if nanos >= MINUTE {
            write!(f, "{}m", nanos % HOUR / MINUTE)?;
        }
        write_decimal(f, nanos % MINUTE, SECOND, "s")
    }
}

/// Writes `nanos / unit` exactly, without trailing zeros.
fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    let mut rest = nanos % unit;
    if rest > 0 {
        f.write_str(".")?;
        let mut place = unit / 10;
        while rest > 0 {
            write!(f, "{}", rest / place)?;
            rest %= place;
            place /= 10;
        }
    }
    f.write_str(name)
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        if let Some(positive) = unsigned.strip_prefix('-') {
            // The notation has a sign; only a negative zero means something here.
            let value: Self = positive.parse()?;
            return if value.is_zero() {
                Ok(value)
            } else {
                Err(DurationError::Negative)
            };
        }
        if unsigned == "0" {
            return Ok(Self::ZERO);
        }
        if unsigned.is_empty() {
            return Err(DurationError::Malformed);
        }
        let mut rest = unsigned;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (nanos, tail) = parse_part(rest)?;
            total = total
                .checked_add(nanos)
                .filter(|sum| *sum <= MAX_NANOS)
                .ok_or(DurationError::TooLong)?;
            rest = tail;
        }
        Ok(Self::from_nanos(total))
    }
}

/// Reads one number with its unit and returns the nanoseconds and the text behind it.
fn parse_part(text: &str) -> Result<(u64, &str), DurationError> {
    let (number, rest) = split_where(text, |c| !(c.is_ascii_digit() || c == '.'));
    let (unit, rest) = split_where(rest, |c| c.is_ascii_digit() || c == '.');
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(DurationError::Malformed);
    }
    let unit = match unit {
        "" => return Err(DurationError::MissingUnit),
        "ns" => 1,
        // Both letters that look like this one: micro sign and Greek mu.
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return Err(DurationError::UnknownUnit),
    };
    let whole: u64 = match whole {
        "" => 0,
        digits => digits
            .bytes()
            .try_fold(0_u64, |sum, digit| {
                sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            })
            .ok_or(DurationError::TooLong)?,
    };
    let mut nanos = whole.checked_mul(unit).ok_or(DurationError::TooLong)?;
    // Digits below one nanosecond are dropped.
    let (mut numerator, mut denominator): (u64, u64) = (0, 1);
    for digit in fraction.bytes().take(14) {
        numerator = numerator * 10 + u64::from(digit - b'0');
        denominator *= 10;
    }
    let part = u128::from(numerator) * u128::from(unit) / u128::from(denominator);
    nanos = u64::try_from(part)
        .ok()
        .and_then(|part| nanos.checked_add(part))
        .ok_or(DurationError::TooLong)?;
    Ok((nanos, rest))
}

fn split_where(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    let at = text.find(end).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl de::Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 25s, or a number of nanoseconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, nanos: u64) -> Result<Duration, E> {
        if nanos > MAX_NANOS {
            return Err(E::custom(DurationError::TooLong));
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn visit_i64<E: de::Error>(self, nanos: i64) -> Result<Duration, E> {
        match u64::try_from(nanos) {
            Ok(nanos) => Ok(Duration::from_nanos(nanos)),
            Err(_) => Err(E::custom(DurationError::Negative)),
        }
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Duration, DurationError};

    #[test]
    fn every_unit_and_every_combination_is_read() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("7ns", 7),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("300ms", 300_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("+2m", 120_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("720h0m0s", 2_592_000_000_000_000),
            ("1m0.000000001s", 60_000_000_001),
            ("0.9999999999ns", 0),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn malformed_durations_are_refused_with_the_reason() {
        for (text, error) in [
            ("", DurationError::Malformed),
            (" 1s", DurationError::Malformed),
            (".s", DurationError::Malformed),
            ("s", DurationError::Malformed),
            ("1.2.3s", DurationError::Malformed),
            ("-", DurationError::Malformed),
            ("25", DurationError::MissingUnit),
            ("1s5", DurationError::MissingUnit),
            ("1d", DurationError::UnknownUnit),
            ("1 s", DurationError::UnknownUnit),
            ("1S", DurationError::UnknownUnit),
            ("-1s", DurationError::Negative),
            ("9223372036854775808ns", DurationError::TooLong),
            ("99999999999999999999h", DurationError::TooLong),
            ("2562048h", DurationError::TooLong),
        ] {
            assert_eq!(text.parse::<Duration>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn durations_print_in_the_reference_notation() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (2_592_000_000_000_000, "720h0m0s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
        ] {
            assert_eq!(Duration::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn a_bare_number_in_a_file_is_nanoseconds() {
        let read = |json: &str| serde_json::from_str::<Duration>(json);
        assert_eq!(read("25").expect("a number"), Duration::from_nanos(25));
        assert!(read("-25").is_err());
        assert!(read("18446744073709551615").is_err());
        assert!(read("true").is_err());
    }

    proptest! {
        #[test]
        fn printing_then_reading_is_the_identity(nanos in 0_u64..=i64::MAX.unsigned_abs()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }

        #[test]
        fn reading_any_text_never_panics(text in "[-+0-9.a-zµ ]{0,24}") {
            if let Ok(duration) = text.parse::<Duration>() {
                prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
            }
        }
    }
}
