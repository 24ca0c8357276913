//! `numeric(precision, scale)`.

use super::{Kind, Numeric};
use crate::{Error, Result};

/// `atttypmod` of `numeric(precision, scale)`.
#[must_use]
pub const fn modifier(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + 4
}

/// Precision and scale of an `atttypmod`; `None` without one.
#[must_use]
pub const fn precision_and_scale(modifier: i32) -> Option<(i32, i32)> {
    if modifier < 4 {
        return None;
    }
    let bits = modifier - 4;
    // The scale has eleven bits, with a sign.
    Some(((bits >> 16) & 0xffff, ((bits & 0x7ff) ^ 1024) - 1024))
}

impl Numeric {
    /// Rounds to the scale of the modifier and checks the precision.
    ///
    /// # Errors
    /// 22003.
    pub fn fit(&self, modifier: i32) -> Result<Numeric> {
        let Some((precision, scale)) = precision_and_scale(modifier) else {
            return Ok(self.clone());
        };
        let refuse = |must: String| {
            Error::new("22003", "numeric field overflow").detail(format!(
                "A field with precision {precision}, scale {scale} {must}."
            ))
        };
        match &self.0 {
            Kind::Nan => Ok(self.clone()),
            Kind::Infinite(_) => Err(refuse("cannot hold an infinite value".to_owned())),
            Kind::Finite(decimal) => {
                let rounded = decimal.rounded(i64::from(scale));
                let room = precision - scale;
                if rounded.digits.is_zero() || rounded.magnitude() <= i64::from(room) {
                    return Ok(Numeric(Kind::Finite(rounded)));
                }
                let bound = if room == 0 {
                    "1".to_owned()
                } else {
                    format!("10^{room}")
                };
                Err(refuse(format!(
                    "must round to an absolute value less than {bound}"
                )))
            }
        }
    }
}

impl super::Decimal {
    /// Decimal digits before the point; negative for zeros after it.
    fn magnitude(&self) -> i64 {
        let first = self.digits.digits.first().copied().unwrap_or(0);
        self.digits.weight * 4 + i64::from(first.checked_ilog10().unwrap_or(0)) + 1
    }
}
