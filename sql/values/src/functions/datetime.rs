//! Dates, times, timestamps and intervals.

mod add;
mod age;
mod make;
mod part;
mod to_char;
mod trunc;
mod unit;
mod zone;

use crate::{Error, Interval, Result, resolve::Call};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    add::find(code)
        .or_else(|| age::find(code))
        .or_else(|| make::find(code))
        .or_else(|| part::find(code))
        .or_else(|| trunc::find(code))
        .or_else(|| zone::find(code))
        .or_else(|| to_char::find(code))
}

pub(super) fn is_infinite(us: i64) -> bool {
    us == i64::MAX || us == i64::MIN
}

fn interval_out_of_range() -> Error {
    Error::new("22008", "interval out of range")
}

fn timestamp_out_of_range() -> Error {
    Error::new("22008", "timestamp out of range")
}

/// Sums the parts of two intervals.
fn add_intervals(left: Interval, right: Interval) -> Result<Interval> {
    let sum = || {
        Some(Interval {
            months: left.months.checked_add(right.months)?,
            days: left.days.checked_add(right.days)?,
            us: left.us.checked_add(right.us)?,
        })
    };
    sum().ok_or_else(interval_out_of_range)
}

fn negated(interval: Interval) -> Result<Interval> {
    let negated = || {
        Some(Interval {
            months: interval.months.checked_neg()?,
            days: interval.days.checked_neg()?,
            us: interval.us.checked_neg()?,
        })
    };
    negated().ok_or_else(interval_out_of_range)
}
