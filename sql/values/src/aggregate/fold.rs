//! Aggregates that keep one value.

use std::cmp::Ordering;

use super::State;
use crate::{Result, Value, order, resolve::Scope};

/// `count`.
#[derive(Default)]
pub(super) struct Count {
    rows: i64,
}

impl State for Count {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        if !args.first().is_some_and(Value::is_null) {
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(Value::Int(self.rows))
    }
}

/// `min` and `max`.
pub(super) struct Extreme {
    wanted: Ordering,
    best: Value,
}

impl Extreme {
    pub(super) fn of(wanted: Ordering) -> Extreme {
        Extreme {
            wanted,
            best: Value::Null,
        }
    }
}

impl State for Extreme {
    fn take(&mut self, scope: Scope<'_>, args: &[Value]) -> Result<()> {
        let (Some(value), Some(ty)) = (args.first(), scope.args.first()) else {
            return Ok(());
        };
        if value.is_null() {
            return Ok(());
        }
        let ordering = order::compare(*ty, value, &self.best, scope.types);
        if self.best.is_null()
            || ordering == self.wanted
            || (ordering.is_eq() && keeps_later(value))
        {
            self.best = value.clone();
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(std::mem::replace(&mut self.best, Value::Null))
    }
}

/// Whether the type's `…_larger` and `…_smaller` functions answer the later of two equal values: visible in a number's scale and an interval's parts.
fn keeps_later(value: &Value) -> bool {
    matches!(
        value,
        Value::Numeric(_)
            | Value::Interval(_)
            | Value::TimeTz(..)
            | Value::Array(_)
            | Value::Float8(_)
            | Value::Float4(_)
    )
}

/// `bool_and`, `bool_or`, `every`.
pub(super) struct Logic {
    fold: fn(bool, bool) -> bool,
    held: Option<bool>,
}

impl Logic {
    pub(super) fn of(fold: fn(bool, bool) -> bool) -> Logic {
        Logic { fold, held: None }
    }
}

impl State for Logic {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        if let Some(Value::Bool(value)) = args.first() {
            self.held = Some(self.held.map_or(*value, |held| (self.fold)(held, *value)));
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(self.held.map_or(Value::Null, Value::Bool))
    }
}

/// `bit_and`, `bit_or`, `bit_xor`.
pub(super) struct Bits {
    fold: fn(i64, i64) -> i64,
    held: Option<i64>,
}

impl Bits {
    pub(super) fn of(fold: fn(i64, i64) -> i64) -> Bits {
        Bits { fold, held: None }
    }
}

impl State for Bits {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        if let Some(Value::Int(value)) = args.first() {
            self.held = Some(self.held.map_or(*value, |held| (self.fold)(held, *value)));
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(self.held.map_or(Value::Null, Value::Int))
    }
}
