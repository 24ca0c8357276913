//! `numeric_out`.

use super::{Decimal, Kind, Numeric};
use std::fmt;

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Nan => f.write_str("NaN"),
            Kind::Infinite(false) => f.write_str("Infinity"),
            Kind::Infinite(true) => f.write_str("-Infinity"),
            Kind::Finite(decimal) => decimal.fmt(f),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let top = self.digits.weight.max(0);
        write!(f, "{}", self.digits.at(top))?;
        for weight in (0..top).rev() {
            write!(f, "{:04}", self.digits.at(weight))?;
        }
        if self.scale == 0 {
            return Ok(());
        }
        f.write_str(".")?;
        let mut left = usize::try_from(self.scale).unwrap_or(0);
        let mut weight = -1;
        while left > 0 {
            let group = format!("{:04}", self.digits.at(weight));
            f.write_str(&group[..left.min(4)])?;
            left = left.saturating_sub(4);
            weight -= 1;
        }
        Ok(())
    }
}
