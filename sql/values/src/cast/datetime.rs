//! Casts between dates, times and intervals.

use crate::{
    Error, Interval, Oid, Result, Session, Value,
    datetime::{self, DAY, zone},
    oid,
};

/// `None` where the cast is not served.
pub(super) fn convert(
    value: &Value,
    from: Oid,
    to: Oid,
    session: &Session,
) -> Result<Option<Value>> {
    Ok(Some(match (value, to) {
        (Value::Date(days), oid::TIMESTAMP) => Value::Timestamp(date_to_timestamp(*days)?),
        (Value::Date(days), oid::TIMESTAMPTZ) => {
            Value::Timestamp(to_timestamptz(date_to_timestamp(*days)?, session)?)
        }
        (Value::Timestamp(us), _) => return from_timestamp(*us, from, to, session).map(Some),
        (Value::Time(us), oid::INTERVAL) => Value::Interval(Interval {
            months: 0,
            days: 0,
            us: *us,
        }),
        (Value::Time(us), oid::TIMETZ) => {
            let zone = zone::find(&session.time_zone)?;
            let today = zone::to_local(&zone, session.transaction_start)
                .unwrap_or(0)
                .div_euclid(DAY);
            Value::TimeTz(*us, -zone::offset_of(&zone, today * DAY + us))
        }
        (Value::TimeTz(us, _), oid::TIME) => Value::Time(*us),
        (Value::Interval(interval), oid::TIME) => Value::Time(interval.us.rem_euclid(DAY)),
        _ => return Ok(None),
    }))
}

/// Midnight of a day.
pub(crate) fn date_to_timestamp(days: i32) -> Result<i64> {
    match days {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        _ => {
            let us = i64::from(days).checked_mul(DAY);
            us.filter(|us| datetime::is_timestamp(*us))
                .ok_or_else(|| Error::new("22008", "date out of range for timestamp"))
        }
    }
}

fn is_infinite(us: i64) -> bool {
    us == i64::MAX || us == i64::MIN
}

/// A local time's instant in the session's zone.
pub(crate) fn to_timestamptz(local: i64, session: &Session) -> Result<i64> {
    if is_infinite(local) {
        return Ok(local);
    }
    datetime::timestamp(zone::to_utc(&zone::find(&session.time_zone)?, local))
}

/// An instant's local time in the session's zone.
pub(crate) fn to_local(us: i64, session: &Session) -> Result<i64> {
    if is_infinite(us) {
        return Ok(us);
    }
    datetime::timestamp(zone::to_local(&zone::find(&session.time_zone)?, us))
}

fn from_timestamp(us: i64, from: Oid, to: Oid, session: &Session) -> Result<Value> {
    let local = if from == oid::TIMESTAMPTZ {
        to_local(us, session)?
    } else {
        us
    };
    Ok(match to {
        oid::TIMESTAMP => Value::Timestamp(local),
        oid::TIMESTAMPTZ => Value::Timestamp(if from == oid::TIMESTAMPTZ {
            us
        } else {
            to_timestamptz(us, session)?
        }),
        oid::DATE => Value::Date(match local {
            i64::MAX => i32::MAX,
            i64::MIN => i32::MIN,
            _ => datetime::date(Some(local.div_euclid(DAY)))
                .ok_or_else(|| Error::new("22008", "date out of range"))?,
        }),
        // An infinite one has no time of day.
        _ if is_infinite(us) => Value::Null,
        oid::TIME => Value::Time(local.rem_euclid(DAY)),
        _ => {
            let east = zone::offset_at(&zone::find(&session.time_zone)?, us);
            Value::TimeTz(local.rem_euclid(DAY), -east)
        }
    })
}
