//! Text and binary forms: the input, output, receive and send functions of every type.

pub(crate) mod array;
mod binary;
pub(crate) mod bytea;
pub(crate) mod modifier;
pub(crate) mod name;
pub(crate) mod number;
mod record;
pub(crate) mod text;

use std::sync::Arc;

use crate::{
    Error, Oid, Result, Session, Type, Types, Value,
    cast::Context,
    catalog::catalog,
    datetime::{self, zone},
    json,
    numeric::Numeric,
    oid,
};

pub use binary::{receive, send};
pub use name::{type_by_name, type_name};

/// `typinput`, then the modifier as an assignment would apply it (`varchar(3)` refuses what is too long, `numeric(5,2)` rounds).
///
/// # Errors
/// PostgreSQL's of the type, or 0A000 for a type or a form that is not served.
pub fn parse(ty: Type, text: &str, types: &Types, session: &Session) -> Result<Value> {
    if ty.oid == oid::INTERVAL && datetime::interval::has_fields(ty.modifier) {
        return Err(Error::unsupported("reading an interval with named fields"));
    }
    let value = input(ty, text, types, session)?;
    modifier::apply(value, ty, Context::Assignment)
}

/// `typinput` alone; arrays pass the modifier on to their elements.
fn input(ty: Type, text: &str, types: &Types, session: &Session) -> Result<Value> {
    let value = match ty.oid {
        oid::BOOL => Value::Bool(text::parse_bool(text)?),
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => {
            Value::Int(number::parse_int(ty.oid, text, session)?)
        }
        oid::FLOAT4 => Value::Float4(number::parse_f32(text)?),
        oid::FLOAT8 => Value::Float8(number::parse_f64(text)?),
        oid::NUMERIC => Value::Numeric(number::parse_numeric(text, session)?),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::UNKNOWN => {
            Value::text(text::without_nul(text)?)
        }
        oid::NAME => Value::text(text::cut_name(text)),
        oid::CHAR => Value::Text(text::parse_char(text)?),
        oid::BYTEA => Value::Bytes(bytea::parse(text)?),
        oid::UUID => Value::Uuid(text::parse_uuid(text)?),
        oid::DATE => Value::Date(datetime::input::date(text, session)?),
        oid::TIME => Value::Time(datetime::input::time(text, session)?),
        oid::TIMETZ => {
            let (us, west) = datetime::input::timetz(text, session)?;
            Value::TimeTz(us, west)
        }
        oid::TIMESTAMP => Value::Timestamp(datetime::input::timestamp(text, session)?),
        oid::TIMESTAMPTZ => Value::Timestamp(datetime::input::timestamptz(text, session)?),
        oid::INTERVAL => Value::Interval(datetime::interval::parse(text)?),
        oid::JSON => {
            json::parse::check(text)?;
            Value::text(text)
        }
        oid::JSONB => Value::Json(Arc::new(json::parse::parse(text)?)),
        oid::REGTYPE => Value::Int(name::parse_regtype(text, types)?),
        oid::VOID => Value::text(""),
        other => return input_by_catalog(Type { oid: other, ..ty }, text, types, session),
    };
    Ok(value)
}

/// Enums and arrays.
fn input_by_catalog(ty: Type, text: &str, types: &Types, session: &Session) -> Result<Value> {
    if let Some(found) = types.enums.get(&ty.oid) {
        let label = found.labels.iter().find(|label| ***label == *text);
        return label
            .map(|label| Value::Text(label.clone()))
            .ok_or_else(|| {
                Error::new(
                    "22P02",
                    format!(
                        "invalid input value for enum {}: \"{text}\"",
                        name::quoted(&found.name)
                    ),
                )
            });
    }
    match element_of(ty.oid, types) {
        Some(element) => array::parse(Type { oid: element, ..ty }, text, types, session),
        None => Err(Error::unsupported(format!(
            "reading a value of type {}",
            type_name(Type::of(ty.oid), types)
        ))),
    }
}

/// `typoutput`, by the session's settings. Appends. Never called with NULL.
///
/// `DateStyle` counts as ISO and `IntervalStyle` as `postgres` unless it is `iso_8601`: see [`check_settings`].
pub fn print(ty: Oid, value: &Value, types: &Types, session: &Session, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(if *value { b't' } else { b'f' }),
        Value::Int(value) => name::print_int(ty, *value, types, out),
        Value::Float4(value) => number::print_f32(*value, session.extra_float_digits, out),
        Value::Float8(value) => number::print_f64(*value, session.extra_float_digits, out),
        Value::Numeric(value) => out.extend(value.to_string().as_bytes()),
        Value::Text(value) => out.extend(value.as_bytes()),
        Value::Bytes(value) => bytea::print(value, session.bytea_escape, out),
        Value::Uuid(value) => text::print_uuid(value, out),
        Value::Date(value) => datetime::output::date(*value, out),
        Value::Time(value) => datetime::output::time(*value, out),
        Value::TimeTz(us, west) => {
            datetime::output::time(*us, out);
            datetime::output::offset(-west, out);
        }
        Value::Timestamp(value) => print_timestamp(ty, *value, ' ', session, out),
        Value::Interval(value) if session.interval_style == "iso_8601" => {
            datetime::output::interval_iso(*value, out)
        }
        Value::Interval(value) => datetime::output::interval(*value, out),
        Value::Json(value) => json::print::print(value, out),
        Value::Array(value) => array::print(value, types, session, out),
        Value::Record(columns) => record::print(columns, types, session, out),
    }
}

/// With `T` between date and time for JSON.
pub(crate) fn print_timestamp(
    ty: Oid,
    us: i64,
    separator: char,
    session: &Session,
    out: &mut Vec<u8>,
) {
    match us {
        i64::MAX => out.extend(b"infinity"),
        i64::MIN => out.extend(b"-infinity"),
        _ if ty == oid::TIMESTAMPTZ => {
            let east = zone::find(&session.time_zone).map_or(0, |zone| zone::offset_at(&zone, us));
            let local = us.saturating_add(i64::from(east) * datetime::SECOND);
            datetime::output::timestamp(local, separator, Some(east), out);
        }
        _ => datetime::output::timestamp(us, separator, None, out),
    }
}

/// The text form as a string.
pub(crate) fn to_text(ty: Oid, value: &Value, types: &Types, session: &Session) -> String {
    if let Value::Text(text) = value {
        return text.to_string();
    }
    let mut out = Vec::new();
    print(ty, value, types, session, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Whether values can be printed under these settings: for the owner of the session to ask when one of them changes.
///
/// # Errors
/// 0A000 naming the setting: a `DateStyle` other than ISO, an `IntervalStyle` other than `postgres` and `iso_8601`, an unknown time zone.
pub fn check_settings(session: &Session) -> Result<()> {
    if !session.date_style.to_ascii_uppercase().starts_with("ISO") {
        return Err(Error::unsupported(format!(
            "DateStyle {}",
            session.date_style
        )));
    }
    if !matches!(session.interval_style.as_str(), "postgres" | "iso_8601") {
        return Err(Error::unsupported(format!(
            "IntervalStyle {}",
            session.interval_style
        )));
    }
    zone::find(&session.time_zone).map(|_| ())
}

/// `pg_type.typlen` for RowDescription: 4 for `int4`, -1 for what varies.
#[must_use]
pub fn type_length(ty: Oid) -> i16 {
    match catalog().types.get(&ty) {
        Some(found) => found.length,
        // Of types that are not built in, enums alone are of fixed length; their arrays are told apart by [`element_of`].
        None => 4,
    }
}

/// The array type over an element, and the element of an array type.
#[must_use]
pub fn array_of(element: Oid, types: &Types) -> Option<Oid> {
    let array = match types.enums.get(&element) {
        Some(found) => found.array,
        None => catalog().types.get(&element)?.array,
    };
    (array != 0).then_some(array)
}

/// The element type of an array type.
#[must_use]
pub fn element_of(array: Oid, types: &Types) -> Option<Oid> {
    if let Some(found) = catalog().types.get(&array) {
        return (found.element != 0).then_some(found.element);
    }
    types
        .enums
        .values()
        .find(|found| found.array == array && array != 0)
        .map(|found| found.oid)
}

/// Numbers of `numeric` from an `int` value.
pub(crate) fn numeric_of(number: i64) -> Value {
    Value::Numeric(Numeric::from(number))
}
