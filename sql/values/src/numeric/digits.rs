//! Magnitudes in base 10000: the schoolbook operations.

use std::cmp::Ordering;

pub(super) const BASE: u32 = 10_000;

/// `digits[0] * 10000^weight + digits[1] * 10000^(weight-1) + …`; without zeros at either end once stripped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) digits: Vec<u16>,
    pub(super) weight: i64,
}

/// A count that cannot be negative here.
pub(super) fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

pub(super) fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder by 10000 fits"
)]
fn low(number: u64) -> u16 {
    (number % u64::from(BASE)) as u16
}

impl Digits {
    pub(super) fn from_u128(mut number: u128) -> Digits {
        let mut digits = Vec::new();
        while number > 0 {
            digits.push(u16::try_from(number % u128::from(BASE)).unwrap_or(0));
            number /= u128::from(BASE);
        }
        digits.reverse();
        let weight = signed(digits.len()) - 1;
        Digits { digits, weight }.stripped()
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Without zeros at the ends.
    pub(super) fn stripped(mut self) -> Digits {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.weight = if self.digits.is_empty() {
            0
        } else {
            self.weight - signed(zeros)
        };
        self
    }

    /// The digit of this weight.
    pub(super) fn at(&self, weight: i64) -> u16 {
        usize::try_from(self.weight - weight)
            .ok()
            .and_then(|index| self.digits.get(index).copied())
            .unwrap_or(0)
    }

    /// Weight of the last digit kept.
    pub(super) fn bottom(&self) -> i64 {
        self.weight - signed(self.digits.len()) + 1
    }

    pub(super) fn cmp(&self, other: &Digits) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        self.weight
            .cmp(&other.weight)
            .then_with(|| self.digits.cmp(&other.digits))
    }

    pub(super) fn add(&self, other: &Digits) -> Digits {
        if self.is_zero() {
            return other.clone();
        }
        if other.is_zero() {
            return self.clone();
        }
        let top = self.weight.max(other.weight) + 1;
        let bottom = self.bottom().min(other.bottom());
        let mut digits = Vec::with_capacity(count(top - bottom + 1));
        let mut carry = 0;
        for weight in bottom..=top {
            let sum = u64::from(self.at(weight)) + u64::from(other.at(weight)) + carry;
            digits.push(low(sum));
            carry = sum / u64::from(BASE);
        }
        digits.reverse();
        Digits {
            digits,
            weight: top,
        }
        .stripped()
    }

    /// `self` is not the smaller.
    pub(super) fn sub(&self, other: &Digits) -> Digits {
        if other.is_zero() {
            return self.clone();
        }
        let top = self.weight;
        let bottom = self.bottom().min(other.bottom());
        let mut digits = Vec::with_capacity(count(top - bottom + 1));
        let mut borrow = 0;
        for weight in bottom..=top {
            let difference =
                u64::from(self.at(weight)) + u64::from(BASE) - u64::from(other.at(weight)) - borrow;
            digits.push(low(difference));
            borrow = 1 - difference / u64::from(BASE);
        }
        digits.reverse();
        Digits {
            digits,
            weight: top,
        }
        .stripped()
    }

    pub(super) fn mul(&self, other: &Digits) -> Digits {
        if self.is_zero() || other.is_zero() {
            return Digits::default();
        }
        // Each place sums at most 2^15 products of two digits: far below 2^64.
        let mut places = vec![0u64; self.digits.len() + other.digits.len()];
        for (i, left) in self.digits.iter().enumerate() {
            for (j, right) in other.digits.iter().enumerate() {
                places[i + j + 1] += u64::from(*left) * u64::from(*right);
            }
        }
        let mut carry = 0;
        let mut digits = vec![0; places.len()];
        for (digit, place) in digits.iter_mut().zip(&places).rev() {
            let sum = place + carry;
            *digit = low(sum);
            carry = sum / u64::from(BASE);
        }
        Digits {
            digits,
            weight: self.weight + other.weight + 1,
        }
        .stripped()
    }

    /// The quotient, cut after the digit of weight `bottom`. `other` is not zero.
    pub(super) fn div(&self, other: &Digits, bottom: i64) -> Digits {
        if self.is_zero() {
            return Digits::default();
        }
        let top = self.weight - other.weight;
        if top < bottom {
            return Digits::default();
        }
        let wanted = count(top - bottom + 1);
        let quotient = if other.digits.len() == 1 {
            self.div_short(u64::from(other.digits[0]), wanted)
        } else {
            self.div_long(&other.digits, wanted)
        };
        Digits {
            digits: quotient,
            weight: top,
        }
        .stripped()
    }

    fn div_short(&self, divisor: u64, wanted: usize) -> Vec<u16> {
        let mut rest = 0;
        (0..wanted)
            .map(|index| {
                let part = rest * u64::from(BASE)
                    + u64::from(self.digits.get(index).copied().unwrap_or(0));
                rest = part % divisor;
                low(part / divisor)
            })
            .collect()
    }

    /// Knuth's algorithm D.
    fn div_long(&self, divisor: &[u16], wanted: usize) -> Vec<u16> {
        let base = i64::from(BASE);
        let length = divisor.len();
        let factor = base / (i64::from(divisor[0]) + 1);
        let scaled = |digits: &mut dyn Iterator<Item = i64>| -> Vec<i64> {
            let mut carry = 0;
            let mut out: Vec<i64> = digits
                .map(|digit| {
                    let product = digit * factor + carry;
                    carry = product / base;
                    product % base
                })
                .collect();
            out.push(carry);
            out.reverse();
            out
        };
        let v: Vec<i64> =
            scaled(&mut divisor.iter().rev().map(|digit| i64::from(*digit)))[1..].to_vec();
        let used = wanted + length - 1;
        let mut u = scaled(
            &mut (0..used)
                .rev()
                .map(|i| i64::from(self.digits.get(i).copied().unwrap_or(0))),
        );
        let mut quotient = Vec::with_capacity(wanted);
        for j in 0..wanted {
            let head = u[j] * base + u[j + 1];
            let mut guess = (head / v[0]).min(base - 1);
            while guess * v[1] > (head - guess * v[0]) * base + u[j + 2] {
                guess -= 1;
            }
            if subtract(&mut u[j..=j + length], &v, guess) {
                guess -= 1;
                add_back(&mut u[j..=j + length], &v);
            }
            quotient.push(low(guess.unsigned_abs()));
        }
        quotient
    }
}

/// Subtracts `guess * v`; whether it went below zero.
fn subtract(u: &mut [i64], v: &[i64], guess: i64) -> bool {
    let base = i64::from(BASE);
    let mut borrow = 0;
    for index in (0..v.len()).rev() {
        let difference = u[index + 1] - guess * v[index] - borrow;
        u[index + 1] = difference.rem_euclid(base);
        borrow = -difference.div_euclid(base);
    }
    u[0] -= borrow;
    u[0] < 0
}

fn add_back(u: &mut [i64], v: &[i64]) {
    let base = i64::from(BASE);
    let mut carry = 0;
    for index in (0..v.len()).rev() {
        let sum = u[index + 1] + v[index] + carry;
        u[index + 1] = sum % base;
        carry = sum / base;
    }
    u[0] += carry;
}
