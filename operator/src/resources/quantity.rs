//! Values of Kubernetes quantities: the same amount has many spellings, and the API server stores its own.

use std::cmp::Ordering;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// How two amounts compare; nothing if one of them is not a quantity.
pub(super) fn compare(a: &Quantity, b: &Quantity) -> Option<Ordering> {
    Some(nanos(&a.0)?.cmp(&nanos(&b.0)?))
}

/// The amount in billionths, rounded up as Kubernetes rounds what is finer.
fn nanos(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.starts_with(['+', '-']) {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = scale(suffix)?;
    let exponent = exponent
        .checked_add(9)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    let scaled = digits.checked_mul(factor)?;
    if exponent >= 0 {
        return scaled.checked_mul(power);
    }
    let floor = scaled.div_euclid(power);
    Some(floor + i128::from(scaled.rem_euclid(power) > 0))
}

/// What a suffix multiplies with, and the power of ten it stands for.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "" => (1, 0),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(a: &str, b: &str) -> Option<Ordering> {
        compare(&Quantity(a.to_owned()), &Quantity(b.to_owned()))
    }

    #[test]
    fn the_same_amount_is_equal_in_every_spelling() {
        for (a, b) in [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("12E2", "1.2k"),
            ("1E", "1000P"),
            ("10Gi", "10737418240"),
            ("5u", "5000n"),
            (".5Ki", "512"),
            ("+1.", "1"),
            ("0.1n", "1n"),
        ] {
            assert_eq!(order(a, b), Some(Ordering::Equal), "{a} {b}");
        }
    }

    #[test]
    fn amounts_are_ordered_by_value_and_not_by_text() {
        for (small, large) in [
            ("9Gi", "10Gi"),
            ("10G", "10Gi"),
            ("1023Mi", "1Gi"),
            ("999m", "1"),
            ("-1", "0"),
            ("8191Pi", "8Ei"),
        ] {
            assert_eq!(order(small, large), Some(Ordering::Less), "{small} {large}");
            assert_eq!(
                order(large, small),
                Some(Ordering::Greater),
                "{small} {large}"
            );
        }
    }

    #[test]
    fn what_is_not_a_quantity_compares_with_nothing() {
        for text in [
            "",
            "Gi",
            "1 Gi",
            "1gi",
            "ten",
            "1.-5",
            "1e",
            "1e99999999999",
            "99999999999999999999Ei",
        ] {
            assert_eq!(order(text, "1"), None, "{text}");
        }
    }
}
