//! Order: NaN above all, equal to itself; the scale does not count.

use super::{Decimal, Kind, Numeric};
use std::cmp::Ordering;

impl Decimal {
    fn compare(&self, other: &Decimal) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.digits.cmp(&other.digits),
            (true, true) => other.digits.cmp(&self.digits),
        }
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        // Where a value that is not finite stands.
        let rank = |numeric: &Numeric| match &numeric.0 {
            Kind::Infinite(true) => 0,
            Kind::Finite(_) => 1,
            Kind::Infinite(false) => 2,
            Kind::Nan => 3,
        };
        match (&self.0, &other.0) {
            (Kind::Finite(left), Kind::Finite(right)) => left.compare(right),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl Numeric {
    /// Appends bytes that are equal for equal numbers, whatever their scales, and of no other's length prefix.
    pub fn hash_key(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Nan => out.push(3),
            Kind::Infinite(negative) => out.push(if *negative { 0 } else { 2 }),
            Kind::Finite(decimal) => {
                out.push(1);
                out.push(u8::from(decimal.negative));
                out.extend(decimal.digits.weight.to_be_bytes());
                out.extend(decimal.digits.digits.len().to_be_bytes());
                for digit in &decimal.digits.digits {
                    out.extend(digit.to_be_bytes());
                }
            }
        }
    }
}
