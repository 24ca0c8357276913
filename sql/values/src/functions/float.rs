//! Floating-point numbers. Sums and products as the machine rounds them; of the transcendental functions only those whose result every C library gives.

use crate::{
    Error, Result, Value,
    cast::number::{overflow, underflow},
    numeric::division_by_zero,
    oid,
    resolve::{Call, Scope},
};

use super::double;

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "float4pl" | "float8pl" | "float48pl" | "float84pl" => {
            |scope, args| binary(scope, args, |a, b| a + b, Zero::Fine)
        }
        "float4mi" | "float8mi" | "float48mi" | "float84mi" => {
            |scope, args| binary(scope, args, |a, b| a - b, Zero::Fine)
        }
        "float4mul" | "float8mul" | "float48mul" | "float84mul" => {
            |scope, args| binary(scope, args, |a, b| a * b, Zero::OfEither)
        }
        "float4div" | "float8div" | "float48div" | "float84div" => div,
        "float4um" | "float8um" => |scope, args| Ok(of_type(-double(args, 0)?, scope)),
        "float4up" | "float8up" => |scope, args| Ok(of_type(double(args, 0)?, scope)),
        "float4abs" | "float8abs" => |scope, args| Ok(of_type(double(args, 0)?.abs(), scope)),
        "dround" => |_, args| Ok(Value::Float8(double(args, 0)?.round_ties_even())),
        "dtrunc" => |_, args| Ok(Value::Float8(double(args, 0)?.trunc())),
        "dceil" => |_, args| Ok(Value::Float8(double(args, 0)?.ceil())),
        "dfloor" => |_, args| Ok(Value::Float8(double(args, 0)?.floor())),
        "dsign" => |_, args| {
            let number = double(args, 0)?;
            Ok(Value::Float8(if number > 0.0 {
                1.0
            } else if number < 0.0 {
                -1.0
            } else {
                0.0
            }))
        },
        "dsqrt" => sqrt,
        "dpow" => power,
        "dexp" => exp,
        "dlog1" => |_, args| logarithm(double(args, 0)?, f64::ln),
        "dlog10" => |_, args| logarithm(double(args, 0)?, f64::log10),
        "dpi" => |_, _| Ok(Value::Float8(std::f64::consts::PI)),
        "radians" => |_, args| {
            Ok(Value::Float8(
                double(args, 0)? * (std::f64::consts::PI / 180.0),
            ))
        },
        "degrees" => |_, args| {
            Ok(Value::Float8(
                double(args, 0)? / (std::f64::consts::PI / 180.0),
            ))
        },
        _ => return None,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the value came from this type"
)]
fn of_type(number: f64, scope: Scope<'_>) -> Value {
    if scope.result == oid::FLOAT4 {
        Value::Float4(number as f32)
    } else {
        Value::Float8(number)
    }
}

/// When a result of 0 is no underflow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zero {
    Fine,
    OfEither,
    OfLeft,
}

/// Both of `real`: each step of `real` is rounded once, which a step of `double precision` rounded again equals for the four operations.
#[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
fn binary(
    scope: Scope<'_>,
    args: &[Value],
    compute: fn(f64, f64) -> f64,
    zero: Zero,
) -> Result<Value> {
    let (left, right) = (double(args, 0)?, double(args, 1)?);
    let exact = compute(left, right);
    let (result, value) = if scope.result == oid::FLOAT4 {
        (f64::from(exact as f32), Value::Float4(exact as f32))
    } else {
        (exact, Value::Float8(exact))
    };
    if result.is_infinite() && left.is_finite() && right.is_finite() {
        return Err(overflow());
    }
    let fine = match zero {
        Zero::Fine => true,
        Zero::OfEither => left == 0.0 || right == 0.0,
        Zero::OfLeft => left == 0.0 || right.is_infinite(),
    };
    if result == 0.0 && !fine {
        return Err(underflow());
    }
    Ok(value)
}

fn div(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    if double(args, 1)? == 0.0 && !double(args, 0)?.is_nan() {
        return Err(division_by_zero());
    }
    binary(scope, args, |a, b| a / b, Zero::OfLeft)
}

fn sqrt(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let number = double(args, 0)?;
    if number < 0.0 {
        return Err(Error::new(
            "2201F",
            "cannot take square root of a negative number",
        ));
    }
    Ok(Value::Float8(number.sqrt()))
}

fn power(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (base, exponent) = (double(args, 0)?, double(args, 1)?);
    if base == 0.0 && exponent < 0.0 {
        return Err(Error::new(
            "2201F",
            "zero raised to a negative power is undefined",
        ));
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.floor() != exponent {
        return Err(Error::new(
            "2201F",
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let result = base.powf(exponent);
    if base.is_finite() && exponent.is_finite() {
        if result.is_infinite() {
            return Err(overflow());
        }
        if result == 0.0 && base != 0.0 {
            return Err(underflow());
        }
    }
    Ok(Value::Float8(result))
}

fn exp(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let number = double(args, 0)?;
    let result = number.exp();
    if number.is_finite() && result.is_infinite() {
        return Err(overflow());
    }
    if number.is_finite() && result == 0.0 {
        return Err(underflow());
    }
    Ok(Value::Float8(result))
}

pub(super) fn logarithm_domain(sign: i8) -> Option<Error> {
    match sign {
        0 => Some(Error::new("2201E", "cannot take logarithm of zero")),
        -1 => Some(Error::new(
            "2201E",
            "cannot take logarithm of a negative number",
        )),
        _ => None,
    }
}

fn logarithm(number: f64, compute: fn(f64) -> f64) -> Result<Value> {
    let sign = if number == 0.0 {
        0
    } else if number < 0.0 {
        -1
    } else {
        1
    };
    match logarithm_domain(sign) {
        Some(error) => Err(error),
        None => Ok(Value::Float8(compute(number))),
    }
}
