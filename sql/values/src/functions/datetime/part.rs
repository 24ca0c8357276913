//! `extract` (which answers `numeric`) and `date_part` (`double precision`).

use super::{
    super::{text, wrong},
    is_infinite,
    unit::{self, Unit},
};
use crate::{
    Interval, Result, Value,
    datetime::{DAY, HOUR, MINUTE, SECOND, calendar, zone},
    numeric::Numeric,
    oid,
    resolve::{Call, Scope},
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "extract_timestamp"
        | "extract_timestamptz"
        | "extract_date"
        | "extract_time"
        | "extract_timetz"
        | "extract_interval" => {
            |scope, args| part(scope, args).map(|part| part.map_or(Value::Null, Part::exact))
        }
        "timestamp_part"
        | "timestamptz_part"
        | "time_part"
        | "timetz_part"
        | "interval_part"
        | "date_part(text,date)" => {
            |scope, args| part(scope, args).map(|part| part.map_or(Value::Null, Part::double))
        }
        _ => return None,
    })
}

/// A field's value.
#[derive(Debug, Clone, Copy)]
enum Part {
    Whole(i64),
    /// Microseconds, and how many of them make one; shown with as many decimals. Whole seconds apart, as `date_part` adds them up.
    Fraction {
        whole: i64,
        us: i64,
        unit: i64,
        decimals: i64,
    },
    /// A day, and the microseconds since its beginning.
    Julian(i64, i64),
    /// An interval's length, whose parts `date_part` adds up in this order.
    Length {
        us: i64,
        years: i64,
        days: i64,
        more: i64,
    },
    Infinite(bool),
}

#[expect(clippy::cast_precision_loss, reason = "as PostgreSQL computes it")]
fn f(number: i64) -> f64 {
    number as f64
}

impl Part {
    fn exact(self) -> Value {
        let quotient = |number: i128, by: i64, decimals: i64| {
            // The divisor is a power of ten.
            Numeric::from(number)
                .div(&Numeric::from(by))
                .and_then(|number| number.round(decimals))
        };
        Value::Numeric(match self {
            Part::Whole(number) => Numeric::from(number),
            Part::Infinite(negative) => Numeric::infinity(negative),
            Part::Fraction {
                whole,
                us,
                unit,
                decimals,
            } => {
                let total = i128::from(whole) * i128::from(unit) + i128::from(us);
                quotient(total, unit, decimals).unwrap_or_else(|_| Numeric::nan())
            }
            Part::Length {
                us,
                years,
                days,
                more,
            } => {
                let seconds = i128::from(years) * 31_557_600 + i128::from(days + more) * 86400;
                quotient(seconds * i128::from(SECOND) + i128::from(us), SECOND, 6)
                    .unwrap_or_else(|_| Numeric::nan())
            }
            Part::Julian(day, us) => {
                let fraction = Numeric::from(us).div(&Numeric::from(DAY));
                fraction
                    .and_then(|fraction| Numeric::from(day).add(&fraction))
                    .unwrap_or_else(|_| Numeric::nan())
            }
        })
    }

    fn double(self) -> Value {
        Value::Float8(match self {
            Part::Whole(number) => f(number),
            Part::Infinite(negative) => {
                if negative {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
            Part::Fraction {
                whole, us, unit, ..
            } => f(whole) + f(us) / f(unit),
            Part::Length {
                us,
                years,
                days,
                more,
            } => f(us) / 1e6 + 31_557_600.0 * f(years) + 86400.0 * f(days) + 86400.0 * f(more),
            Part::Julian(day, us) => f(day) + (f(us / SECOND) + f(us % SECOND) / 1e6) / 86400.0,
        })
    }
}

fn part(scope: Scope<'_>, args: &[Value]) -> Result<Option<Part>> {
    let name = text(args, 0)?;
    let ty = scope.args[1];
    let unit = unit::parse(name).ok_or_else(|| unit::unknown(name, ty))?;
    let found = match &args[1] {
        Value::Date(days) => match *days {
            i32::MAX | i32::MIN => {
                of_day(0, unit).ok_or_else(|| unit::unserved(name, ty))?;
                return Ok(of_infinity(*days < 0, unit));
            }
            days => of_day(i64::from(days), unit),
        },
        Value::Timestamp(us) if is_infinite(*us) => return Ok(of_infinity(*us < 0, unit)),
        Value::Timestamp(us) if ty == oid::TIMESTAMPTZ => {
            let zone = zone::find(&scope.session.time_zone)?;
            let east = zone::offset_at(&zone, *us);
            of_timestamp(*us + i64::from(east) * SECOND, *us, Some(east), unit)
        }
        Value::Timestamp(us) => of_timestamp(*us, *us, None, unit),
        Value::Time(us) => of_time(*us, unit, Some(*us)),
        Value::TimeTz(us, west) => of_zone(-west, unit)
            .or_else(|| of_time(*us, unit, Some(*us + i64::from(*west) * SECOND))),
        Value::Interval(interval) => of_interval(*interval, unit),
        other => return Err(wrong("date or time", Some(other))),
    };
    found.map(Some).ok_or_else(|| unit::unserved(name, ty))
}

/// Of what only grows, infinity; of what comes round, NULL.
fn of_infinity(negative: bool, unit: Unit) -> Option<Part> {
    let grows = matches!(
        unit,
        Unit::Year
            | Unit::Decade
            | Unit::Century
            | Unit::Millennium
            | Unit::Julian
            | Unit::IsoYear
            | Unit::Epoch
    );
    grows.then_some(Part::Infinite(negative))
}

/// The years that the calendar shows: there is no year 0.
fn shown(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

fn of_day(day: i64, unit: Unit) -> Option<Part> {
    let civil = calendar::civil(day);
    Some(Part::Whole(match unit {
        Unit::Day => civil.day,
        Unit::Month => civil.month,
        Unit::Quarter => (civil.month - 1) / 3 + 1,
        Unit::Week => calendar::iso_week(day).1,
        Unit::Year => shown(civil.year),
        Unit::Decade => civil.year.div_euclid(10),
        Unit::Century if civil.year > 0 => (civil.year + 99) / 100,
        Unit::Century => -((99 - (civil.year - 1)) / 100),
        Unit::Millennium if civil.year > 0 => (civil.year + 999) / 1000,
        Unit::Millennium => -((999 - (civil.year - 1)) / 1000),
        Unit::IsoYear => shown(calendar::iso_week(day).0),
        Unit::DayOfWeek => calendar::weekday(day),
        Unit::IsoDayOfWeek => (calendar::weekday(day) + 6) % 7 + 1,
        Unit::DayOfYear => calendar::day_of_year(day),
        Unit::Julian => day - crate::datetime::FIRST_DAY,
        Unit::Epoch => (day + 10_957) * 86400,
        _ => return None,
    }))
}

fn of_timestamp(local: i64, instant: i64, east: Option<i32>, unit: Unit) -> Option<Part> {
    let (day, us) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    match unit {
        Unit::Epoch => Some(seconds(instant + 10_957 * DAY)),
        Unit::Julian => Some(Part::Julian(day - crate::datetime::FIRST_DAY, us)),
        _ => east
            .and_then(|east| of_zone(east, unit))
            .or_else(|| of_time(us, unit, None))
            .or_else(|| of_day(day, unit)),
    }
}

fn seconds(us: i64) -> Part {
    Part::Fraction {
        whole: 0,
        us,
        unit: SECOND,
        decimals: 6,
    }
}

fn of_time(us: i64, unit: Unit, epoch: Option<i64>) -> Option<Part> {
    let second = us / SECOND % 60;
    Some(match unit {
        Unit::Microseconds => Part::Whole(us % MINUTE),
        Unit::Milliseconds => Part::Fraction {
            whole: second * 1000,
            us: us % SECOND,
            unit: 1000,
            decimals: 3,
        },
        Unit::Second => Part::Fraction {
            whole: second,
            us: us % SECOND,
            unit: SECOND,
            decimals: 6,
        },
        Unit::Minute => Part::Whole(us / MINUTE % 60),
        Unit::Hour => Part::Whole(us / HOUR),
        Unit::Epoch => seconds(epoch?),
        _ => return None,
    })
}

fn of_zone(east: i32, unit: Unit) -> Option<Part> {
    let east = i64::from(east);
    Some(Part::Whole(match unit {
        Unit::Zone => east,
        Unit::ZoneHour => east / 3600,
        Unit::ZoneMinute => east % 3600 / 60,
        _ => return None,
    }))
}

fn of_interval(interval: Interval, unit: Unit) -> Option<Part> {
    let Interval { months, days, us } = interval;
    let (years, months) = (i64::from(months / 12), i64::from(months % 12));
    Some(match unit {
        Unit::Year => Part::Whole(years),
        Unit::Decade => Part::Whole(years / 10),
        Unit::Century => Part::Whole(years / 100),
        Unit::Millennium => Part::Whole(years / 1000),
        Unit::Month => Part::Whole(months),
        Unit::Quarter => Part::Whole(months / 3 + 1),
        Unit::Day => Part::Whole(i64::from(days)),
        Unit::Hour => Part::Whole(us / HOUR),
        Unit::Epoch => {
            // Years of 365.25 days, months of 30.
            Part::Length {
                us,
                years,
                days: months * 30,
                more: i64::from(days),
            }
        }
        _ => return of_time(us, unit, None),
    })
}
