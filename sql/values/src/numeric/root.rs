//! Square roots, exactly rounded.

use super::{
    Decimal, Kind, MAX_RESULT_SCALE, MIN_SIGNIFICANT, Numeric,
    digits::{Digits, count},
};
use crate::{Error, Result};
use std::cmp::Ordering;

impl Numeric {
    /// Square root.
    ///
    /// # Errors
    /// 2201F for a negative number.
    pub fn sqrt(&self) -> Result<Numeric> {
        if self.signum() == Some(-1) {
            return Err(Error::new(
                "2201F",
                "cannot take square root of a negative number",
            ));
        }
        let Kind::Finite(decimal) = &self.0 else {
            return Ok(self.clone());
        };
        let weight = if decimal.digits.is_zero() {
            0
        } else {
            decimal.digits.weight
        };
        // Digits before the point of the root.
        let before = if weight >= 0 {
            weight * 4 / 2 + 1
        } else {
            1 - (1 - weight * 4).div_euclid(2)
        };
        let scale = (MIN_SIGNIFICANT - before)
            .max(i64::from(decimal.scale))
            .clamp(0, MAX_RESULT_SCALE);
        decimal.root(scale).checked()
    }
}

impl Decimal {
    /// Newton's method from above on integers of base 10000, cut one digit below what is shown, so that the rounding is exact.
    pub(super) fn root(&self, scale: i64) -> Decimal {
        if self.digits.is_zero() {
            return Decimal::new(false, Digits::default(), u32::try_from(scale).unwrap_or(0));
        }
        let places = (scale + 3).div_euclid(4) + 1;
        let integer = Digits {
            weight: self.digits.weight + 2 * places,
            ..self.digits.clone()
        };
        let integer = Decimal::new(false, integer, 0).truncated(0).digits;
        let mut root = Digits {
            digits: vec![1],
            weight: integer.weight.div_euclid(2) + 1,
        };
        loop {
            let next = halved(&root.add(&integer.div(&root, 0)));
            if next.cmp(&root) != Ordering::Less {
                break;
            }
            root = next;
        }
        // Something was cut: a digit that is not zero keeps a root just above a half from looking like one; halves round up in any case.
        let digits = Digits {
            weight: root.weight - places,
            ..root
        };
        Decimal::new(false, digits, 0).rounded(scale)
    }
}

fn halved(number: &Digits) -> Digits {
    let two = Digits {
        digits: vec![2],
        weight: 0,
    };
    let half = number.div(&two, 0);
    Digits {
        digits: half
            .digits
            .iter()
            .take(count(half.weight + 1))
            .copied()
            .collect(),
        ..half
    }
}
