//! Send functions by their name: the binary form of a value.

use crate::{
    Error, Result, Value, format,
    resolve::{Call, Scope},
};

/// Types whose send function is served.
const SERVED: &[&str] = &[
    "boolsend",
    "bytea_send",
    "int2send",
    "int4send",
    "int8send",
    "float4send",
    "float8send",
    "numeric_send",
    "textsend",
    "varcharsend",
    "bpcharsend",
    "date_send",
    "time_send",
    "timetz_send",
    "timestamp_send",
    "timestamptz_send",
    "interval_send",
    "uuid_send",
    "cash_send",
    "array_send",
    "jsonb_send",
    "json_send",
];

pub(super) fn find(code: &str) -> Option<Call> {
    SERVED.contains(&code).then_some(send as Call)
}

fn send(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let [value] = args else {
        return Err(Error::new("XX000", "a send function takes one value"));
    };
    let ty = scope.args.first().copied().unwrap_or_default();
    let mut bytes = Vec::new();
    format::send(ty, value, scope.types, &mut bytes)?;
    Ok(Value::Bytes(bytes.into()))
}
