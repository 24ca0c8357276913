//! `+`, `-`, `*` and `/`.

use super::{
    super::{date, double, int, interval, time, timestamp},
    add_intervals, interval_out_of_range, is_infinite, negated, timestamp_out_of_range,
};
use crate::{
    Error, Interval, Result, Session, Value,
    cast::{datetime::date_to_timestamp, number::TWO_TO_63},
    datetime::{self, DAY, SECOND, calendar, zone},
    numeric::division_by_zero,
    resolve::{Call, Scope},
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "date_pli" => |_, args| moved(date(args, 0)?, int(args, 1)?),
        "date_mii" => |_, args| moved(date(args, 0)?, -int(args, 1)?),
        "integer_pl_date(int4,date)" => |_, args| moved(date(args, 1)?, int(args, 0)?),
        "date_mi" => |_, args| {
            let (left, right) = (date(args, 0)?, date(args, 1)?);
            if [left, right]
                .iter()
                .any(|days| matches!(*days, i32::MAX | i32::MIN))
            {
                return Err(Error::new("22008", "cannot subtract infinite dates"));
            }
            Ok(Value::Int(i64::from(left) - i64::from(right)))
        },
        "date_pl_interval" => {
            |_, args| plus(date_to_timestamp(date(args, 0)?)?, interval(args, 1)?)
        }
        "interval_pl_date(interval,date)" => {
            |_, args| plus(date_to_timestamp(date(args, 1)?)?, interval(args, 0)?)
        }
        "date_mi_interval" => |_, args| {
            plus(
                date_to_timestamp(date(args, 0)?)?,
                negated(interval(args, 1)?)?,
            )
        },
        "timestamp_pl_interval" => |_, args| plus(timestamp(args, 0)?, interval(args, 1)?),
        "interval_pl_timestamp(interval,timestamp)" => {
            |_, args| plus(timestamp(args, 1)?, interval(args, 0)?)
        }
        "timestamp_mi_interval" => {
            |_, args| plus(timestamp(args, 0)?, negated(interval(args, 1)?)?)
        }
        "timestamptz_pl_interval" => {
            |scope, args| plus_zoned(scope.session, timestamp(args, 0)?, interval(args, 1)?)
        }
        "interval_pl_timestamptz(interval,timestamptz)" => {
            |scope, args| plus_zoned(scope.session, timestamp(args, 1)?, interval(args, 0)?)
        }
        "timestamptz_mi_interval" => |scope, args| {
            plus_zoned(
                scope.session,
                timestamp(args, 0)?,
                negated(interval(args, 1)?)?,
            )
        },
        "timestamp_mi" => between,
        "interval_pl" => {
            |_, args| add_intervals(interval(args, 0)?, interval(args, 1)?).map(Value::Interval)
        }
        "interval_mi" => |_, args| subtract(interval(args, 0)?, interval(args, 1)?),
        "interval_um" => |_, args| negated(interval(args, 0)?).map(Value::Interval),
        "interval_mul" => |_, args| {
            scaled(interval(args, 0)?, double(args, 1)?, |part, factor| {
                part * factor
            })
        },
        "mul_d_interval" => |_, args| {
            scaled(interval(args, 1)?, double(args, 0)?, |part, factor| {
                part * factor
            })
        },
        "interval_div" => |_, args| match double(args, 1)? {
            0.0 => Err(division_by_zero()),
            divisor => scaled(interval(args, 0)?, divisor, |part, divisor| part / divisor),
        },
        "time_pl_interval" => {
            |_, args| Ok(Value::Time(wrapped(time(args, 0)?, interval(args, 1)?.us)))
        }
        "interval_pl_time(interval,time)" => {
            |_, args| Ok(Value::Time(wrapped(time(args, 1)?, interval(args, 0)?.us)))
        }
        "time_mi_interval" => |_, args| {
            Ok(Value::Time(wrapped(
                time(args, 0)?,
                -(interval(args, 1)?.us % DAY),
            )))
        },
        "time_mi_time" => |_, args| {
            Ok(Value::Interval(Interval {
                months: 0,
                days: 0,
                us: time(args, 0)? - time(args, 1)?,
            }))
        },
        "datetime_timestamp" => |_, args| at_time(date(args, 0)?, time(args, 1)?),
        "timedate_pl(time,date)" => |_, args| at_time(date(args, 1)?, time(args, 0)?),
        _ => return None,
    })
}

fn moved(days: i32, by: i64) -> Result<Value> {
    if matches!(days, i32::MAX | i32::MIN) {
        return Ok(Value::Date(days));
    }
    let moved = datetime::date(Some(i64::from(days) + by));
    moved
        .map(Value::Date)
        .ok_or_else(|| Error::new("22008", "date out of range"))
}

/// Months and days on the calendar; the month's last day where it has no such day.
fn calendar_moved(local: i64, by: Interval) -> Option<i64> {
    let mut day = local.div_euclid(DAY);
    if by.months != 0 {
        let from = calendar::civil(day);
        let months = from.month - 1 + i64::from(by.months);
        let (year, month) = (from.year + months.div_euclid(12), months.rem_euclid(12) + 1);
        day = calendar::days(
            year,
            month,
            from.day.min(calendar::month_length(year, month)),
        );
    }
    let us = (day + i64::from(by.days)).checked_mul(DAY)?;
    us.checked_add(local.rem_euclid(DAY))
        .filter(|us| datetime::is_timestamp(*us))
}

fn plus(local: i64, by: Interval) -> Result<Value> {
    if is_infinite(local) {
        return Ok(Value::Timestamp(local));
    }
    let moved = calendar_moved(local, by).and_then(|us| us.checked_add(by.us));
    datetime::timestamp(moved).map(Value::Timestamp)
}

/// Months and days on the session's calendar, hours on the clock of UTC.
fn plus_zoned(session: &Session, us: i64, by: Interval) -> Result<Value> {
    if is_infinite(us) {
        return Ok(Value::Timestamp(us));
    }
    let mut instant = us;
    if by.months != 0 || by.days != 0 {
        let zone = zone::find(&session.time_zone)?;
        let local = zone::to_local(&zone, us).and_then(|local| calendar_moved(local, by));
        instant = local
            .and_then(|local| zone::to_utc(&zone, local))
            .ok_or_else(timestamp_out_of_range)?;
    }
    datetime::timestamp(instant.checked_add(by.us)).map(Value::Timestamp)
}

/// From this version on intervals can be infinite.
const INFINITE_INTERVALS: u32 = 170_000;

fn between(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (left, right) = (timestamp(args, 0)?, timestamp(args, 1)?);
    if is_infinite(left) || is_infinite(right) {
        return Err(if scope.session.server_version_num >= INFINITE_INTERVALS {
            Error::unsupported("an infinite interval")
        } else {
            Error::new("22008", "cannot subtract infinite timestamps")
        });
    }
    let us = left.checked_sub(right).ok_or_else(interval_out_of_range)?;
    let days = i32::try_from(us / DAY).map_err(|_| interval_out_of_range())?;
    Ok(Value::Interval(Interval {
        months: 0,
        days,
        us: us % DAY,
    }))
}

fn subtract(left: Interval, right: Interval) -> Result<Value> {
    let difference = || {
        Some(Interval {
            months: left.months.checked_sub(right.months)?,
            days: left.days.checked_sub(right.days)?,
            us: left.us.checked_sub(right.us)?,
        })
    };
    difference()
        .map(Value::Interval)
        .ok_or_else(interval_out_of_range)
}

/// Rounds to microseconds, as `TSROUND`.
fn ts_round(number: f64) -> f64 {
    (number * 1e6).round_ties_even() / 1e6
}

fn narrow(number: f64) -> Result<i32> {
    if number.is_nan() || number > f64::from(i32::MAX) || number < f64::from(i32::MIN) {
        return Err(interval_out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "cut towards zero is meant")]
    Ok(number as i32)
}

/// Each part times or by a factor; what is left of months goes to days (of 30 a month), what is left of days to the time.
fn scaled(interval: Interval, factor: f64, compute: fn(f64, f64) -> f64) -> Result<Value> {
    const SECONDS: f64 = 86400.0;
    let (months, days) = (f64::from(interval.months), f64::from(interval.days));
    let mut out = Interval {
        months: narrow(compute(months, factor))?,
        days: narrow(compute(days, factor))?,
        us: 0,
    };
    let from_months = ts_round((compute(months, factor) - f64::from(out.months)) * 30.0);
    let whole = from_months.trunc();
    let mut seconds =
        ts_round((compute(days, factor) - f64::from(out.days) + from_months - whole) * SECONDS);
    let overflow = interval_out_of_range;
    if seconds.abs() >= SECONDS {
        let extra = narrow(seconds / SECONDS)?;
        out.days = out.days.checked_add(extra).ok_or_else(overflow)?;
        seconds -= f64::from(extra) * SECONDS;
    }
    out.days = out.days.checked_add(narrow(whole)?).ok_or_else(overflow)?;
    #[expect(clippy::cast_precision_loss, reason = "as PostgreSQL computes it")]
    let us = (compute(interval.us as f64, factor) + seconds * 1e6).round_ties_even();
    if !(-TWO_TO_63..TWO_TO_63).contains(&us) {
        return Err(overflow());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the bounds just checked"
    )]
    let us = us as i64;
    Ok(Value::Interval(Interval { us, ..out }))
}

/// On a clock of one day.
fn wrapped(time: i64, us: i64) -> i64 {
    (time + us % DAY).rem_euclid(DAY)
}

fn at_time(days: i32, time: i64) -> Result<Value> {
    let midnight = date_to_timestamp(days)?;
    if is_infinite(midnight) {
        return Ok(Value::Timestamp(midnight));
    }
    debug_assert!(time <= 24 * 3600 * SECOND);
    datetime::timestamp(midnight.checked_add(time)).map(Value::Timestamp)
}
