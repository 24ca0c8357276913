//! Dates, times, time zones and intervals: the calendar, and the text forms.

pub(crate) mod calendar;
pub(crate) mod input;
pub(crate) mod interval;
pub(crate) mod output;
mod scan;
pub(crate) mod zone;

use crate::{Error, Result};

/// Microseconds of a second, a minute, an hour and a day.
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// 4713-11-24 BC, the first day there is, and the day after the last timestamp's, in days since 2000-01-01.
pub(crate) const FIRST_DAY: i64 = -2_451_545;
const LAST_TIMESTAMP_DAY: i64 = 106_751_983 - 1;
/// The day after the last `date`.
const END_DAY: i64 = 2_145_031_949;

/// Whether it lies within what `timestamp` holds.
pub(crate) fn is_timestamp(us: i64) -> bool {
    (FIRST_DAY * DAY..(LAST_TIMESTAMP_DAY + 1) * DAY).contains(&us)
}

/// Checks a computed timestamp.
pub(crate) fn timestamp(us: Option<i64>) -> Result<i64> {
    us.filter(|us| is_timestamp(*us))
        .ok_or_else(|| Error::new("22008", "timestamp out of range"))
}

/// Checks a computed date.
pub(crate) fn date(days: Option<i64>) -> Option<i32> {
    days.filter(|days| (FIRST_DAY..END_DAY).contains(days))
        .and_then(|days| i32::try_from(days).ok())
}

/// Rounds microseconds to this many decimals of a second, half away from zero.
pub(crate) fn rounded(us: i64, decimals: i32) -> i64 {
    let Ok(places @ 0..=5) = u32::try_from(decimals) else {
        return us;
    };
    let unit = 10i64.pow(6 - places);
    let magnitude = us.unsigned_abs().saturating_add(unit.unsigned_abs() / 2) / unit.unsigned_abs();
    let magnitude = i64::try_from(magnitude)
        .unwrap_or(i64::MAX / unit)
        .saturating_mul(unit);
    if us < 0 { -magnitude } else { magnitude }
}
