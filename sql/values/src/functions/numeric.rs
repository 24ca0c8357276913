//! `numeric`.

use crate::{
    Result, Value,
    numeric::Numeric,
    resolve::{Call, Scope},
};

use super::{int, number};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "numeric_add" => |_, args| binary(args, Numeric::add),
        "numeric_sub" => |_, args| binary(args, Numeric::sub),
        "numeric_mul" => |_, args| binary(args, Numeric::mul),
        "numeric_div" => |_, args| binary(args, Numeric::div),
        "numeric_div_trunc" => |_, args| binary(args, Numeric::div_trunc),
        "numeric_mod" => |_, args| binary(args, Numeric::rem),
        "numeric_uminus" => |_, args| Ok(Value::Numeric(number(args, 0)?.neg())),
        "numeric_uplus" => |_, args| Ok(Value::Numeric(number(args, 0)?.clone())),
        "numeric_abs" => |_, args| Ok(Value::Numeric(number(args, 0)?.abs())),
        "numeric_power" => |scope, args| {
            if scope.session.server_version_num >= 160_000 {
                return Err(crate::Error::unsupported("a power of numeric"));
            }
            binary(args, Numeric::power)
        },
        "numeric_sqrt" => |_, args| number(args, 0)?.sqrt().map(Value::Numeric),
        "numeric_floor" => |_, args| number(args, 0)?.floor().map(Value::Numeric),
        "numeric_ceil" => |_, args| number(args, 0)?.ceil().map(Value::Numeric),
        "numeric_round" => |_, args| number(args, 0)?.round(places(args)?).map(Value::Numeric),
        "round(numeric)" => |_, args| number(args, 0)?.round(0).map(Value::Numeric),
        "numeric_trunc" => |_, args| number(args, 0)?.trunc(places(args)?).map(Value::Numeric),
        "trunc(numeric)" => |_, args| number(args, 0)?.trunc(0).map(Value::Numeric),
        "numeric_sign" => sign,
        "numeric_scale" => |_, args| {
            Ok(number(args, 0)?
                .scale()
                .map_or(Value::Null, |scale| Value::Int(i64::from(scale))))
        },
        "numeric_min_scale" => |_, args| {
            Ok(number(args, 0)?
                .trim_scale()
                .scale()
                .map_or(Value::Null, |scale| Value::Int(i64::from(scale))))
        },
        "numeric_trim_scale" => |_, args| Ok(Value::Numeric(number(args, 0)?.trim_scale())),
        _ => return None,
    })
}

fn binary(args: &[Value], compute: fn(&Numeric, &Numeric) -> Result<Numeric>) -> Result<Value> {
    compute(number(args, 0)?, number(args, 1)?).map(Value::Numeric)
}

/// PostgreSQL takes no more places than these either way.
fn places(args: &[Value]) -> Result<i64> {
    Ok(int(args, 1)?.clamp(-2000, 2000))
}

fn sign(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let number = number(args, 0)?;
    Ok(Value::Numeric(match number.signum() {
        None => Numeric::nan(),
        Some(sign) => Numeric::from(i64::from(sign)),
    }))
}
