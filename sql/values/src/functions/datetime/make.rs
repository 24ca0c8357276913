//! `make_…`.

use super::{
    super::{double, int},
    interval_out_of_range,
};
use crate::{
    Error, Interval, Result, Value,
    cast::datetime::to_timestamptz,
    datetime::{self, DAY, HOUR, MINUTE, calendar},
    resolve::{Call, Scope},
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "make_date" => |_, args| {
            let days = day(int(args, 0)?, int(args, 1)?, int(args, 2)?)?;
            datetime::date(Some(days))
                .map(Value::Date)
                .ok_or_else(|| out_of_range("date", args))
        },
        "make_time" => |_, args| {
            Ok(Value::Time(time(
                int(args, 0)?,
                int(args, 1)?,
                double(args, 2)?,
            )?))
        },
        "make_timestamp" => |_, args| local(args).map(Value::Timestamp),
        "make_timestamptz" => {
            |scope, args| to_timestamptz(local(args)?, scope.session).map(Value::Timestamp)
        }
        "make_interval" => make_interval,
        _ => return None,
    })
}

fn out_of_range(what: &str, args: &[Value]) -> Error {
    let part = |index| int(args, index).unwrap_or(0);
    Error::new(
        "22008",
        format!(
            "{what} out of range: {}-{:02}-{:02}",
            part(0),
            part(1),
            part(2)
        ),
    )
}

fn day(year: i64, month: i64, day: i64) -> Result<i64> {
    // A negative year is one BC.
    let astronomical = if year < 0 { year + 1 } else { year };
    let fits = year != 0
        && (1..=12).contains(&month)
        && (1..=calendar::month_length(astronomical, month)).contains(&day);
    if !fits {
        return Err(Error::new(
            "22008",
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        ));
    }
    Ok(calendar::days(astronomical, month, day))
}

fn time(hour: i64, minute: i64, seconds: f64) -> Result<i64> {
    let fits =
        (0..=24).contains(&hour) && (0..=59).contains(&minute) && (0.0..=60.0).contains(&seconds);
    #[expect(clippy::cast_possible_truncation, reason = "at most a minute")]
    let us = (seconds * 1e6).round_ties_even() as i64;
    let total = hour * HOUR + minute * MINUTE + us;
    if !fits || total > DAY {
        let shown = if seconds.fract() == 0.0 {
            format!("{seconds:02}")
        } else {
            format!("{seconds}")
        };
        return Err(Error::new(
            "22008",
            format!("time field value out of range: {hour}:{minute:02}:{shown}"),
        ));
    }
    Ok(total)
}

fn local(args: &[Value]) -> Result<i64> {
    let days = day(int(args, 0)?, int(args, 1)?, int(args, 2)?)?;
    let time = time(int(args, 3)?, int(args, 4)?, double(args, 5)?)?;
    datetime::timestamp(days.checked_mul(DAY).and_then(|us| us.checked_add(time)))
}

/// Years, months, weeks, days, hours, minutes, seconds; those at the end may be left out.
fn make_interval(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let part = |index: usize| {
        if index < args.len() {
            int(args, index)
        } else {
            Ok(0)
        }
    };
    let seconds = if args.len() > 6 {
        double(args, 6)?
    } else {
        0.0
    };
    if !seconds.is_finite() || seconds.abs() > 9e12 {
        return Err(interval_out_of_range());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the bounds just checked"
    )]
    let us = (seconds * 1e6).round_ties_even() as i64;
    let narrow = |number: i64| i32::try_from(number).map_err(|_| interval_out_of_range());
    Ok(Value::Interval(Interval {
        months: narrow(part(0)? * 12 + part(1)?)?,
        days: narrow(part(2)? * 7 + part(3)?)?,
        us: part(4)? * HOUR + part(5)? * MINUTE + us,
    }))
}
