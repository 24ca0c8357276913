//! The modifier of intervals, and their order.

use crate::{
    Interval,
    datetime::{DAY, HOUR, MINUTE, rounded},
};

/// Bits of the fields in a modifier (`INTERVAL_MASK`).
const MONTHS: i32 = 1 << 1;
const YEARS: i32 = 1 << 2;
const DAYS: i32 = 1 << 3;
const HOURS: i32 = 1 << 10;
const MINUTES: i32 = 1 << 11;
const SECONDS: i32 = 1 << 12;
const ALL_FIELDS: i32 = 0x7fff;

/// Cuts to the fields of the modifier, and rounds to its precision.
pub(crate) fn fit(interval: Interval, modifier: i32) -> Interval {
    if modifier < 0 {
        return interval;
    }
    let Interval { months, us, .. } = interval;
    let range = (modifier >> 16) & ALL_FIELDS;
    let cut = match range {
        YEARS => Interval {
            months: months / 12 * 12,
            days: 0,
            us: 0,
        },
        _ if range == MONTHS || range == YEARS | MONTHS => Interval {
            months,
            days: 0,
            us: 0,
        },
        DAYS => Interval { us: 0, ..interval },
        _ if range == HOURS || range == DAYS | HOURS => Interval {
            us: us / HOUR * HOUR,
            ..interval
        },
        _ if range & MINUTES != 0 && range & SECONDS == 0 => Interval {
            us: us / MINUTE * MINUTE,
            ..interval
        },
        _ => interval,
    };
    Interval {
        us: rounded(
            cut.us,
            if modifier & 0xffff == 0xffff {
                -1
            } else {
                modifier & 0xffff
            },
        ),
        ..cut
    }
}

/// Whether the modifier names fields, which changes how a text without units is read.
pub(crate) fn has_fields(modifier: i32) -> bool {
    modifier >= 0 && (modifier >> 16) & ALL_FIELDS != ALL_FIELDS
}

/// Microseconds by which an interval is compared: months of 30 days, days of 24 hours.
pub(crate) fn estimate(interval: Interval) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * i128::from(DAY) + i128::from(interval.us)
}
