//! Dates and times as people read them.

use crate::{Column, TableMap, hex::unhex};

/// Days between 1970-01-01 and PostgreSQL's 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar, with a year 0. Years are counted from March, so that the leap day comes last.
#[must_use]
pub fn date_of(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

impl TableMap {
    /// The parts of a key for the eye: their canonical text, but dates and times, of which that is their binary form, as PostgreSQL prints them by ISO 8601 and in UTC.
    #[must_use]
    pub fn readable(&self, key: &[impl AsRef<[u8]>]) -> Vec<String> {
        std::iter::zip(&self.key, key)
            .map(|(&column, part)| {
                let part = part.as_ref();
                let lossy = || String::from_utf8_lossy(part).into_owned();
                readable(&self.columns[column].old, part).unwrap_or_else(lossy)
            })
            .collect()
    }
}

/// `None` for values of other types.
fn readable(column: &Column, canonical: &[u8]) -> Option<String> {
    let bytes = || unhex(canonical);
    let int8 = || Some(i64::from_be_bytes(bytes()?.try_into().ok()?));
    match column.type_oid {
        1082 => Some(match i32::from_be_bytes(bytes()?.try_into().ok()?) {
            i32::MAX => "infinity".to_owned(),
            i32::MIN => "-infinity".to_owned(),
            days => date(days.into(), String::new()),
        }),
        1083 => int8().map(time),
        1114 => int8().map(|us| timestamp(us, "")),
        1184 => int8().map(|us| timestamp(us, "+00")),
        _ => None,
    }
}

fn timestamp(us: i64, zone: &str) -> String {
    match us {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        us => date(
            us.div_euclid(DAY_US),
            format!(" {}{zone}", time(us.rem_euclid(DAY_US))),
        ),
    }
}

/// A day since 2000-01-01, with the time in it.
fn date(day: i64, time: String) -> String {
    match date_of(day + EPOCH_DAYS) {
        (year @ ..=0, month, day) => format!("{:04}-{month:02}-{day:02}{time} BC", 1 - year),
        (year, month, day) => format!("{year:04}-{month:02}-{day:02}{time}"),
    }
}

/// Microseconds since midnight.
fn time(us: i64) -> String {
    let (second, us) = (us / SECOND_US, us % SECOND_US);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let whole = format!("{hour:02}:{minute:02}:{second:02}");
    match us {
        0 => whole,
        us => format!("{whole}.{}", format!("{us:06}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    fn of(type_oid: u32, bytes: &[u8]) -> Option<String> {
        let column = Column {
            type_oid,
            ..Column::default()
        };
        readable(&column, &hex(bytes))
    }

    #[test]
    fn dates_and_times_read_as_postgresql_prints_them() {
        let date = |days: i32| of(1082, &days.to_be_bytes()).unwrap();
        assert_eq!(date(0), "2000-01-01");
        assert_eq!(date(-1), "1999-12-31");
        assert_eq!(date(9821), "2026-11-21");
        // The day before 0001-01-01.
        assert_eq!(date(-730_120), "0001-12-31 BC");
        assert_eq!(date(i32::MAX), "infinity");
        let at = |oid, us: i64| of(oid, &us.to_be_bytes()).unwrap();
        assert_eq!(at(1083, 45_296_789_000), "12:34:56.789");
        assert_eq!(at(1083, DAY_US), "24:00:00");
        assert_eq!(at(1114, -1), "1999-12-31 23:59:59.999999");
        assert_eq!(at(1184, 0), "2000-01-01 00:00:00+00");
        assert_eq!(at(1184, i64::MIN), "-infinity");
        assert_eq!(of(20, &[0; 8]), None);
        assert_eq!(of(1082, &[0; 8]), None);
    }
}
