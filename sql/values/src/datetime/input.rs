//! `date_in`, `time_in`, `timestamp_in` and their kin: ISO 8601 dates and times, the numeric forms by `DateStyle`, and the words (`infinity`, `today`,
//! …). A form that PostgreSQL reads and this does not (names of months, Julian days, day of the year) is 0A000.

mod parts;
mod reader;

use jiff::tz::TimeZone;

use super::{DAY, zone};
use reader::read;

use crate::{Error, Result, Session};
pub(crate) use parts::microseconds;
pub(crate) use reader::abbreviation;

/// Why a text is none.
#[derive(Debug)]
enum Fail {
    Format,
    Field,
    MonthOrDay,
    ZoneField,
    Unserved,
    Other(Error),
}

type Outcome<T> = std::result::Result<T, Fail>;

/// A date's text, as read.
#[derive(Debug, Clone, Default)]
struct Fields {
    date: Option<i64>,
    time: Option<i64>,
    zone: Option<TimeZone>,
    special: Option<Special>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    Infinity,
    MinusInfinity,
    Epoch,
    Now,
}

fn raise(fail: Fail, ty: &str, text: &str) -> Error {
    let out_of_range = || {
        Error::new(
            "22008",
            format!("date/time field value out of range: \"{text}\""),
        )
    };
    // The server's reader is lenient about stray marks; what is not of a plain form is not judged here.
    let lenient = text.bytes().any(|byte| byte.is_ascii_digit());
    match fail {
        Fail::Format if lenient => Error::unsupported(format!("a {ty} written as \"{text}\"")),
        Fail::Format => Error::new(
            "22007",
            format!("invalid input syntax for type {ty}: \"{text}\""),
        ),
        Fail::Field => out_of_range(),
        Fail::MonthOrDay => {
            out_of_range().hint("Perhaps you need a different \"datestyle\" setting.")
        }
        Fail::ZoneField => Error::new(
            "22009",
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Fail::Unserved => Error::unsupported(format!("a {ty} written as \"{text}\"")),
        Fail::Other(error) => error,
    }
}

/// Days since 2000-01-01.
pub(crate) fn date(text: &str, session: &Session) -> Result<i32> {
    let fields = read(text, session).map_err(|fail| raise(fail, "date", text))?;
    let days = match fields.special {
        Some(Special::Infinity) => return Ok(i32::MAX),
        Some(Special::MinusInfinity) => return Ok(i32::MIN),
        Some(Special::Epoch) => -10_957,
        Some(Special::Now) => today(session)?,
        None => fields
            .date
            .ok_or_else(|| raise(Fail::Format, "date", text))?,
    };
    super::date(Some(days))
        .ok_or_else(|| Error::new("22008", format!("date out of range: \"{text}\"")))
}

/// Microseconds since 2000-01-01, local.
pub(crate) fn timestamp(text: &str, session: &Session) -> Result<i64> {
    let fields = read(text, session).map_err(|fail| raise(fail, "timestamp", text))?;
    let us = match fields.special {
        Some(Special::Infinity) => return Ok(i64::MAX),
        Some(Special::MinusInfinity) => return Ok(i64::MIN),
        Some(Special::Epoch) => Some(-10_957 * DAY),
        Some(Special::Now) => {
            zone::to_local(&zone::find(&session.time_zone)?, session.transaction_start)
        }
        None => local(&fields).map_err(|fail| raise(fail, "timestamp", text))?,
    };
    in_range(us, text)
}

/// Microseconds since 2000-01-01 UTC.
pub(crate) fn timestamptz(text: &str, session: &Session) -> Result<i64> {
    const NAME: &str = "timestamp with time zone";
    let fields = read(text, session).map_err(|fail| raise(fail, NAME, text))?;
    let us = match fields.special {
        Some(Special::Infinity) => return Ok(i64::MAX),
        Some(Special::MinusInfinity) => return Ok(i64::MIN),
        Some(Special::Epoch) => Some(-10_957 * DAY),
        Some(Special::Now) => Some(session.transaction_start),
        None => {
            let local = local(&fields).map_err(|fail| raise(fail, NAME, text))?;
            let zone = match fields.zone {
                Some(zone) => zone,
                None => zone::find(&session.time_zone)?,
            };
            local.and_then(|local| zone::to_utc(&zone, local))
        }
    };
    in_range(us, text)
}

fn in_range(us: Option<i64>, text: &str) -> Result<i64> {
    us.filter(|us| super::is_timestamp(*us))
        .ok_or_else(|| Error::new("22008", format!("timestamp out of range: \"{text}\"")))
}

/// Date and time together; `None` where they are too far away.
fn local(fields: &Fields) -> Outcome<Option<i64>> {
    let date = fields.date.ok_or(Fail::Format)?;
    Ok(date
        .checked_mul(DAY)
        .and_then(|us| us.checked_add(fields.time.unwrap_or(0))))
}

/// Microseconds since midnight.
pub(crate) fn time(text: &str, session: &Session) -> Result<i64> {
    Ok(time_and_zone(text, "time", session)?.0)
}

/// Microseconds since midnight, and seconds west of UTC.
pub(crate) fn timetz(text: &str, session: &Session) -> Result<(i64, i32)> {
    let (us, fields) = time_and_zone(text, "time with time zone", session)?;
    let east = match (&fields.zone, fields.date) {
        (Some(zone), _) if zone.to_fixed_offset().is_ok() => zone::offset_at(zone, 0),
        (Some(zone), Some(date)) => zone::offset_of(zone, date * DAY + us),
        (Some(_), None) => return Err(raise(Fail::Format, "time with time zone", text)),
        (None, date) => {
            let zone = zone::find(&session.time_zone)?;
            let day = match date {
                Some(date) => date,
                None => today(session)?,
            };
            zone::offset_of(&zone, day * DAY + us)
        }
    };
    Ok((us, -east))
}

fn time_and_zone(text: &str, ty: &str, session: &Session) -> Result<(i64, Fields)> {
    let fields = read(text, session).map_err(|fail| raise(fail, ty, text))?;
    if fields.special.is_some() {
        return Err(raise(
            if text.trim().eq_ignore_ascii_case("now") {
                Fail::Unserved
            } else {
                Fail::Format
            },
            ty,
            text,
        ));
    }
    let us = fields.time.ok_or_else(|| raise(Fail::Format, ty, text))?;
    Ok((us, fields))
}

fn today(session: &Session) -> Result<i64> {
    let zone = zone::find(&session.time_zone)?;
    let local = zone::to_local(&zone, session.transaction_start).unwrap_or(0);
    Ok(local.div_euclid(DAY))
}
