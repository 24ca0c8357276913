//! Time zones: offsets of an instant and of a local time, from the bundled time zone database.

use jiff::{
    Timestamp, civil,
    tz::{AmbiguousOffset, TimeZone},
};

use super::{DAY, SECOND, calendar};
use crate::{Error, Result};

/// Seconds from 1970-01-01 to 2000-01-01.
const EPOCH: i64 = 946_684_800;
/// Rules repeat after 400 years.
const CYCLE: i64 = 146_097;
/// Last year that is looked up as it is.
const LAST_YEAR: i64 = 9990;

/// The zone of this name, or of this POSIX form.
pub(crate) fn find(name: &str) -> Result<TimeZone> {
    known(name).ok_or_else(|| Error::new("22023", format!("time zone \"{name}\" not recognized")))
}

pub(crate) fn known(name: &str) -> Option<TimeZone> {
    if name.is_empty() {
        return None;
    }
    TimeZone::get(name).ok().or_else(|| posix(name))
}

/// Only with an offset: jiff takes the text as it stands, as PostgreSQL does.
fn posix(name: &str) -> Option<TimeZone> {
    if !name.bytes().any(|byte| byte.is_ascii_digit()) || name.contains('/') {
        return None;
    }
    TimeZone::posix(name).ok()
}

/// A zone this many seconds east.
pub(crate) fn fixed(east: i32) -> Result<TimeZone> {
    jiff::tz::Offset::from_seconds(east)
        .map(TimeZone::fixed)
        .map_err(|_| Error::unsupported("a time zone further than 25 hours from UTC"))
}

/// Moves what lies beyond the database's years by whole cycles of 400 years: microseconds, and what was taken off.
fn within(us: i64) -> (i64, i64) {
    let year = calendar::civil(us.div_euclid(DAY)).year;
    let cycles = if year > LAST_YEAR {
        (year - LAST_YEAR + 399) / 400
    } else {
        0
    };
    let shift = cycles * CYCLE * DAY;
    (us - shift, shift)
}

/// Seconds east of UTC at an instant.
pub(crate) fn offset_at(zone: &TimeZone, us: i64) -> i32 {
    let (us, _) = within(us);
    Timestamp::from_microsecond(us + EPOCH * SECOND)
        .map_or(0, |instant| zone.to_offset(instant).seconds())
}

/// The abbreviation in force at an instant.
pub(crate) fn abbreviation_at(zone: &TimeZone, us: i64) -> String {
    let (us, _) = within(us);
    Timestamp::from_microsecond(us + EPOCH * SECOND).map_or_else(
        |_| String::new(),
        |instant| zone.to_offset_info(instant).abbreviation().to_owned(),
    )
}

/// Seconds east of UTC at a local time. In the hour that is skipped the offset before it counts, in the hour that comes twice the one after.
pub(crate) fn offset_of(zone: &TimeZone, local: i64) -> i32 {
    let (local, _) = within(local);
    let day = calendar::civil(local.div_euclid(DAY));
    let narrow = |number: i64| i8::try_from(number).unwrap_or(1);
    let Ok(date) = civil::Date::new(
        i16::try_from(day.year).unwrap_or(0),
        narrow(day.month),
        narrow(day.day),
    ) else {
        return 0;
    };
    let seconds = local.rem_euclid(DAY) / SECOND;
    let time = civil::Time::new(
        narrow(seconds / 3600),
        narrow(seconds / 60 % 60),
        narrow(seconds % 60),
        0,
    );
    let Ok(time) = time else {
        return 0;
    };
    match zone.to_ambiguous_timestamp(date.to_datetime(time)).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.seconds(),
        AmbiguousOffset::Gap { before, .. } => before.seconds(),
        AmbiguousOffset::Fold { after, .. } => after.seconds(),
    }
}

/// A local time's instant.
pub(crate) fn to_utc(zone: &TimeZone, local: i64) -> Option<i64> {
    local.checked_sub(i64::from(offset_of(zone, local)) * SECOND)
}

/// An instant's local time.
pub(crate) fn to_local(zone: &TimeZone, us: i64) -> Option<i64> {
    us.checked_add(i64::from(offset_at(zone, us)) * SECOND)
}
