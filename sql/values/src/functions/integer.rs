//! Integers. The type of the result says what overflows.

use crate::{
    Result, Value,
    cast::number::{checked, out_of_range},
    numeric::division_by_zero,
    oid,
    resolve::{Call, Scope},
};

use super::int;

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "int2pl" | "int4pl" | "int8pl" | "int24pl" | "int42pl" | "int28pl" | "int82pl"
        | "int48pl" | "int84pl" => |scope, args| binary(scope, args, i64::checked_add),
        "int2mi" | "int4mi" | "int8mi" | "int24mi" | "int42mi" | "int28mi" | "int82mi"
        | "int48mi" | "int84mi" => |scope, args| binary(scope, args, i64::checked_sub),
        "int2mul" | "int4mul" | "int8mul" | "int24mul" | "int42mul" | "int28mul" | "int82mul"
        | "int48mul" | "int84mul" => |scope, args| binary(scope, args, i64::checked_mul),
        "int2div" | "int4div" | "int8div" | "int24div" | "int42div" | "int28div" | "int82div"
        | "int48div" | "int84div" => div,
        "int2mod" | "int4mod" | "int8mod" => rem,
        "int2um" | "int4um" | "int8um" => {
            |scope, args| checked(int(args, 0)?.checked_neg(), scope.result)
        }
        "int2up" | "int4up" | "int8up" => |_, args| Ok(Value::Int(int(args, 0)?)),
        "int2abs" | "int4abs" | "int8abs" => {
            |scope, args| checked(int(args, 0)?.checked_abs(), scope.result)
        }
        "int2and" | "int4and" | "int8and" => {
            |_, args| Ok(Value::Int(int(args, 0)? & int(args, 1)?))
        }
        "int2or" | "int4or" | "int8or" => |_, args| Ok(Value::Int(int(args, 0)? | int(args, 1)?)),
        "int2xor" | "int4xor" | "int8xor" => {
            |_, args| Ok(Value::Int(int(args, 0)? ^ int(args, 1)?))
        }
        "int2not" | "int4not" | "int8not" => |_, args| Ok(Value::Int(!int(args, 0)?)),
        "int2shl" | "int4shl" | "int8shl" => |scope, args| shift(scope, args, true),
        "int2shr" | "int4shr" | "int8shr" => |scope, args| shift(scope, args, false),
        "int4gcd" | "int8gcd" => gcd,
        "int4lcm" | "int8lcm" => lcm,
        _ => return None,
    })
}

fn binary(scope: Scope<'_>, args: &[Value], compute: fn(i64, i64) -> Option<i64>) -> Result<Value> {
    checked(compute(int(args, 0)?, int(args, 1)?), scope.result)
}

fn div(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    match int(args, 1)? {
        0 => Err(division_by_zero()),
        divisor => checked(int(args, 0)?.checked_div(divisor), scope.result),
    }
}

fn rem(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    match int(args, 1)? {
        0 => Err(division_by_zero()),
        divisor => Ok(Value::Int(int(args, 0)?.wrapping_rem(divisor))),
    }
}

/// As the machine does it: the count taken modulo the width (of 32 bits for `smallint`), what leaves the type cut.
#[expect(
    clippy::cast_possible_truncation,
    reason = "cutting is what the operator does"
)]
fn shift(scope: Scope<'_>, args: &[Value], left: bool) -> Result<Value> {
    let (number, by) = (
        int(args, 0)?,
        u32::try_from(int(args, 1)?.rem_euclid(64)).unwrap_or(0),
    );
    Ok(Value::Int(match (scope.result, left) {
        (oid::INT8, true) => number.wrapping_shl(by),
        (oid::INT8, false) => number.wrapping_shr(by),
        (oid::INT2, true) => i64::from((number as i32).wrapping_shl(by) as i16),
        (_, true) => i64::from((number as i32).wrapping_shl(by)),
        (_, false) => i64::from((number as i32).wrapping_shr(by)),
    }))
}

fn greatest_divisor(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

fn gcd(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let divisor = greatest_divisor(int(args, 0)?.unsigned_abs(), int(args, 1)?.unsigned_abs());
    checked(i64::try_from(divisor).ok(), scope.result)
}

fn lcm(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (left, right) = (int(args, 0)?.unsigned_abs(), int(args, 1)?.unsigned_abs());
    if left == 0 || right == 0 {
        return Ok(Value::Int(0));
    }
    let multiple = (left / greatest_divisor(left, right)).checked_mul(right);
    let multiple = multiple
        .and_then(|number| i64::try_from(number).ok())
        .ok_or_else(|| out_of_range(scope.result));
    checked(Some(multiple?), scope.result)
}
