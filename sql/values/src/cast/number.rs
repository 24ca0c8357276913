//! Casts between numbers.

use crate::{Error, Oid, Result, Value, format, format::number::int_range, numeric::Numeric, oid};

/// 2^63: the first number that `bigint` does not hold.
pub(crate) const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
/// 2^32.
const WRAP: i64 = 1 << 32;

/// The same bytes under another name: an `oid` is an `int4` without its sign.
pub(super) fn relabel(value: Value, to: Oid) -> Value {
    match (value, to) {
        (Value::Int(number), oid::INT4) if number > i64::from(i32::MAX) => {
            Value::Int(number - WRAP)
        }
        (Value::Int(number), oid::OID | oid::REGCLASS | oid::REGTYPE | oid::REGPROC)
            if number < 0 =>
        {
            Value::Int(number + WRAP)
        }
        (value, _) => value,
    }
}

pub(crate) fn out_of_range(ty: Oid) -> Error {
    Error::new(
        "22003",
        match ty {
            oid::INT2 => "smallint out of range",
            oid::INT4 => "integer out of range",
            oid::INT8 => "bigint out of range",
            oid::MONEY => "money out of range",
            _ => "OID out of range",
        },
    )
}

/// An integer of a type.
pub(crate) fn checked(number: Option<i64>, ty: Oid) -> Result<Value> {
    number
        .filter(|number| int_range(ty).contains(number))
        .map(Value::Int)
        .ok_or_else(|| out_of_range(ty))
}

pub(crate) fn overflow() -> Error {
    Error::new("22003", "value out of range: overflow")
}

pub(crate) fn underflow() -> Error {
    Error::new("22003", "value out of range: underflow")
}

/// `None` where the cast is not served.
pub(super) fn convert(value: &Value, from: Oid, to: Oid) -> Result<Option<Value>> {
    match value {
        Value::Int(number) => from_int(*number, from, to),
        Value::Float4(number) => from_float(f64::from(*number), Some(*number), to),
        Value::Float8(number) => from_float(*number, None, to),
        Value::Numeric(number) => from_numeric(number, to),
        _ => Ok(None),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "rounding to the nearest is what the cast means"
)]
fn from_int(number: i64, from: Oid, to: Oid) -> Result<Option<Value>> {
    Ok(Some(match to {
        oid::FLOAT4 => Value::Float4(number as f32),
        oid::FLOAT8 => Value::Float8(number as f64),
        oid::NUMERIC => format::numeric_of(number),
        oid::BOOL => Value::Bool(number != 0),
        oid::INT2 | oid::INT4 | oid::INT8 => checked(Some(number), to)?,
        _ if from == oid::INT8 => checked(Some(number), oid::OID)?,
        oid::OID | oid::REGCLASS | oid::REGTYPE | oid::REGPROC => relabel(Value::Int(number), to),
        _ => return Ok(None),
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked, or rounding is meant"
)]
fn from_float(number: f64, single: Option<f32>, to: Oid) -> Result<Option<Value>> {
    Ok(Some(match to {
        oid::FLOAT8 => Value::Float8(number),
        oid::FLOAT4 => {
            let cut = number as f32;
            if cut.is_infinite() && number.is_finite() {
                return Err(overflow());
            }
            if cut == 0.0 && number != 0.0 {
                return Err(underflow());
            }
            Value::Float4(cut)
        }
        oid::NUMERIC => Value::Numeric(match single {
            Some(single) => Numeric::from_f32(single),
            None => Numeric::from_f64(number),
        }),
        oid::INT2 | oid::INT4 | oid::INT8 => {
            let whole = number.round_ties_even();
            // Both bounds are exact: -2^63 and 2^63.
            let fits = (-TWO_TO_63..TWO_TO_63).contains(&whole);
            checked(fits.then_some(whole as i64), to)?
        }
        _ => return Ok(None),
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the text is read again for the nearest `real`"
)]
fn from_numeric(number: &Numeric, to: Oid) -> Result<Option<Value>> {
    let too_large = |ty: &str| {
        Error::new(
            "22003",
            format!("\"{number}\" is out of range for type {ty}"),
        )
    };
    let finite = number.scale().is_some();
    Ok(Some(match to {
        oid::FLOAT8 => {
            let double = number.to_f64();
            if finite && (double.is_infinite() || (double == 0.0 && !number.is_zero())) {
                return Err(too_large("double precision"));
            }
            Value::Float8(double)
        }
        oid::FLOAT4 => {
            let single = if finite {
                number.to_string().parse().unwrap_or(f32::NAN)
            } else {
                number.to_f64() as f32
            };
            if finite && (single.is_infinite() || (single == 0.0 && !number.is_zero())) {
                return Err(too_large("real"));
            }
            Value::Float4(single)
        }
        oid::INT2 | oid::INT4 | oid::INT8 => {
            let name = match to {
                oid::INT2 => "smallint",
                oid::INT4 => "integer",
                _ => "bigint",
            };
            if !finite {
                let what = if number.is_nan() { "NaN" } else { "infinity" };
                return Err(Error::new(
                    "0A000",
                    format!("cannot convert {what} to {name}"),
                ));
            }
            checked(number.to_i64(), to)?
        }
        _ => return Ok(None),
    }))
}
