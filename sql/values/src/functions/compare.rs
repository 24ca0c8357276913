//! `=`, `<>`, `<`, `<=`, `>`, `>=`, also between dates, timestamps and instants.

use std::cmp::Ordering;

use crate::{
    Oid, Result, Types, Value, cast, datetime, oid, order,
    resolve::{Call, Scope},
};

/// The comparison of this name, where values of these types have an order.
pub(super) fn find(name: &str, args: &[Oid]) -> Option<Call> {
    let call: Call = match name {
        "=" => |scope, args| answer(scope, args, Ordering::is_eq),
        "<>" => |scope, args| answer(scope, args, Ordering::is_ne),
        "<" => |scope, args| answer(scope, args, Ordering::is_lt),
        "<=" => |scope, args| answer(scope, args, Ordering::is_le),
        ">" => |scope, args| answer(scope, args, Ordering::is_gt),
        ">=" => |scope, args| answer(scope, args, Ordering::is_ge),
        _ => return None,
    };
    // Enums are known only with the types at hand; what else is not built in has no operators.
    let none = Types::default();
    let has_order = |ty: &Oid| {
        order::is_sortable(*ty, &none) || !crate::catalog::catalog().types.contains_key(ty)
    };
    (args.len() == 2 && args.iter().all(has_order)).then_some(call)
}

fn answer(scope: Scope<'_>, args: &[Value], holds: fn(Ordering) -> bool) -> Result<Value> {
    let (Some(left), Some(right), [left_type, right_type]) =
        (args.first(), args.get(1), scope.args)
    else {
        return Err(super::wrong("comparison", args.first()));
    };
    let ordering = match (left, right) {
        (Value::Record(left), Value::Record(right)) => return records(scope, left, right, holds),
        (Value::Date(_), Value::Timestamp(_)) | (Value::Timestamp(_), Value::Date(_)) => {
            let zoned = *left_type == oid::TIMESTAMPTZ || *right_type == oid::TIMESTAMPTZ;
            instant(scope, left, *left_type, zoned)?.cmp(&instant(
                scope,
                right,
                *right_type,
                zoned,
            )?)
        }
        (Value::Timestamp(_), Value::Timestamp(_)) if left_type != right_type => {
            instant(scope, left, *left_type, true)?.cmp(&instant(scope, right, *right_type, true)?)
        }
        _ => order::compare(*left_type, left, right, scope.types),
    };
    Ok(Value::Bool(holds(ordering)))
}

/// Microseconds of a date or timestamp: of UTC where one of the two is an instant. A date too far for a timestamp stays beyond it.
fn instant(scope: Scope<'_>, value: &Value, ty: Oid, zoned: bool) -> Result<i128> {
    let local = match value {
        Value::Date(i32::MAX) => return Ok(i128::from(i64::MAX)),
        Value::Date(i32::MIN) => return Ok(i128::from(i64::MIN)),
        Value::Date(days) => match cast::datetime::date_to_timestamp(*days) {
            Ok(us) => us,
            Err(_) => return Ok(i128::from(*days) * i128::from(datetime::DAY)),
        },
        Value::Timestamp(us) => *us,
        other => return Err(super::wrong("timestamp", Some(other))),
    };
    let us = if zoned && ty != oid::TIMESTAMPTZ {
        cast::datetime::to_timestamptz(local, scope.session)?
    } else {
        local
    };
    Ok(i128::from(us))
}

/// Rows of the same number of columns, as `(1, NULL) < (1, 2)` is meant between whole rows: NULL above all.
fn records(
    scope: Scope<'_>,
    left: &[(Oid, Value)],
    right: &[(Oid, Value)],
    holds: fn(Ordering) -> bool,
) -> Result<Value> {
    if left.len() != right.len() {
        return Err(crate::Error::new(
            "42804",
            "cannot compare record types with different numbers of columns",
        ));
    }
    for (index, ((a, _), (b, _))) in left.iter().zip(right).enumerate() {
        if a != b {
            let name = |ty: &Oid| crate::format::type_name(crate::Type::of(*ty), scope.types);
            let message = format!(
                "cannot compare dissimilar column types {} and {} at record column {}",
                name(a),
                name(b),
                index + 1
            );
            return Err(crate::Error::new("42804", message));
        }
    }
    let ordering = left
        .iter()
        .zip(right)
        .map(|((ty, left), (_, right))| order::compare(*ty, left, right, scope.types))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal);
    Ok(Value::Bool(holds(ordering)))
}
