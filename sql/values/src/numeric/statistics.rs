//! Variance and standard deviation from exact sums.

use super::{Kind, Numeric};
use crate::Result;

/// Sums of a set of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    /// How many.
    pub(crate) count: i64,
    pub(crate) sum: Numeric,
    pub(crate) squares: Numeric,
}

impl Sums {
    /// Of the population or a sample, as a variance or its root. `None` for too few numbers.
    pub(crate) fn spread(&self, sample: bool, root: bool) -> Result<Option<Numeric>> {
        if self.count <= i64::from(sample) {
            return Ok(None);
        }
        let count = Numeric::from(self.count);
        let excess = count.mul(&self.squares)?.sub(&self.sum.mul(&self.sum)?)?;
        let divisor = count.mul(&Numeric::from(self.count - i64::from(sample)))?;
        match excess.signum() {
            None => return Ok(Some(Numeric::nan())),
            // Rounding cannot have made it negative; all numbers are the same.
            Some(..=0) => return Ok(Some(Numeric::zero())),
            Some(_) => {}
        }
        let variance = excess.div(&divisor)?;
        if !root {
            return Ok(Some(variance));
        }
        let Kind::Finite(decimal) = &variance.0 else {
            return Ok(Some(variance));
        };
        decimal.root(i64::from(decimal.scale)).checked().map(Some)
    }
}
