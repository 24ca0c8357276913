//! `numeric_recv` and `numeric_send`.

use super::{Decimal, Kind, MAX_SCALE, Numeric, digits::Digits};
use crate::{Error, Result};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const PLUS_INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;

fn invalid(what: &str) -> Error {
    Error::new(
        "22P03",
        format!("invalid {what} in external \"numeric\" value"),
    )
}

impl Numeric {
    /// Reads the binary form.
    ///
    /// # Errors
    /// 22P03, 08P01.
    pub fn receive(bytes: &[u8]) -> Result<Numeric> {
        let words: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        let [length, weight, sign, scale, digits @ ..] = words.as_slice() else {
            return Err(Error::new("08P01", "insufficient data left in message"));
        };
        if digits.len() < usize::from(*length) {
            return Err(Error::new("08P01", "insufficient data left in message"));
        }
        if bytes.len() != 8 + 2 * usize::from(*length) {
            return Err(Error::new("22P03", "incorrect binary data format"));
        }
        match *sign {
            NAN => return Ok(Numeric::nan()),
            PLUS_INFINITY => return Ok(Numeric::infinity(false)),
            MINUS_INFINITY => return Ok(Numeric::infinity(true)),
            0 | NEGATIVE => {}
            _ => return Err(invalid("sign")),
        }
        if u32::from(*scale) > MAX_SCALE {
            return Err(invalid("scale"));
        }
        if digits.iter().any(|digit| *digit > 9999) {
            return Err(invalid("digit"));
        }
        let digits = Digits {
            digits: digits.to_vec(),
            weight: i64::from(weight.cast_signed()),
        }
        .stripped();
        // Digits beyond the scale are cut, as the server cuts them.
        let decimal = Decimal::new(*sign == NEGATIVE, digits, 0);
        decimal.truncated(i64::from(*scale)).checked()
    }

    /// Appends the binary form.
    pub fn send(&self, out: &mut Vec<u8>) {
        let mut put = |length: usize, weight: i64, sign: u16, scale: u32| {
            out.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            out.extend(i16::try_from(weight).unwrap_or(i16::MAX).to_be_bytes());
            out.extend(sign.to_be_bytes());
            out.extend(u16::try_from(scale).unwrap_or(0).to_be_bytes());
        };
        match &self.0 {
            Kind::Nan => put(0, 0, NAN, 0),
            Kind::Infinite(false) => put(0, 0, PLUS_INFINITY, 32),
            Kind::Infinite(true) => put(0, 0, MINUS_INFINITY, 32),
            Kind::Finite(decimal) => {
                let sign = if decimal.negative { NEGATIVE } else { 0 };
                put(
                    decimal.digits.digits.len(),
                    decimal.digits.weight,
                    sign,
                    decimal.scale,
                );
                for digit in &decimal.digits.digits {
                    out.extend(digit.to_be_bytes());
                }
            }
        }
    }
}
