//! `numeric_in`.

use super::{Decimal, Numeric, digits::Digits, overflow};
use crate::{Error, Result};

/// What is wrong with a text.
fn invalid(text: &str) -> Error {
    Error::new(
        "22P02",
        format!("invalid input syntax for type numeric: \"{text}\""),
    )
}

impl Numeric {
    /// Reads the text form.
    ///
    /// # Errors
    /// 22P02, or 22003 for a number that is too long.
    pub fn parse(text: &str) -> Result<Numeric> {
        let body = text.trim_matches(is_space);
        if let Some(special) = special(body) {
            return Ok(special);
        }
        let (negative, digits) = sign(body);
        // Versions differ on a blank after the exponent's mark.
        if digits.contains(is_space) && digits.contains(['e', 'E']) {
            return Err(Error::unsupported(format!(
                "a number written as \"{text}\""
            )));
        }
        finite(negative, digits).ok_or_else(|| invalid(text))?
    }
}

/// C's `isspace`.
fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn special(text: &str) -> Option<Numeric> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(Numeric::nan());
    }
    let (negative, name) = sign(text);
    let infinite = name.eq_ignore_ascii_case("infinity") || name.eq_ignore_ascii_case("inf");
    infinite.then(|| Numeric::infinity(negative))
}

/// `None` where the syntax is wrong.
fn finite(negative: bool, text: &str) -> Option<Result<Numeric>> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    // Past these no digit could be shown; and far exponents would ask for memory.
    if !(-200_000..=200_000).contains(&exponent) || places > 400_000 {
        return Some(Err(overflow()));
    }
    let decimals: Vec<u8> = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|byte| byte - b'0')
        .collect();
    let digits = grouped(&decimals, places - exponent);
    let scale = u32::try_from((places - exponent).max(0)).unwrap_or(u32::MAX);
    Some(Decimal::new(negative, digits, scale).checked())
}

/// The number after `e`; what no number can have is cut to one that overflows.
fn exponent(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits
        .parse::<i64>()
        .unwrap_or(i64::MAX / 4)
        .min(i64::MAX / 4);
    Some(if negative { -number } else { number })
}

/// Decimal digits, the last of which stands `places` after the point, in groups of four.
pub(super) fn grouped(decimals: &[u8], places: i64) -> Digits {
    let tail = usize::try_from((-places).rem_euclid(4)).unwrap_or(0);
    let bottom = -places.div_euclid(4) - i64::from(places.rem_euclid(4) != 0);
    let mut digits = Vec::with_capacity(decimals.len() / 4 + 2);
    let mut reversed = std::iter::repeat_n(0, tail)
        .chain(decimals.iter().rev().copied())
        .peekable();
    while reversed.peek().is_some() {
        let group = reversed.by_ref().take(4).zip([1u16, 10, 100, 1000]);
        digits.push(group.map(|(digit, power)| u16::from(digit) * power).sum());
    }
    digits.reverse();
    let weight = bottom + i64::try_from(digits.len()).unwrap_or(0) - 1;
    Digits { digits, weight }.stripped()
}
