//! The proleptic Gregorian calendar. Days count from 2000-01-01; year 0 is 1 BC.

/// A day's year, month and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

/// Days from 2000-03-01, where the cycle of 400 years begins, to 2000-01-01.
const MARCH: i64 = 60;
const CYCLE: i64 = 146_097;

/// The number of a day. Months past either end of the year are carried over.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is a year's last.
    let months = month - 3;
    let year = year + months.div_euclid(12);
    let month = months.rem_euclid(12);
    let in_cycle = (year - 2000).rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    (year - 2000).div_euclid(400) * CYCLE + in_cycle * 365 + in_cycle / 4 - in_cycle / 100
        + of_year
        + MARCH
}

/// The day of a number.
pub(crate) fn civil(days: i64) -> Civil {
    let days = days - MARCH;
    let of_cycle = days.rem_euclid(CYCLE);
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = 2000 + days.div_euclid(CYCLE) * 400 + year + i64::from(month >= 10);
    Civil {
        year,
        month: if month < 10 { month + 3 } else { month - 9 },
        day,
    }
}

/// Days of a month.
pub(crate) fn month_length(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// 0 for Sunday.
pub(crate) fn weekday(days: i64) -> i64 {
    (days + 6).rem_euclid(7)
}

/// Day of the year, from 1.
pub(crate) fn day_of_year(day: i64) -> i64 {
    day - days(civil(day).year, 1, 1) + 1
}

/// Year and number of a day's ISO 8601 week.
pub(crate) fn iso_week(day: i64) -> (i64, i64) {
    // The week belongs to the year of its Thursday.
    let thursday = day - (weekday(day) + 6) % 7 + 3;
    let year = civil(thursday).year;
    (year, (thursday - days(year, 1, 1)) / 7 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_are_inverse() {
        for number in (-2_451_545..2_000_000).step_by(97) {
            let Civil { year, month, day } = civil(number);
            assert_eq!(days(year, month, day), number);
        }
        assert_eq!(
            civil(0),
            Civil {
                year: 2000,
                month: 1,
                day: 1
            }
        );
        assert_eq!(days(1970, 1, 1), -10_957);
        assert_eq!(
            civil(59),
            Civil {
                year: 2000,
                month: 2,
                day: 29
            }
        );
        assert_eq!(weekday(0), 6);
        assert_eq!(iso_week(0), (1999, 52));
    }
}
