//! Sums, averages, variances.

use super::State;
use crate::{
    Error, Interval, Result, Value,
    cast::number::{checked, overflow},
    numeric::{Numeric, statistics::Sums},
    oid,
    resolve::Scope,
};

/// `sum` and `avg` over integers and `numeric`.
#[derive(Default)]
pub(super) struct Exact {
    average: bool,
    count: i64,
    whole: i128,
    sum: Option<Numeric>,
}

impl Exact {
    pub(super) fn average() -> Exact {
        Exact {
            average: true,
            ..Exact::default()
        }
    }

    fn total(&self) -> Numeric {
        self.sum
            .clone()
            .unwrap_or_else(|| Numeric::from(self.whole))
    }
}

impl State for Exact {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        match args.first() {
            // 2^64 rows of the largest number are within 128 bits.
            Some(Value::Int(value)) => self.whole += i128::from(*value),
            Some(Value::Numeric(value)) => {
                self.sum = Some(match self.sum.take() {
                    Some(sum) => sum.add(value)?,
                    None => value.clone(),
                });
            }
            _ => return Ok(()),
        }
        self.count += 1;
        Ok(())
    }

    fn finish(&mut self, scope: Scope<'_>) -> Result<Value> {
        if self.count == 0 {
            return Ok(Value::Null);
        }
        if self.average {
            return self
                .total()
                .div(&Numeric::from(self.count))
                .map(Value::Numeric);
        }
        if scope.result == oid::INT8 {
            return checked(i64::try_from(self.whole).ok(), oid::INT8);
        }
        Ok(Value::Numeric(self.total()))
    }
}

/// `sum` over floating-point numbers, in their own type.
#[derive(Default)]
pub(super) struct Float {
    sum: Option<Value>,
}

impl State for Float {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        let next = match (self.sum.take(), args.first()) {
            (sum, None | Some(Value::Null)) => {
                self.sum = sum;
                return Ok(());
            }
            (None, Some(value)) => value.clone(),
            (Some(Value::Float4(left)), Some(Value::Float4(right))) => {
                let sum = left + right;
                check(f64::from(sum), f64::from(left), f64::from(*right))?;
                Value::Float4(sum)
            }
            (Some(Value::Float8(left)), Some(Value::Float8(right))) => {
                let sum = left + right;
                check(sum, left, *right)?;
                Value::Float8(sum)
            }
            (sum, _) => sum.unwrap_or(Value::Null),
        };
        self.sum = Some(next);
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(self.sum.take().unwrap_or(Value::Null))
    }
}

fn check(result: f64, left: f64, right: f64) -> Result<()> {
    if result.is_infinite() && left.is_finite() && right.is_finite() {
        Err(overflow())
    } else {
        Ok(())
    }
}

/// `sum` over intervals.
#[derive(Default)]
pub(super) struct Intervals {
    sum: Option<Interval>,
}

impl State for Intervals {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        if let Some(Value::Interval(value)) = args.first() {
            self.sum = Some(match self.sum {
                None => *value,
                Some(sum) => {
                    add(sum, *value).ok_or_else(|| Error::new("22008", "interval out of range"))?
                }
            });
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(self.sum.map_or(Value::Null, Value::Interval))
    }
}

fn add(left: Interval, right: Interval) -> Option<Interval> {
    Some(Interval {
        months: left.months.checked_add(right.months)?,
        days: left.days.checked_add(right.days)?,
        us: left.us.checked_add(right.us)?,
    })
}

/// What is wanted of floating-point numbers.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    Average,
    Of { sample: bool, root: bool },
}

/// Averages and variances of floating-point numbers, by the method of Youngs and Cramer, whose rounding shows.
pub(super) struct Spread {
    measure: Measure,
    count: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    pub(super) fn of(measure: Measure) -> Spread {
        Spread {
            measure,
            count: 0.0,
            sum: 0.0,
            squares: 0.0,
        }
    }
}

impl State for Spread {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        let value = match args.first() {
            Some(Value::Float4(value)) => f64::from(*value),
            Some(Value::Float8(value)) => *value,
            _ => return Ok(()),
        };
        let (before, sum) = (self.count, self.sum);
        self.count += 1.0;
        self.sum += value;
        if before > 0.0 {
            let excess = value * self.count - self.sum;
            self.squares += excess * excess / (self.count * before);
            if self.sum.is_infinite() || self.squares.is_infinite() {
                if sum.is_finite() && value.is_finite() {
                    return Err(overflow());
                }
                self.squares = f64::NAN;
            }
        } else if !value.is_finite() {
            self.squares = f64::NAN;
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        let (divisor, root) = match self.measure {
            Measure::Average if self.count > 0.0 => {
                return Ok(Value::Float8(self.sum / self.count));
            }
            Measure::Average => return Ok(Value::Null),
            Measure::Of { sample, root } => {
                (if sample { self.count - 1.0 } else { self.count }, root)
            }
        };
        if divisor <= 0.0 {
            return Ok(Value::Null);
        }
        let variance = self.squares / divisor;
        Ok(Value::Float8(if root { variance.sqrt() } else { variance }))
    }
}

/// Variances of integers and `numeric`.
pub(super) struct ExactSpread {
    sample: bool,
    root: bool,
    sums: Sums,
}

impl ExactSpread {
    pub(super) fn of(sample: bool, root: bool) -> ExactSpread {
        ExactSpread {
            sample,
            root,
            sums: Sums {
                count: 0,
                sum: Numeric::zero(),
                squares: Numeric::zero(),
            },
        }
    }
}

impl State for ExactSpread {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        let value = match args.first() {
            Some(Value::Int(value)) => Numeric::from(*value),
            Some(Value::Numeric(value)) => value.clone(),
            _ => return Ok(()),
        };
        self.sums.count += 1;
        self.sums.sum = self.sums.sum.add(&value)?;
        self.sums.squares = self.sums.squares.add(&value.mul(&value)?)?;
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(self
            .sums
            .spread(self.sample, self.root)?
            .map_or(Value::Null, Value::Numeric))
    }
}
