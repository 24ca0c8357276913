//! Powers with whole exponents, exactly rounded.

use super::{Decimal, Kind, MAX_RESULT_SCALE, MIN_SIGNIFICANT, Numeric, digits::Digits};
use crate::{Error, Result};

/// Greatest exponent: beyond it the exact product, which is computed, grows long.
const MAX_EXPONENT: i64 = 1000;

impl Numeric {
    /// `power(numeric, numeric)` of version 15, of finite numbers and whole exponents up to a thousand. (Later versions choose another scale.)
    ///
    /// # Errors
    /// 2201F; 0A000 for what is not served, among it a product that lies so near to a tie that PostgreSQL's own rounding might fall either way.
    pub fn power(&self, exponent: &Numeric) -> Result<Numeric> {
        let (Kind::Finite(base), Kind::Finite(power)) = (&self.0, &exponent.0) else {
            return Err(Error::unsupported("a power of infinity or NaN"));
        };
        let whole = exponent.trim_scale().scale() == Some(0);
        if self.is_zero() && exponent.signum() == Some(-1) {
            return Err(Error::new(
                "2201F",
                "zero raised to a negative power is undefined",
            ));
        }
        if self.signum() == Some(-1) && !whole {
            let message = "a negative number raised to a non-integer power yields a complex result";
            return Err(Error::new("2201F", message));
        }
        let times = exponent
            .to_i64()
            .filter(|times| whole && (0..=MAX_EXPONENT).contains(times));
        let Some(times) = times else {
            return Err(Error::unsupported(format!(
                "a power with the exponent {exponent}"
            )));
        };
        base.raised(times, i64::from(power.scale))
    }
}

impl Decimal {
    fn raised(&self, times: i64, exponent_scale: i64) -> Result<Numeric> {
        if self.digits.is_zero() && times > 0 {
            return Decimal::new(false, Digits::default(), 16).checked();
        }
        let scale = MIN_SIGNIFICANT
            .max(i64::from(self.scale))
            .max(exponent_scale)
            .clamp(0, MAX_RESULT_SCALE);
        let mut product = Decimal::new(
            false,
            Digits {
                digits: vec![1],
                weight: 0,
            },
            0,
        );
        for _ in 0..times {
            product = product.mul(self);
        }
        product.scale = 0;
        if product.is_near_tie(scale) {
            return Err(Error::unsupported(
                "a power that is nearly halfway between two results",
            ));
        }
        product.rounded(scale).checked()
    }

    /// Whether the places beyond `scale` are within a ten-thousandth of a half.
    fn is_near_tie(&self, scale: i64) -> bool {
        let shifted = |by: i64| self.rounded(scale + by).digits;
        let exact = self.truncated(scale).digits == self.digits;
        let below = self
            .truncated(scale)
            .add(&Decimal::new(self.negative, unit(scale, 4999), 0))
            .digits;
        let above = self
            .truncated(scale)
            .add(&Decimal::new(self.negative, unit(scale, 5001), 0))
            .digits;
        let near = shifted(8);
        !exact && near.cmp(&below).is_ge() && near.cmp(&above).is_le()
    }
}

/// So many ten-thousandths of the last place of `scale`.
fn unit(scale: i64, number: u16) -> Digits {
    let digits = number
        .to_string()
        .into_bytes()
        .iter()
        .map(|byte| byte - b'0')
        .collect::<Vec<_>>();
    super::parse::grouped(&digits, scale + 4)
}
