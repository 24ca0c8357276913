//! Rounding and cutting at a decimal place.

use super::{Decimal, Kind, MAX_SCALE, MAX_WEIGHT, Numeric, digits::Digits};
use crate::Result;

/// What happens to the places that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Half away from zero.
    Half,
    /// Towards zero.
    Cut,
}

impl Decimal {
    /// Rounds half away from zero at this many places after the point; negative ones are before it. The scale becomes `places`, or 0.
    pub(super) fn rounded(&self, places: i64) -> Decimal {
        self.at_place(places, Mode::Half)
    }

    pub(super) fn truncated(&self, places: i64) -> Decimal {
        self.at_place(places, Mode::Cut)
    }

    fn at_place(&self, places: i64, mode: Mode) -> Decimal {
        let scale = u32::try_from(places.max(0)).unwrap_or(MAX_SCALE);
        // The base-10000 digit that holds the last place kept, and how much of it goes.
        let weight = -places.div_euclid(4) - i64::from(places.rem_euclid(4) != 0);
        let unit = 10u16.pow(u32::try_from((4 - places.rem_euclid(4)) % 4).unwrap_or(0));
        if self.digits.bottom() > weight || self.digits.is_zero() {
            return Decimal::new(self.negative, self.digits.clone(), scale);
        }
        if self.digits.weight < weight - 1 {
            return Decimal::new(false, Digits::default(), scale);
        }
        let kept_digits = usize::try_from(self.digits.weight - weight + 1).unwrap_or(0);
        let mut kept = Digits {
            digits: self
                .digits
                .digits
                .iter()
                .take(kept_digits)
                .copied()
                .collect(),
            weight: self.digits.weight,
        };
        let last = self.digits.at(weight);
        let rest = last % unit;
        if kept_digits > 0
            && let Some(digit) = kept.digits.last_mut()
        {
            *digit -= rest;
        }
        let up = mode == Mode::Half
            && if unit > 1 {
                rest >= unit / 2
            } else {
                self.digits.at(weight - 1) >= 5000
            };
        if up {
            kept = kept.stripped().add(&Digits {
                digits: vec![unit],
                weight,
            });
        }
        Decimal::new(self.negative, kept, scale)
    }
}

impl Numeric {
    fn map(&self, change: impl Fn(&Decimal) -> Decimal) -> Result<Numeric> {
        match &self.0 {
            Kind::Finite(decimal) => change(decimal).checked(),
            _ => Ok(self.clone()),
        }
    }

    /// `round(numeric, int)`.
    ///
    /// # Errors
    /// When the rounding makes it too long.
    pub fn round(&self, places: i64) -> Result<Numeric> {
        let places = places.clamp(-4 * (MAX_WEIGHT + 1), i64::from(MAX_SCALE));
        self.map(|decimal| decimal.rounded(places))
    }

    /// `trunc(numeric, int)`.
    ///
    /// # Errors
    /// Never in practice.
    pub fn trunc(&self, places: i64) -> Result<Numeric> {
        let places = places.clamp(-4 * (MAX_WEIGHT + 1), i64::from(MAX_SCALE));
        self.map(|decimal| decimal.truncated(places))
    }

    /// The next integer below.
    ///
    /// # Errors
    /// When it is too long.
    pub fn floor(&self) -> Result<Numeric> {
        self.map(|decimal| decimal.to_integer(decimal.negative))
    }

    /// The next integer above.
    ///
    /// # Errors
    /// When it is too long.
    pub fn ceil(&self) -> Result<Numeric> {
        self.map(|decimal| decimal.to_integer(!decimal.negative))
    }

    /// Without zeros at the end of the fraction.
    #[must_use]
    pub fn trim_scale(&self) -> Numeric {
        match &self.0 {
            Kind::Finite(decimal) => Numeric(Kind::Finite(Decimal {
                scale: decimal.min_scale(),
                ..decimal.clone()
            })),
            _ => self.clone(),
        }
    }
}

impl Decimal {
    /// Cut to an integer, one further from zero where `away` and something was cut.
    fn to_integer(&self, away: bool) -> Decimal {
        let cut = self.truncated(0);
        if !away || cut.digits == self.digits {
            return cut;
        }
        let one = Digits {
            digits: vec![1],
            weight: 0,
        };
        Decimal::new(self.negative, cut.digits.add(&one), 0)
    }

    /// Fewest decimal places that show the whole number.
    pub(super) fn min_scale(&self) -> u32 {
        let Some(last) = self.digits.digits.last() else {
            return 0;
        };
        let zeros = (0..4)
            .take_while(|power| last % 10u16.pow(power + 1) == 0)
            .count();
        let places = -self.digits.bottom() * 4 - i64::try_from(zeros).unwrap_or(0);
        u32::try_from(places).unwrap_or(0)
    }
}
