//! From and to the other numbers.

use super::{Decimal, Kind, Numeric, digits::Digits};

impl From<i64> for Numeric {
    fn from(number: i64) -> Numeric {
        Numeric::from(i128::from(number))
    }
}

impl From<i128> for Numeric {
    fn from(number: i128) -> Numeric {
        let digits = Digits::from_u128(number.unsigned_abs());
        Numeric(Kind::Finite(Decimal::new(number < 0, digits, 0)))
    }
}

impl Numeric {
    /// `float8_numeric`: to 15 significant digits.
    #[must_use]
    pub fn from_f64(number: f64) -> Numeric {
        from_float(number, format!("{number:.14e}"))
    }

    /// `float4_numeric`: to 6 significant digits.
    #[must_use]
    pub fn from_f32(number: f32) -> Numeric {
        from_float(f64::from(number), format!("{number:.5e}"))
    }

    /// The nearest `double precision`; infinite where there is none that large.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Kind::Nan => f64::NAN,
            Kind::Infinite(true) => f64::NEG_INFINITY,
            Kind::Infinite(false) => f64::INFINITY,
            Kind::Finite(decimal) => decimal.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    /// Rounded to an integer, half away from zero; `None` where `bigint` cannot hold it or it is not finite.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        i64::try_from(self.to_i128()?).ok()
    }

    /// As [`Numeric::to_i64`], for 128 bits.
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        let Kind::Finite(decimal) = &self.0 else {
            return None;
        };
        let whole = decimal.rounded(0);
        // 10000^10 is beyond 2^127.
        if whole.digits.weight > 9 {
            return None;
        }
        let mut number = 0i128;
        for weight in (0..=whole.digits.weight).rev() {
            number = number
                .checked_mul(10_000)?
                .checked_add(i128::from(whole.digits.at(weight)))?;
        }
        Some(if whole.negative { -number } else { number })
    }
}

/// `text` is the number in scientific notation, which is read as C's `%g` would show it: without the zeros at its end.
fn from_float(number: f64, text: String) -> Numeric {
    if number.is_nan() {
        return Numeric::nan();
    }
    if number.is_infinite() {
        return Numeric::infinity(number < 0.0);
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    Numeric::parse(&format!("{mantissa}e{exponent}")).unwrap_or_else(|_| Numeric::nan())
}
