//! The code of functions and operators, by the names that PostgreSQL gives it (`pg_proc.prosrc`).

mod array;
mod compare;

mod datetime;
mod float;
mod integer;
pub(crate) mod json;
mod numeric;
mod send;
mod system;
mod text;

use std::sync::Arc;

use crate::{
    Array, Error, Interval, Json, Oid, Result, Type, Value, cast,
    catalog::{Routine, catalog},
    numeric::Numeric,
    resolve::{Call, Scope},
};

/// `"any"`.
const ANY: Oid = 2276;

/// The code of a routine for arguments of these types.
pub(crate) fn find(row: &Routine, args: &[Oid], variadic: bool) -> Option<Call> {
    if let Some(call) = compare::find(row.name, args) {
        return Some(call);
    }
    if variadic && row.args.last() == Some(&ANY) {
        return text::find_variadic(row.code).or_else(|| system::find_variadic(row.code));
    }
    by_code(row.code).or_else(|| cast_of(row, args))
}

fn by_code(code: &str) -> Option<Call> {
    integer::find(code)
        .or_else(|| float::find(code))
        .or_else(|| numeric::find(code))
        .or_else(|| text::find(code))
        .or_else(|| json::find(code))
        .or_else(|| datetime::find(code))
        .or_else(|| array::find(code))
        .or_else(|| system::find(code))
        .or_else(|| send::find(code))
}

/// A cast's function, called by its name.
fn cast_of(row: &Routine, args: &[Oid]) -> Option<Call> {
    let [from] = args else {
        return None;
    };
    let found = catalog().casts.get(&(*from, row.result))?;
    (found.code == row.code).then_some(cast_to_result as Call)
}

/// Casts the only argument to the type of the result.
pub(crate) fn cast_to_result(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let value = args.first().cloned().unwrap_or(Value::Null);
    let from = scope.args.first().copied().unwrap_or(crate::oid::UNKNOWN);
    cast::cast(
        value,
        from,
        Type::of(scope.result),
        cast::Context::Explicit,
        scope.types,
        scope.session,
    )
}

/// A value that is not of the type that was resolved: a mistake of the caller.
fn wrong(wanted: &str, value: Option<&Value>) -> Error {
    Error::new(
        "XX000",
        format!("a value is not of the type it was resolved to ({wanted}): {value:?}"),
    )
}

/// Reads an argument of one kind.
macro_rules! reader {
    ($name:ident, $kind:ident, &$type:ty) => {
        fn $name(args: &[Value], index: usize) -> Result<&$type> {
            match args.get(index) {
                Some(Value::$kind(value)) => Ok(value),
                other => Err(wrong(stringify!($name), other)),
            }
        }
    };
    ($name:ident, $kind:ident, $type:ty) => {
        fn $name(args: &[Value], index: usize) -> Result<$type> {
            match args.get(index) {
                Some(Value::$kind(value)) => Ok(*value),
                other => Err(wrong(stringify!($name), other)),
            }
        }
    };
}

reader!(boolean, Bool, bool);
reader!(int, Int, i64);
reader!(text, Text, &Arc<str>);
reader!(number, Numeric, &Numeric);
reader!(bytea, Bytes, &bytes::Bytes);
reader!(date, Date, i32);
reader!(time, Time, i64);
reader!(timestamp, Timestamp, i64);
reader!(interval, Interval, Interval);
reader!(json, Json, &Arc<Json>);
reader!(array, Array, &Arc<Array>);

/// Either floating-point type, widened.
fn double(args: &[Value], index: usize) -> Result<f64> {
    match args.get(index) {
        Some(Value::Float8(value)) => Ok(*value),
        Some(Value::Float4(value)) => Ok(f64::from(*value)),
        other => Err(wrong("float", other)),
    }
}
