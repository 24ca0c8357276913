//! `numeric`: decimal numbers of any length, with PostgreSQL's display scale, NaN and infinities.
//!
//! A finite number is kept as PostgreSQL keeps it, in digits of base 10000, because the scale of a quotient or a root follows from those digits.

mod arithmetic;
mod compare;
mod convert;
mod digits;
pub mod modifier;
mod parse;
mod power;
mod print;
mod root;
mod round;
pub(crate) mod statistics;
mod wire;

#[cfg(test)]
mod tests;

use crate::Error;
use digits::Digits;

/// Most digits after the point (`NUMERIC_DSCALE_MAX`).
pub(crate) const MAX_SCALE: u32 = 16383;
/// Greatest weight of a base-10000 digit: 131072 decimal digits before the point.
const MAX_WEIGHT: i64 = 32767;
/// Most digits after the point that a quotient or a root is given (`NUMERIC_MAX_DISPLAY_SCALE`).
const MAX_RESULT_SCALE: i64 = 1000;
/// Fewest significant digits of a quotient or a root (`NUMERIC_MIN_SIG_DIGITS`).
const MIN_SIGNIFICANT: i64 = 16;

/// A number.
#[derive(Debug, Clone)]
pub struct Numeric(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Finite(Decimal),
    /// Negative or not.
    Infinite(bool),
    Nan,
}

/// A finite number: its digits and how many decimal places are shown.
#[derive(Debug, Clone, Default)]
struct Decimal {
    negative: bool,
    digits: Digits,
    scale: u32,
}

impl Decimal {
    fn new(negative: bool, digits: Digits, scale: u32) -> Decimal {
        let digits = digits.stripped();
        Decimal {
            negative: negative && !digits.is_zero(),
            digits,
            scale,
        }
    }

    /// The number, unless it is too long to be one.
    fn checked(self) -> crate::Result<Numeric> {
        if self.digits.weight > MAX_WEIGHT || self.scale > MAX_SCALE {
            return Err(overflow());
        }
        Ok(Numeric(Kind::Finite(self)))
    }
}

impl Numeric {
    /// 0.
    #[must_use]
    pub fn zero() -> Numeric {
        Numeric(Kind::Finite(Decimal::default()))
    }

    /// `NaN`.
    #[must_use]
    pub const fn nan() -> Numeric {
        Numeric(Kind::Nan)
    }

    /// `Infinity`, `-Infinity`.
    #[must_use]
    pub const fn infinity(negative: bool) -> Numeric {
        Numeric(Kind::Infinite(negative))
    }

    /// Whether it is `NaN`.
    #[must_use]
    pub const fn is_nan(&self) -> bool {
        matches!(self.0, Kind::Nan)
    }

    /// Whether it is an infinity.
    #[must_use]
    pub const fn is_infinite(&self) -> bool {
        matches!(self.0, Kind::Infinite(_))
    }

    /// Whether it is 0, whatever its scale.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        matches!(&self.0, Kind::Finite(decimal) if decimal.digits.is_zero())
    }

    /// Digits shown after the point; `None` for NaN and the infinities.
    #[must_use]
    pub const fn scale(&self) -> Option<u32> {
        match &self.0 {
            Kind::Finite(decimal) => Some(decimal.scale),
            _ => None,
        }
    }

    /// -1, 0 or 1; `None` for NaN.
    #[must_use]
    pub fn signum(&self) -> Option<i8> {
        match &self.0 {
            Kind::Nan => None,
            Kind::Infinite(negative) => Some(if *negative { -1 } else { 1 }),
            Kind::Finite(decimal) if decimal.digits.is_zero() => Some(0),
            Kind::Finite(decimal) => Some(if decimal.negative { -1 } else { 1 }),
        }
    }
}

pub(crate) fn overflow() -> Error {
    Error::new("22003", "value overflows numeric format")
}

pub(crate) fn division_by_zero() -> Error {
    Error::new("22012", "division by zero")
}
