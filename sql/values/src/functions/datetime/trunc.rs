//! `date_trunc` and `date_bin`.

use super::{
    super::{interval, text, timestamp},
    is_infinite, timestamp_out_of_range,
    unit::{self, Unit},
};
use crate::{
    Error, Interval, Result, Value,
    datetime::{self, DAY, HOUR, MINUTE, SECOND, calendar, zone},
    oid,
    resolve::Call,
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "timestamp_trunc" => |_, args| {
            let us = timestamp(args, 1)?;
            if is_infinite(us) {
                return Ok(Value::Timestamp(us));
            }
            let unit = known(text(args, 0)?, oid::TIMESTAMP)?;
            datetime::timestamp(Some(cut(us, unit))).map(Value::Timestamp)
        },
        "timestamptz_trunc" => |scope, args| {
            zoned(
                text(args, 0)?,
                timestamp(args, 1)?,
                &scope.session.time_zone,
            )
        },
        "timestamptz_trunc_zone" => {
            |_, args| zoned(text(args, 0)?, timestamp(args, 1)?, text(args, 2)?)
        }
        "interval_trunc" => |_, args| interval_cut(text(args, 0)?, interval(args, 1)?),
        "timestamp_bin" | "timestamptz_bin" => {
            |_, args| bin(interval(args, 0)?, timestamp(args, 1)?, timestamp(args, 2)?)
        }
        _ => return None,
    })
}

fn known(name: &str, ty: crate::Oid) -> Result<Unit> {
    match unit::parse(name) {
        None => Err(unit::unknown(name, ty)),
        Some(unit) if unit > Unit::Millennium && unit < Unit::Zone => Err(unit::unknown(name, ty)),
        Some(unit) if unit > Unit::Millennium => Err(unit::unserved(name, ty)),
        Some(unit) => Ok(unit),
    }
}

fn cut(local: i64, unit: Unit) -> i64 {
    let day = local.div_euclid(DAY);
    let civil = calendar::civil(day);
    let start = |year, month| calendar::days(year, month, 1) * DAY;
    match unit {
        Unit::Milliseconds => local - local.rem_euclid(1000),
        Unit::Second => local - local.rem_euclid(SECOND),
        Unit::Minute => local - local.rem_euclid(MINUTE),
        Unit::Hour => local - local.rem_euclid(HOUR),
        Unit::Day => day * DAY,
        Unit::Week => (day - (calendar::weekday(day) + 6) % 7) * DAY,
        Unit::Month => start(civil.year, civil.month),
        Unit::Quarter => start(civil.year, (civil.month - 1) / 3 * 3 + 1),
        Unit::Year | Unit::Decade | Unit::Century | Unit::Millennium => {
            start(unit::era_start(civil.year, unit), 1)
        }
        _ => local,
    }
}

fn zoned(name: &str, us: i64, zone: &str) -> Result<Value> {
    if is_infinite(us) {
        return Ok(Value::Timestamp(us));
    }
    let zone = super::zone::named(zone)?;
    let unit = known(name, oid::TIMESTAMPTZ)?;
    let east = i64::from(zone::offset_at(&zone, us)) * SECOND;
    let local = cut(us + east, unit);
    // Below a day the offset stays the same, which tells the two hours of autumn apart.
    let instant = if unit >= Unit::Day {
        zone::to_utc(&zone, local)
    } else {
        Some(local - east)
    };
    datetime::timestamp(instant).map(Value::Timestamp)
}

fn interval_cut(name: &str, interval: Interval) -> Result<Value> {
    let unit = known(name, oid::INTERVAL)?;
    let Interval { months, days, us } = interval;
    let of_months = |length: i32| Interval {
        months: months / length * length,
        days: 0,
        us: 0,
    };
    let of_us = |length: i64| Interval {
        us: us / length * length,
        ..interval
    };
    Ok(Value::Interval(match unit {
        Unit::Microseconds => interval,
        Unit::Milliseconds => of_us(1000),
        Unit::Second => of_us(SECOND),
        Unit::Minute => of_us(MINUTE),
        Unit::Hour => of_us(HOUR),
        Unit::Day => Interval {
            months,
            days,
            us: 0,
        },
        Unit::Month => of_months(1),
        Unit::Quarter => of_months(3),
        Unit::Year => of_months(12),
        Unit::Decade => of_months(120),
        Unit::Century => of_months(1200),
        Unit::Millennium => of_months(12000),
        _ => {
            return Err(
                unit::unserved(name, oid::INTERVAL).detail("Months usually have fractional weeks.")
            );
        }
    }))
}

fn bin(stride: Interval, us: i64, origin: i64) -> Result<Value> {
    if is_infinite(us) {
        return Ok(Value::Timestamp(us));
    }
    if is_infinite(origin) {
        return Err(Error::new("22008", "origin out of range"));
    }
    if stride.months != 0 {
        return Err(Error::new(
            "0A000",
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let width = i64::from(stride.days)
        .checked_mul(DAY)
        .and_then(|days| days.checked_add(stride.us));
    let width = width.ok_or_else(|| Error::new("22008", "interval out of range"))?;
    if width <= 0 {
        return Err(Error::new("22008", "stride must be greater than zero"));
    }
    let distance = us
        .checked_sub(origin)
        .ok_or_else(|| Error::new("22008", "interval out of range"))?;
    let start = distance
        .div_euclid(width)
        .checked_mul(width)
        .and_then(|by| origin.checked_add(by));
    datetime::timestamp(start)
        .map_err(|_| timestamp_out_of_range())
        .map(Value::Timestamp)
}
