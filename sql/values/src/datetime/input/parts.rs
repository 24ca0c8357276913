//! Numbers within dates, times and offsets.

use super::{Fail, Outcome};
use crate::datetime::{DAY, HOUR, MINUTE, SECOND, calendar};

/// The parts of a numeric date: year first where the first has three digits or more, else in `DateStyle`'s order.
pub(super) fn date(text: &str, style: &str) -> Outcome<(i64, i64, i64)> {
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let [first, second, third] = parts.as_slice() else {
        return Err(
            if parts.len() == 2 && parts.iter().all(|part| !part.is_empty()) {
                Fail::Unserved
            } else {
                Fail::Format
            },
        );
    };
    if first.is_empty() || second.is_empty() || third.is_empty() {
        return Err(Fail::Format);
    }
    let number = |part: &str| part.parse::<i64>().map_err(|_| Fail::Field);
    if first.len() >= 3 && (second.len() > 2 || third.len() > 2) {
        return Err(Fail::Unserved);
    }
    if first.len() >= 3 || style.contains("YMD") {
        return Ok((year(first)?, number(second)?, number(third)?));
    }
    if second.len() > 2 || third.len() > 4 {
        return Err(Fail::Unserved);
    }
    match style.contains("DMY") {
        true => Ok((year(third)?, number(second)?, number(first)?)),
        false => Ok((year(third)?, number(first)?, number(second)?)),
    }
}

/// Years of two digits are near 2000.
fn year(text: &str) -> Outcome<i64> {
    let year = text.parse::<i64>().map_err(|_| Fail::Field)?;
    Ok(match text.len() {
        1 | 2 if year < 70 => year + 2000,
        1 | 2 => year + 1900,
        _ => year,
    })
}

pub(super) fn checked_date(year: i64, month: i64, day: i64, bc: bool) -> Outcome<i64> {
    if year <= 0 || year > 10_000_000 {
        return Err(Fail::Field);
    }
    let year = if bc { 1 - year } else { year };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(Fail::MonthOrDay);
    }
    if day > calendar::month_length(year, month) {
        return Err(Fail::Field);
    }
    Ok(calendar::days(year, month, day))
}

/// `HH:MM[:SS[.fraction]]` in microseconds.
pub(super) fn clock(text: &str) -> Outcome<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = whole.split(':').collect();
    if fraction.contains(['.', ':']) || parts.iter().any(|part| part.is_empty()) {
        return Err(Fail::Format);
    }
    if parts.iter().any(|part| part.len() > 2) {
        return Err(Fail::Unserved);
    }
    let number = |part: &str| part.parse::<i64>().map_err(|_| Fail::Field);
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute, second] => (number(hour)?, number(minute)?, number(second)?),
        [hour, minute] if !text.contains('.') => (number(hour)?, number(minute)?, 0),
        // Minutes and seconds, to an interval's reader; too rare to tell apart here.
        [_, _] => return Err(Fail::Unserved),
        _ => return Err(Fail::Format),
    };
    let us = hour * HOUR + minute * MINUTE + second * SECOND + microseconds(fraction);
    if hour > 24 || minute > 59 || second > 60 || us > DAY {
        return Err(Fail::Field);
    }
    Ok(us)
}

/// A fraction's digits, rounded as C would: by way of a double.
#[expect(clippy::cast_possible_truncation, reason = "below two millions")]
pub(crate) fn microseconds(fraction: &str) -> i64 {
    format!("0.{fraction}0")
        .parse::<f64>()
        .map_or(0, |seconds| (seconds * 1e6).round_ties_even() as i64)
}

/// Seconds east, of `+01`, `+0130`, `+01:30`, `+01:30:15`.
pub(super) fn displacement(text: &str) -> Outcome<i32> {
    let (negative, digits) = (text.starts_with('-'), &text[1..]);
    let number = |part: &str| part.parse::<i32>().map_err(|_| Fail::Format);
    let parts: Vec<&str> = digits.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [together] if together.len() == 5 || together.len() > 6 => return Err(Fail::Unserved),
        [together] if together.len() > 4 => {
            let (rest, seconds) = together.split_at(together.len() - 2);
            let (hours, minutes) = rest.split_at(rest.len() - 2);
            (number(hours)?, number(minutes)?, number(seconds)?)
        }
        [together] if together.len() > 2 => {
            let (hours, minutes) = together.split_at(together.len() - 2);
            (number(hours)?, number(minutes)?, 0)
        }
        _ => (number(digits)?, 0, 0),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Fail::ZoneField);
    }
    let east = hours * 3600 + minutes * 60 + seconds;
    Ok(if negative { -east } else { east })
}
