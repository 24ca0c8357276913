//! Values that a row can have for a moment.
//!
//! Which of them no other row has, and which the checks of the table let through, only the store knows: here are the likely ones, best first, and it tries them. So
//! they are as much like the row's own value as they can be.

use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;
use crossfade_store::{Column, EnumType, hex};

/// Values tried for one column, at the most.
const TRIES: usize = 200;
/// Steps to either side of the row's own value, one by one.
const STEPS: i64 = 30;
/// Days that keep the place in the month, the year or the leap years for many a date.
const DAYS: [i64; 6] = [31, 365, 366, 730, 1461, 3653];
const SECOND_MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;

/// Values for a column of this type, which has `own` now, in the same canonical text. None for types whose values are not known here.
pub(super) fn values(column: &Column, enums: &[EnumType], own: &Bytes) -> Vec<Bytes> {
    let mut values = of_type(column, own).unwrap_or_default();
    if let Some(labels) = enums.iter().find(|one| one.oid == column.type_oid) {
        values = labels.labels.clone();
    }
    values.truncate(TRIES);
    values.into_iter().map(Bytes::from).collect()
}

/// By `pg_type.dat`.
fn of_type(column: &Column, own: &Bytes) -> Option<Vec<String>> {
    let text = std::str::from_utf8(own).ok()?;
    Some(match column.type_oid {
        16 => vec!["false".to_owned(), "true".to_owned()],
        21 => numbers(text, i64::from(i16::MAX))?,
        23 => numbers(text, i64::from(i32::MAX))?,
        20 => numbers(text, i64::MAX)?,
        1700 => numbers(text, 0)?,
        25 | 1042 | 1043 => texts(text, true),
        2950 => (0..3).map(|_| uuid()).collect(),
        17 => binaries(own)?,
        790 => hexed(own, steps(1))?,
        1082 => hexed(own, dates())?,
        1083 => hexed(own, steps(SECOND_MICROS))?,
        1114 | 1184 => {
            let days = dates().into_iter().map(|days| days * DAY_MICROS);
            hexed(own, steps(SECOND_MICROS).into_iter().chain(days))?
        }
        // Those that others have made, too: their text has a form that theirs is likely to keep.
        _another if !crossfade_store::postgres::sql::travels_as_hex(column) => texts(text, false),
        _another => return None,
    })
}

fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// 1, -1, 2, -2, and so on, and then powers of ten, times `unit`.
fn steps(unit: i64) -> Vec<i64> {
    let near = 1..=STEPS;
    let far = (2..18).map(|power| 10_i64.pow(power));
    let both = near.chain(far).flat_map(|step| [step, -step]);
    both.filter_map(|step| step.checked_mul(unit)).collect()
}

fn dates() -> Vec<i64> {
    let near = 1..=STEPS;
    near.chain(DAYS).flat_map(|days| [days, -days]).collect()
}

/// Decimal numbers with as many places as this one has. Where there is a greatest one, at first a great one at random, which in all likelihood no row has.
fn numbers(own: &str, greatest: i64) -> Option<Vec<String>> {
    let places = own.split_once('.').map_or(0, |(_, places)| places.len());
    let digits: i128 = own.replacen('.', "", 1).parse().ok()?;
    let one = 10_i128.checked_pow(u32::try_from(places).ok()?)?;
    let half = greatest.unsigned_abs() / 2;
    let great = (half > 0).then(|| (half + random() % half).to_string());
    let whole = steps(1)
        .into_iter()
        .filter_map(|step| digits.checked_add(i128::from(step) * one));
    let parts = steps(1)
        .into_iter()
        .filter_map(|step| digits.checked_add(step.into()));
    let parts = parts.filter(|_| places > 0);
    let near = whole.chain(parts).map(|digits| decimal(digits, places));
    Some(great.into_iter().chain(near).collect())
}

fn decimal(digits: i128, places: usize) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", digits.unsigned_abs(), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    if places == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part}")
    }
}

/// The text with one of its characters exchanged for another of its kind, from the last to the first; at first one at random of the same length, where any will do.
fn texts(own: &str, any: bool) -> Vec<String> {
    let chars: Vec<char> = own.chars().collect();
    let at_random = format!("{:016x}{:016x}", random(), random());
    let length = chars.len().clamp(1, at_random.len());
    let first = any.then(|| at_random[..length].to_owned());
    let changed = (0..chars.len()).rev().flat_map(|place| {
        let chars = chars.clone();
        alike(chars[place]).map(move |other| {
            let mut chars = chars.clone();
            chars[place] = other;
            chars.into_iter().collect()
        })
    });
    first.into_iter().chain(changed).take(TRIES).collect()
}

fn alike(char: char) -> impl Iterator<Item = char> {
    let kind = match char {
        '0'..='9' => '0'..='9',
        'a'..='z' => 'a'..='z',
        'A'..='Z' => 'A'..='Z',
        other => other..=other,
    };
    kind.filter(move |other| *other != char)
}

fn uuid() -> String {
    let (one, other) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        one >> 32,
        (one >> 16) & 0xffff,
        one & 0xfff,
        other >> 52,
        other & 0xffff_ffff_ffff
    )
}

/// The same bytes with another last one.
fn binaries(own: &[u8]) -> Option<Vec<String>> {
    let bytes = hex::unhex(own)?;
    let (last, before) = bytes.split_last()?;
    let other = |byte: u8| {
        let bytes = [before, &[byte]].concat();
        String::from_utf8(hex::hex(&bytes)).unwrap_or_default()
    };
    let others = (1..=u8::MAX).map(|step| other(last.wrapping_add(step)));
    Some(others.collect())
}

/// Numbers of four or eight bytes, so many more than this one.
fn hexed(own: &[u8], steps: impl IntoIterator<Item = i64>) -> Option<Vec<String>> {
    let bytes = hex::unhex(own)?;
    let other = |step: i64| -> Option<String> {
        let bytes = match *bytes.as_slice() {
            [a, b, c, d] => {
                let own = i32::from_be_bytes([a, b, c, d]);
                own.checked_add(i32::try_from(step).ok()?)?
                    .to_be_bytes()
                    .to_vec()
            }
            [a, b, c, d, e, f, g, h] => {
                let own = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
                own.checked_add(step)?.to_be_bytes().to_vec()
            }
            _ => return None,
        };
        String::from_utf8(hex::hex(&bytes)).ok()
    };
    Some(steps.into_iter().filter_map(other).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(type_oid: u32, own: &str, count: usize) -> Vec<String> {
        let column = Column {
            type_oid,
            ..Column::default()
        };
        let values = values(&column, &[], &Bytes::copy_from_slice(own.as_bytes()));
        assert!(values.len() <= TRIES);
        let text = |value: Bytes| String::from_utf8(value.to_vec()).unwrap_or_default();
        values.into_iter().map(text).take(count).collect()
    }

    #[test]
    fn numbers_keep_their_places() {
        assert_eq!(
            first(1700, "12.30", 4),
            ["13.30", "11.30", "14.30", "10.30"]
        );
        assert!(first(1700, "-0.05", 200).contains(&"-0.04".to_owned()));
        assert!(first(1700, "-0.05", 200).contains(&"0.95".to_owned()));
        assert_eq!(first(23, "7", 3)[1..], ["8", "6"]);
        assert!(first(1700, "NaN", 9).is_empty());
    }

    #[test]
    fn texts_keep_their_length_and_form() {
        assert!(first(25, "AB-1", 20).contains(&"AB-2".to_owned()));
        assert!(first(25, "AB-1", 200).contains(&"AC-1".to_owned()));
        assert!(first(25, "ÄÖ", 5).iter().all(|text| text.len() == 2));
        assert_eq!(first(25, "", 5).len(), 1);
        // A type of somebody's own.
        assert_eq!(first(90_000, "a.b", 1), ["a.a"]);
    }

    #[test]
    fn what_travels_as_hex_stays_what_it_is() {
        // The last and the first day that a number can tell, and one between.
        assert_eq!(first(1082, "00000001", 2), ["00000002", "00000000"]);
        assert!(first(1082, "7fffffff", 1) == ["7ffffffe"]);
        assert_eq!(first(1184, "0000000000000000", 1), ["00000000000f4240"]);
        assert_eq!(first(17, "00ff", 2), ["0000", "0001"]);
        // An interval.
        assert!(first(1186, "00", 1).is_empty());
    }
}
