//! The four operations, with PostgreSQL's scales.

use super::{
    Decimal, Kind, MAX_RESULT_SCALE, MAX_SCALE, MIN_SIGNIFICANT, Numeric, digits::Digits,
    division_by_zero,
};
use crate::Result;
use std::cmp::Ordering;

impl Numeric {
    /// Sum.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn add(&self, other: &Numeric) -> Result<Numeric> {
        match (&self.0, &other.0) {
            (Kind::Finite(left), Kind::Finite(right)) => left.add(right).checked(),
            (Kind::Nan, _) | (_, Kind::Nan) => Ok(Numeric::nan()),
            (Kind::Infinite(left), Kind::Infinite(right)) if left != right => Ok(Numeric::nan()),
            (Kind::Infinite(negative), _) | (_, Kind::Infinite(negative)) => {
                Ok(Numeric::infinity(*negative))
            }
        }
    }

    /// Difference.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn sub(&self, other: &Numeric) -> Result<Numeric> {
        self.add(&other.neg())
    }

    /// Negated.
    #[must_use]
    pub fn neg(&self) -> Numeric {
        match &self.0 {
            Kind::Finite(decimal) => Numeric(Kind::Finite(decimal.neg())),
            Kind::Infinite(negative) => Numeric::infinity(!negative),
            Kind::Nan => Numeric::nan(),
        }
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(&self) -> Numeric {
        if self.signum() == Some(-1) {
            self.neg()
        } else {
            self.clone()
        }
    }

    /// Product.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn mul(&self, other: &Numeric) -> Result<Numeric> {
        match (&self.0, &other.0) {
            (Kind::Finite(left), Kind::Finite(right)) => left.mul(right).limited().checked(),
            _ => Ok(match (self.signum(), other.signum()) {
                (None | Some(0), _) | (_, None | Some(0)) => Numeric::nan(),
                (left, right) => Numeric::infinity(left != right),
            }),
        }
    }

    /// Quotient, to the scale that PostgreSQL chooses.
    ///
    /// # Errors
    /// 22012, or 22003 when it is too long.
    pub fn div(&self, other: &Numeric) -> Result<Numeric> {
        match (&self.0, &other.0) {
            (Kind::Finite(left), Kind::Finite(right)) => {
                if right.digits.is_zero() {
                    return Err(division_by_zero());
                }
                left.div(right, left.quotient_scale(right)).checked()
            }
            _ => self.div_special(other),
        }
    }

    /// `div(numeric, numeric)`: the quotient's integer part.
    ///
    /// # Errors
    /// 22012, or 22003 when it is too long.
    pub fn div_trunc(&self, other: &Numeric) -> Result<Numeric> {
        match (&self.0, &other.0) {
            (Kind::Finite(left), Kind::Finite(right)) => {
                if right.digits.is_zero() {
                    return Err(division_by_zero());
                }
                left.div_trunc(right).checked()
            }
            _ => self.div_special(other),
        }
    }

    /// Remainder, with the dividend's sign.
    ///
    /// # Errors
    /// 22012.
    pub fn rem(&self, other: &Numeric) -> Result<Numeric> {
        match (&self.0, &other.0) {
            (Kind::Nan, _) | (_, Kind::Nan) => Ok(Numeric::nan()),
            (_, Kind::Finite(right)) if right.digits.is_zero() => Err(division_by_zero()),
            (Kind::Infinite(_), _) => Ok(Numeric::nan()),
            (Kind::Finite(_), Kind::Infinite(_)) => Ok(self.clone()),
            (Kind::Finite(left), Kind::Finite(right)) => {
                let whole = left.div_trunc(right).mul(right);
                left.add(&whole.neg()).checked()
            }
        }
    }

    fn div_special(&self, other: &Numeric) -> Result<Numeric> {
        match (&self.0, &other.0) {
            (Kind::Nan, _) | (_, Kind::Nan) | (Kind::Infinite(_), Kind::Infinite(_)) => {
                Ok(Numeric::nan())
            }
            (Kind::Infinite(left), Kind::Finite(right)) => match other.signum() {
                Some(0) => Err(division_by_zero()),
                _ => Ok(Numeric::infinity(*left != right.negative)),
            },
            // Of a finite number by an infinite one: 0, without decimals.
            (Kind::Finite(_), _) => Ok(Numeric::zero()),
        }
    }
}

impl Decimal {
    pub(super) fn neg(&self) -> Decimal {
        Decimal::new(!self.negative, self.digits.clone(), self.scale)
    }

    pub(super) fn add(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        if self.negative == other.negative {
            return Decimal::new(self.negative, self.digits.add(&other.digits), scale);
        }
        match self.digits.cmp(&other.digits) {
            Ordering::Less => Decimal::new(other.negative, other.digits.sub(&self.digits), scale),
            _ => Decimal::new(self.negative, self.digits.sub(&other.digits), scale),
        }
    }

    pub(super) fn mul(&self, other: &Decimal) -> Decimal {
        Decimal::new(
            self.negative != other.negative,
            self.digits.mul(&other.digits),
            self.scale + other.scale,
        )
    }

    /// Rounded to the most decimals there can be.
    fn limited(self) -> Decimal {
        if self.scale > MAX_SCALE {
            self.rounded(i64::from(MAX_SCALE))
        } else {
            self
        }
    }

    /// Rounded at `scale`. `other` is not zero.
    pub(super) fn div(&self, other: &Decimal, scale: i64) -> Decimal {
        // One digit of base 10000 more than is shown decides on the rounding.
        let bottom = -(scale + 3).div_euclid(4) - 1;
        let digits = self.digits.div(&other.digits, bottom);
        Decimal::new(self.negative != other.negative, digits, 0).rounded(scale)
    }

    fn div_trunc(&self, other: &Decimal) -> Decimal {
        let digits: Digits = self.digits.div(&other.digits, 0);
        Decimal::new(self.negative != other.negative, digits, 0)
    }

    /// `select_div_scale`: at least 16 significant digits, and not fewer decimals than either operand.
    fn quotient_scale(&self, other: &Decimal) -> i64 {
        let first = |decimal: &Decimal| decimal.digits.digits.first().copied().unwrap_or(0);
        let mut weight = self.digits.weight - other.digits.weight;
        if first(self) <= first(other) {
            weight -= 1;
        }
        (MIN_SIGNIFICANT - weight * 4)
            .max(i64::from(self.scale))
            .max(i64::from(other.scale))
            .clamp(0, MAX_RESULT_SCALE)
    }
}
