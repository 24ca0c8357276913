//! `numeric` and Decimal128, which keeps 34 digits and the scale.

use mongodb::bson::{Bson, Decimal128};

use super::{Inexact, NOT_CANONICAL, inexact};

const TOO_LONG: Inexact = inexact("a number of more than 34 digits has no exact Decimal128");

/// `text` as PostgreSQL prints a `numeric`.
pub(super) fn parse(text: &str) -> Result<Bson, Inexact> {
    let number: Decimal128 = text.parse().map_err(|_| match text.len() > 34 {
        true => TOO_LONG,
        false => NOT_CANONICAL,
    })?;
    // The driver rounds what is too long.
    if print(&number).as_deref() == Some(text) {
        Ok(Bson::Decimal128(number))
    } else {
        Err(TOO_LONG)
    }
}

/// As PostgreSQL prints it: never with an exponent, the scale kept. `None` for what it would not print (`1E+3`, `-0`).
pub(super) fn print(number: &Decimal128) -> Option<String> {
    let text = number.to_string();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    if digits.starts_with('N') || digits.starts_with('I') {
        return match (sign, digits) {
            (_, "NaN") => Some("NaN".to_owned()),
            (sign, _) => Some(format!("{sign}Infinity")),
        };
    }
    let (mantissa, exponent) = match digits.split_once(['E', 'e']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale = i64::try_from(fraction.len()).ok()? - exponent;
    let scale = usize::try_from(scale).ok()?;
    let mut all = format!("{whole}{fraction}");
    if all.len() <= scale {
        all = "0".repeat(scale + 1 - all.len()) + &all;
    }
    let point = all.len() - scale;
    let whole = match all[..point].trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let zero = all.bytes().all(|digit| digit == b'0');
    if zero && !sign.is_empty() {
        return None;
    }
    Some(match scale {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{}", &all[point..]),
    })
}
