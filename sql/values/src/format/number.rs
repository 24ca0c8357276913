//! Integers and floating-point numbers.

use crate::{Error, Oid, Result, Session, numeric::Numeric, oid};

/// C's `isspace`.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// The first version that reads `0x1F` and `1_000`.
const UNDERSCORES: u32 = 160_000;

fn int_name(ty: Oid) -> &'static str {
    match ty {
        oid::INT2 => "smallint",
        oid::INT4 => "integer",
        oid::INT8 => "bigint",
        _ => "oid",
    }
}

/// The values of an integer type.
pub(crate) fn int_range(ty: Oid) -> std::ops::RangeInclusive<i64> {
    match ty {
        oid::INT2 => i64::from(i16::MIN)..=i64::from(i16::MAX),
        oid::INT4 => i64::from(i32::MIN)..=i64::from(i32::MAX),
        oid::OID => 0..=i64::from(u32::MAX),
        _ => i64::MIN..=i64::MAX,
    }
}

/// `int4in` and its kin.
pub(crate) fn parse_int(ty: Oid, text: &str, session: &Session) -> Result<i64> {
    let invalid = || {
        Error::new(
            "22P02",
            format!("invalid input syntax for type {}: \"{text}\"", int_name(ty)),
        )
    };
    let out_of_range = || {
        Error::new(
            "22003",
            format!("value \"{text}\" is out of range for type {}", int_name(ty)),
        )
    };
    let body = text.trim_matches(is_space);
    let (negative, digits) = match body.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, body.strip_prefix('+').unwrap_or(body)),
    };
    let (radix, digits) = if session.server_version_num >= UNDERSCORES {
        with_radix(digits)
    } else {
        (10, Some(digits.to_owned()))
    };
    let digits = digits
        .filter(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
        .ok_or_else(invalid)?;
    let number = i128::from_str_radix(&digits, radix).map_err(|_| out_of_range())?;
    let number =
        i64::try_from(if negative { -number } else { number }).map_err(|_| out_of_range())?;
    // C's strtoul reads the negative of an oid, and wraps.
    if ty == oid::OID && (i64::from(i32::MIN)..0).contains(&number) {
        return Ok(number + (1 << 32));
    }
    if int_range(ty).contains(&number) {
        Ok(number)
    } else {
        Err(out_of_range())
    }
}

/// The radix and the digits without underscores; `None` where these stand wrongly.
fn with_radix(text: &str) -> (u32, Option<String>) {
    let (radix, digits) = match text.get(..2) {
        Some("0x" | "0X") => (16, &text[2..]),
        Some("0o" | "0O") => (8, &text[2..]),
        Some("0b" | "0B") => (2, &text[2..]),
        _ => (10, text),
    };
    let misplaced =
        digits.ends_with('_') || digits.contains("__") || (radix == 10 && digits.starts_with('_'));
    (radix, (!misplaced).then(|| digits.replace('_', "")))
}

/// `numeric_in`.
pub(crate) fn parse_numeric(text: &str, session: &Session) -> Result<Numeric> {
    let newer = session.server_version_num >= UNDERSCORES;
    let lower = text
        .trim_matches(is_space)
        .trim_start_matches(['+', '-'])
        .to_ascii_lowercase();
    let is_newer_form = lower.starts_with(|c: char| c.is_ascii_digit())
        && (lower.contains('_')
            || ["0x", "0o", "0b"]
                .iter()
                .any(|prefix| lower.starts_with(prefix)));
    if newer && is_newer_form {
        return Err(Error::unsupported(format!(
            "a number written as \"{text}\""
        )));
    }
    Numeric::parse(text)
}

fn parse_float(text: &str, ty: &str) -> Result<f64> {
    let invalid = || {
        Error::new(
            "22P02",
            format!("invalid input syntax for type {ty}: \"{text}\""),
        )
    };
    let body = text.trim_matches(is_space);
    if body
        .trim_start_matches(['+', '-'])
        .to_ascii_lowercase()
        .starts_with("0x")
    {
        return Err(Error::unsupported(format!(
            "a number written as \"{text}\""
        )));
    }
    body.parse().map_err(|_| invalid())
}

/// Whether the text has a digit other than 0 before its exponent, so that 0 means it was too small; and whether it names infinity.
fn shape(text: &str) -> (bool, bool) {
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    (
        mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte)),
        text.to_ascii_lowercase().contains("inf"),
    )
}

fn out_of_range(text: &str, ty: &str) -> Error {
    Error::new(
        "22003",
        format!(
            "\"{}\" is out of range for type {ty}",
            text.trim_matches(is_space)
        ),
    )
}

/// `float8in`.
pub(crate) fn parse_f64(text: &str) -> Result<f64> {
    let number = parse_float(text, "double precision")?;
    let (nonzero, infinite) = shape(text);
    if (number == 0.0 && nonzero) || (number.is_infinite() && !infinite) {
        return Err(out_of_range(text, "double precision"));
    }
    Ok(number)
}

/// `float4in`.
pub(crate) fn parse_f32(text: &str) -> Result<f32> {
    parse_float(text, "real")?;
    let number: f32 = text.trim_matches(is_space).parse().unwrap_or(f32::NAN);
    let (nonzero, infinite) = shape(text);
    if (number == 0.0 && nonzero) || (number.is_infinite() && !infinite) {
        return Err(out_of_range(text, "real"));
    }
    Ok(number)
}

/// `float8out`.
pub(crate) fn print_f64(number: f64, extra_digits: i32, out: &mut Vec<u8>) {
    if special(number, out) {
        return;
    }
    if extra_digits > 0 {
        layout(&shortest(number), 15, out);
    } else {
        rounded(number, 15 + extra_digits, out);
    }
}

/// `float4out`.
pub(crate) fn print_f32(number: f32, extra_digits: i32, out: &mut Vec<u8>) {
    if special(f64::from(number), out) {
        return;
    }
    if extra_digits > 0 {
        layout(&shortest_f32(number), 6, out);
    } else {
        rounded(f64::from(number), 6 + extra_digits, out);
    }
}

/// C's `%.*g`.
fn rounded(number: f64, digits: i32, out: &mut Vec<u8>) {
    let digits = usize::try_from(digits).unwrap_or(0).max(1);
    let text = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    layout(
        &format!("{mantissa}e{exponent}"),
        i32::try_from(digits).unwrap_or(15),
        out,
    );
}

fn special(number: f64, out: &mut Vec<u8>) -> bool {
    if number.is_nan() {
        out.extend(b"NaN");
    } else if number.is_infinite() {
        out.extend(if number < 0.0 {
            &b"-Infinity"[..]
        } else {
            b"Infinity"
        });
    }
    !number.is_finite()
}

/// The fewest digits that read back as the same number. PostgreSQL takes none that lies exactly half-way to a neighbour, although they would read back.
fn shortest(number: f64) -> String {
    let text = nearest(
        format!("{number:e}"),
        |digits| format!("{number:.digits$e}"),
        |text| text.parse() == Ok(number),
    );
    // Only integers with 53 bits and more can have a short neighbour half-way.
    let magnitude = number.abs();
    if !(4.0e15..2.0e40).contains(&magnitude) {
        return text;
    }
    let neighbours = [magnitude.next_down(), magnitude.next_up()];
    let is_tie = |text: &str| {
        let Ok(digits) = Numeric::parse(text) else {
            return false;
        };
        neighbours.iter().any(|neighbour| {
            let sum = integer(magnitude).add(&integer(*neighbour));
            sum.is_ok_and(|sum| {
                digits
                    .abs()
                    .mul(&Numeric::from(2i64))
                    .is_ok_and(|double| double == sum)
            })
        })
    };
    strictly_inside(
        text,
        |text| is_tie(text),
        |digits| format!("{number:.digits$e}"),
    )
}

fn shortest_f32(number: f32) -> String {
    let text = nearest(
        format!("{number:e}"),
        |digits| format!("{number:.digits$e}"),
        |text| text.parse() == Ok(number),
    );
    let magnitude = number.abs();
    if !(2.0e6..2.0e19).contains(&magnitude) {
        return text;
    }
    let ties = [magnitude.next_down(), magnitude.next_up()]
        .map(|neighbour| f64::midpoint(f64::from(magnitude), f64::from(neighbour)));
    let is_tie = |text: &str| {
        text.parse::<f64>()
            .is_ok_and(|digits| ties.contains(&digits.abs()))
    };
    strictly_inside(text, is_tie, |digits| format!("{number:.digits$e}"))
}

/// Of the texts with as few digits the one nearest to the number; of two as near, the one whose last digit is even.
fn nearest(
    text: String,
    exact: impl Fn(usize) -> String,
    reads_back: impl Fn(&str) -> bool,
) -> String {
    let text_of_same_length = exact(decimals(&text));
    if reads_back(&text_of_same_length) {
        text_of_same_length
    } else {
        text
    }
}

/// Digits after the point of a mantissa.
fn decimals(text: &str) -> usize {
    text.split_once('e').map_or(0, |(mantissa, _)| {
        mantissa.trim_start_matches('-').len().saturating_sub(2)
    })
}

/// The text itself, or the next longer one that is no tie.
fn strictly_inside(
    text: String,
    is_tie: impl Fn(&str) -> bool,
    longer: impl Fn(usize) -> String,
) -> String {
    if !is_tie(&text) {
        return text;
    }
    (decimals(&text) + 1..20)
        .map(longer)
        .find(|text| !is_tie(text))
        .unwrap_or(text)
}

/// An integral `double precision`, exactly.
fn integer(number: f64) -> Numeric {
    Numeric::parse(&format!("{number:.0}")).unwrap_or_else(|_| Numeric::zero())
}

/// Lays out `d.ddde±x` as C's `%g` does: plain where the exponent is from -4 to below `digits`.
fn layout(text: &str, digits: i32, out: &mut Vec<u8>) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend(format!("{mantissa}e{sign}{:02}", exponent.abs()).as_bytes());
        return;
    }
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    let figures: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    out.extend(sign.as_bytes());
    let Ok(whole) = usize::try_from(exponent + 1) else {
        out.extend(b"0.");
        out.extend(std::iter::repeat_n(
            b'0',
            usize::try_from(-exponent - 1).unwrap_or(0),
        ));
        out.extend(figures.as_bytes());
        return;
    };
    if whole == 0 {
        out.extend(b"0.");
        out.extend(figures.as_bytes());
    } else if figures.len() <= whole {
        out.extend(figures.as_bytes());
        out.extend(std::iter::repeat_n(b'0', whole - figures.len()));
    } else {
        out.extend(&figures.as_bytes()[..whole]);
        out.push(b'.');
        out.extend(&figures.as_bytes()[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(number: f64) -> String {
        let mut out = Vec::new();
        print_f64(number, 1, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_laid_out_as_by_c() {
        for (number, text) in [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5e+300"),
            (100.0, "100"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
        ] {
            assert_eq!(show(number), text);
        }
    }
}
