//! Names of the fields of dates and times.

use crate::{Error, Oid, Type, Types, format::type_name};

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Julian,
    Epoch,
    Zone,
    ZoneHour,
    ZoneMinute,
}

/// The field of a name, in any case.
pub(super) fn parse(name: &str) -> Option<Unit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds"
        | "microsecon" => Unit::Microseconds,
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds"
        | "millisecon" => Unit::Milliseconds,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "qtr" | "quarter" => Unit::Quarter,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
        "dow" => Unit::DayOfWeek,
        "isodow" => Unit::IsoDayOfWeek,
        "doy" => Unit::DayOfYear,
        "isoyear" => Unit::IsoYear,
        "j" | "jd" | "julian" => Unit::Julian,
        "epoch" => Unit::Epoch,
        "timezone" => Unit::Zone,
        "timezone_h" | "timezone_hour" => Unit::ZoneHour,
        "timezone_m" | "timezone_minute" => Unit::ZoneMinute,
        _ => return None,
    })
}

/// There is no such field.
pub(super) fn unknown(name: &str, ty: Oid) -> Error {
    let lower = name.to_ascii_lowercase();
    Error::new(
        "22023",
        format!(
            "unit \"{lower}\" not recognized for type {}",
            type_name(Type::of(ty), &Types::default())
        ),
    )
}

/// The type has no such field.
pub(super) fn unserved(name: &str, ty: Oid) -> Error {
    let lower = name.to_ascii_lowercase();
    Error::new(
        "0A000",
        format!(
            "unit \"{lower}\" not supported for type {}",
            type_name(Type::of(ty), &Types::default())
        ),
    )
}

/// The year that begins the decade, century or millennium of a year.
pub(super) fn era_start(year: i64, unit: Unit) -> i64 {
    match unit {
        Unit::Decade => year.div_euclid(10) * 10,
        Unit::Century => (year - 1).div_euclid(100) * 100 + 1,
        Unit::Millennium => (year - 1).div_euclid(1000) * 1000 + 1,
        _ => year,
    }
}
