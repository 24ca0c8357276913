//! `AT TIME ZONE`, and the clocks.

use jiff::tz::TimeZone;

use super::{
    super::{date, double, interval, text, timestamp},
    is_infinite,
};
use crate::{
    Error, Interval, Result, Value,
    datetime::{self, SECOND, input, zone},
    resolve::Call,
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "timestamp_zone" => |_, args| to_instant(&named(text(args, 0)?)?, timestamp(args, 1)?),
        "timestamptz_zone" => |_, args| to_clock(&named(text(args, 0)?)?, timestamp(args, 1)?),
        "timestamp_izone" => {
            |_, args| to_instant(&shifted(interval(args, 0)?)?, timestamp(args, 1)?)
        }
        "timestamptz_izone" => {
            |_, args| to_clock(&shifted(interval(args, 0)?)?, timestamp(args, 1)?)
        }
        "now" => |scope, _| Ok(Value::Timestamp(scope.session.transaction_start)),
        "statement_timestamp" => |scope, _| Ok(Value::Timestamp(scope.session.statement_start)),
        "clock_timestamp" => |_, _| Ok(Value::Timestamp(clock())),
        "timestamp_finite" => |_, args| Ok(Value::Bool(!is_infinite(timestamp(args, 0)?))),
        "date_finite" => |_, args| Ok(Value::Bool(!matches!(date(args, 0)?, i32::MAX | i32::MIN))),
        "interval_finite" => |_, _| Ok(Value::Bool(true)),
        "float8_timestamptz" => |_, args| from_epoch(double(args, 0)?),
        _ => return None,
    })
}

/// Microseconds since 2000-01-01 UTC by the machine's clock.
fn clock() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
        - 946_684_800 * SECOND
}

/// A zone by its abbreviation or name.
pub(super) fn named(name: &str) -> Result<TimeZone> {
    if let Some(east) = input::abbreviation(name) {
        return zone::fixed(east);
    }
    match zone::known(name) {
        Some(zone) => Ok(zone),
        // There are abbreviations, by a setting of the server, that are not known here.
        None if name.len() <= 5 && name.bytes().all(|byte| byte.is_ascii_alphabetic()) => Err(
            Error::unsupported(format!("the time zone abbreviation {name}")),
        ),
        None => Err(Error::new(
            "22023",
            format!("time zone \"{name}\" not recognized"),
        )),
    }
}

fn shifted(interval: Interval) -> Result<TimeZone> {
    if interval.months != 0 || interval.days != 0 {
        let mut shown = Vec::new();
        datetime::output::interval(interval, &mut shown);
        let shown = String::from_utf8_lossy(&shown).into_owned();
        return Err(Error::new(
            "22023",
            format!("interval time zone \"{shown}\" must not include months or days"),
        ));
    }
    zone::fixed(i32::try_from(interval.us / SECOND).unwrap_or(i32::MAX))
}

fn to_instant(zone: &TimeZone, local: i64) -> Result<Value> {
    if is_infinite(local) {
        return Ok(Value::Timestamp(local));
    }
    datetime::timestamp(zone::to_utc(zone, local)).map(Value::Timestamp)
}

fn to_clock(zone: &TimeZone, us: i64) -> Result<Value> {
    if is_infinite(us) {
        return Ok(Value::Timestamp(us));
    }
    datetime::timestamp(zone::to_local(zone, us)).map(Value::Timestamp)
}

/// `to_timestamp(double precision)`.
fn from_epoch(seconds: f64) -> Result<Value> {
    if seconds.is_nan() {
        return Err(Error::new("22008", "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(Value::Timestamp(if seconds > 0.0 {
            i64::MAX
        } else {
            i64::MIN
        }));
    }
    let us = ((seconds - 946_684_800.0) * 1e6).round_ties_even();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is too large saturates beyond the last timestamp"
    )]
    let us = us as i64;
    if !datetime::is_timestamp(us) {
        return Err(Error::unsupported("a timestamp out of range"));
    }
    Ok(Value::Timestamp(us))
}
