//! `date_out` and its kin, in DateStyle ISO; `interval_out` in the styles `postgres` and `iso_8601`.

use std::io::Write as _;

use super::{
    DAY, HOUR, MINUTE, SECOND,
    calendar::{Civil, civil},
};
use crate::Interval;

/// Appends formatted text; writing to a vector cannot fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {
        let _ = write!($out, $($format)*);
    };
}

pub(crate) fn date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend(b"infinity"),
        i32::MIN => out.extend(b"-infinity"),
        _ => {
            let Civil { year, month, day } = civil(i64::from(days));
            put!(out, "{:04}-{month:02}-{day:02}", shown_year(year));
            era(year, out);
        }
    }
}

fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { 1 - year }
}

fn era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend(b" BC");
    }
}

/// `HH:MM:SS` and the fraction that there is.
pub(crate) fn time(us: i64, out: &mut Vec<u8>) {
    put!(
        out,
        "{:02}:{:02}:{:02}",
        us / HOUR,
        us / MINUTE % 60,
        us / SECOND % 60
    );
    fraction(us % SECOND, out);
}

/// Without zeros at the end.
fn fraction(us: i64, out: &mut Vec<u8>) {
    if us != 0 {
        let digits = format!("{:06}", us.abs());
        put!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// `+01`, `-03:30`, `+00:53:28`.
pub(crate) fn offset(east: i32, out: &mut Vec<u8>) {
    offset_of(east, false, out);
}

/// With its minutes always, as ISO 8601 and so JSON want it.
fn offset_of(east: i32, minutes: bool, out: &mut Vec<u8>) {
    let seconds = east.unsigned_abs();
    put!(
        out,
        "{}{:02}",
        if east < 0 { '-' } else { '+' },
        seconds / 3600
    );
    if minutes || !seconds.is_multiple_of(3600) {
        put!(out, ":{:02}", seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        put!(out, ":{:02}", seconds % 60);
    }
}

/// A local time, with its offset for `timestamptz`.
pub(crate) fn timestamp(local: i64, separator: char, east: Option<i32>, out: &mut Vec<u8>) {
    let Civil { year, month, day } = civil(local.div_euclid(DAY));
    put!(
        out,
        "{:04}-{month:02}-{day:02}{separator}",
        shown_year(year)
    );
    time(local.rem_euclid(DAY), out);
    if let Some(east) = east {
        offset_of(east, separator == 'T', out);
    }
    era(year, out);
}

/// `1 year 2 mons -3 days +04:05:06`.
pub(crate) fn interval(interval: Interval, out: &mut Vec<u8>) {
    let mut after_negative = false;
    let start = out.len();
    let parts = [
        (interval.months / 12, "year"),
        (interval.months % 12, "mon"),
        (interval.days, "day"),
    ];
    for (number, unit) in parts {
        if number == 0 {
            continue;
        }
        let space = if out.len() > start { " " } else { "" };
        let plus = if after_negative && number > 0 {
            "+"
        } else {
            ""
        };
        put!(
            out,
            "{space}{plus}{number} {unit}{}",
            if number == 1 { "" } else { "s" }
        );
        after_negative = number < 0;
    }
    if interval.us == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if interval.us < 0 {
        out.push(b'-');
    } else if after_negative {
        out.push(b'+');
    }
    let us = interval.us.unsigned_abs();
    put!(
        out,
        "{:02}:{:02}:{:02}",
        us / 3_600_000_000,
        us / 60_000_000 % 60,
        us / 1_000_000 % 60
    );
    fraction(i64::try_from(us % 1_000_000).unwrap_or(0), out);
}

/// `P1Y2M-3DT4H5M6S`.
pub(crate) fn interval_iso(interval: Interval, out: &mut Vec<u8>) {
    if interval.months == 0 && interval.days == 0 && interval.us == 0 {
        out.extend(b"PT0S");
        return;
    }
    out.push(b'P');
    let mut part = |number: i64, unit: char| {
        if number != 0 {
            put!(out, "{number}{unit}");
        }
    };
    part(i64::from(interval.months / 12), 'Y');
    part(i64::from(interval.months % 12), 'M');
    part(i64::from(interval.days), 'D');
    if interval.us == 0 {
        return;
    }
    out.push(b'T');
    let mut part = |number: i64, unit: char| {
        if number != 0 {
            put!(out, "{number}{unit}");
        }
    };
    part(interval.us / HOUR, 'H');
    part(interval.us / MINUTE % 60, 'M');
    let rest = interval.us % MINUTE;
    if rest != 0 {
        if rest < 0 {
            out.push(b'-');
        }
        put!(out, "{}", (rest / SECOND).abs());
        fraction(rest % SECOND, out);
        out.push(b'S');
    }
}
