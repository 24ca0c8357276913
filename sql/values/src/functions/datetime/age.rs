//! `age`, and `justify_…`.

use super::{
    super::{interval, timestamp},
    interval_out_of_range, is_infinite,
};
use crate::{
    Error, Interval, Result, Session, Value,
    cast::datetime::to_local,
    datetime::{DAY, calendar},
    resolve::Call,
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "timestamp_age" => |_, args| age(timestamp(args, 0)?, timestamp(args, 1)?),
        "timestamptz_age" => |scope, args| {
            let local = |index| to_local(timestamp(args, index)?, scope.session);
            age(local(0)?, local(1)?)
        },
        "age(timestamp)" => |scope, args| age(midnight(scope.session)?, timestamp(args, 0)?),
        "age(timestamptz)" => |scope, args| {
            age(
                midnight(scope.session)?,
                to_local(timestamp(args, 0)?, scope.session)?,
            )
        },
        "interval_justify_hours" => |_, args| justified(interval(args, 0)?, true, false),
        "interval_justify_days" => |_, args| justified(interval(args, 0)?, false, true),
        "interval_justify_interval" => |_, args| justified(interval(args, 0)?, true, true),
        _ => return None,
    })
}

/// The day's beginning, on the session's calendar.
fn midnight(session: &Session) -> Result<i64> {
    let local = to_local(session.transaction_start, session)?;
    Ok(local.div_euclid(DAY) * DAY)
}

/// Years, months and days as a person counts them. What the days borrow is the length of the earlier date's month.
fn age(left: i64, right: i64) -> Result<Value> {
    if is_infinite(left) || is_infinite(right) {
        return Err(Error::unsupported("the age of an infinite timestamp"));
    }
    let (later, earlier) = if left < right {
        (right, left)
    } else {
        (left, right)
    };
    let (to, from) = (
        calendar::civil(later.div_euclid(DAY)),
        calendar::civil(earlier.div_euclid(DAY)),
    );
    let mut us = later.rem_euclid(DAY) - earlier.rem_euclid(DAY);
    let mut days = to.day - from.day;
    let mut months = (to.year - from.year) * 12 + to.month - from.month;
    if us < 0 {
        us += DAY;
        days -= 1;
    }
    while days < 0 {
        days += calendar::month_length(from.year, from.month);
        months -= 1;
    }
    let sign = if left < right { -1 } else { 1 };
    let narrow = |number: i64| i32::try_from(sign * number).map_err(|_| interval_out_of_range());
    Ok(Value::Interval(Interval {
        months: narrow(months)?,
        days: narrow(days)?,
        us: sign * us,
    }))
}

/// Brings hours to days and days to months, and all to one sign.
fn justified(interval: Interval, hours: bool, to_months: bool) -> Result<Value> {
    let (mut months, mut days, mut us) = (
        i64::from(interval.months),
        i64::from(interval.days),
        interval.us,
    );
    if hours {
        days += us / DAY;
        us %= DAY;
    }
    if to_months {
        months += days / 30;
        days %= 30;
        if months > 0 && (days < 0 || (hours && days == 0 && us < 0)) {
            days += 30;
            months -= 1;
        } else if months < 0 && (days > 0 || (hours && days == 0 && us > 0)) {
            days -= 30;
            months += 1;
        }
    }
    if hours {
        if days > 0 && us < 0 {
            us += DAY;
            days -= 1;
        } else if days < 0 && us > 0 {
            us -= DAY;
            days += 1;
        }
    }
    let narrow = |number: i64| i32::try_from(number).map_err(|_| interval_out_of_range());
    Ok(Value::Interval(Interval {
        months: narrow(months)?,
        days: narrow(days)?,
        us,
    }))
}
