//! Making JSON of other values.

use std::sync::Arc;

use crate::{
    Array, Error, Json, Oid, Result, Session, Types, Value, format,
    json::{self, parse, print},
    numeric::Numeric,
    oid,
    resolve::{Call, Scope},
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "to_json" => |scope, args| to_json(scope, args),
        "array_to_json" => |scope, args| to_json(scope, args),
        "to_jsonb" => |scope, args| {
            let json = to_jsonb(&args[0], scope.args[0], scope.types, scope.session)?;
            Ok(Value::Json(Arc::new(json)))
        },
        "json_build_array" => build_array,
        "json_build_array_noargs" => |_, _| Ok(Value::text("[]")),
        "json_build_object" => build_object,
        "json_build_object_noargs" => |_, _| Ok(Value::text("{}")),
        "jsonb_build_array" => build_array_b,
        "jsonb_build_array_noargs" => |_, _| Ok(Value::Json(Arc::new(Json::Array(Vec::new())))),
        "jsonb_build_object" => build_object_b,
        "jsonb_build_object_noargs" => |_, _| Ok(Value::Json(Arc::new(Json::Object(Vec::new())))),
        _ => return None,
    })
}

fn is_number(ty: Oid) -> bool {
    matches!(
        ty,
        oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC
    )
}

fn of_rows() -> Error {
    Error::unsupported("making JSON of a row")
}

/// The text of a scalar that is not JSON already, and whether it is a number.
fn scalar(value: &Value, ty: Oid, types: &Types, session: &Session) -> (String, bool) {
    if let Value::Timestamp(us) = value {
        let mut out = Vec::new();
        format::print_timestamp(ty, *us, 'T', session, &mut out);
        return (String::from_utf8_lossy(&out).into_owned(), false);
    }
    let text = format::to_text(ty, value, types, session);
    let finite = text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && !text.ends_with('y');
    (text, is_number(ty) && finite)
}

/// Appends a value as `json` has it.
pub(crate) fn append(
    value: &Value,
    ty: Oid,
    types: &Types,
    session: &Session,
    out: &mut Vec<u8>,
) -> Result<()> {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(value) => out.extend(if *value { &b"true"[..] } else { b"false" }),
        Value::Json(json) => print::print(json, out),
        Value::Text(text) if ty == oid::JSON => out.extend(text.as_bytes()),
        Value::Array(array) => {
            append_array(array, 0, &mut array.items.iter(), types, session, out)?
        }
        Value::Record(_) => return Err(of_rows()),
        value => match scalar(value, ty, types, session) {
            (text, true) => out.extend(text.as_bytes()),
            (text, false) => print::quote(&text, out),
        },
    }
    Ok(())
}

fn append_array<'a>(
    array: &Array,
    depth: usize,
    items: &mut impl Iterator<Item = &'a Value>,
    types: &Types,
    session: &Session,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'[');
    for index in 0..array
        .dimensions
        .get(depth)
        .map_or(0, |dimension| dimension.0)
    {
        if index > 0 {
            out.push(b',');
        }
        if depth + 1 < array.dimensions.len() {
            append_array(array, depth + 1, items, types, session, out)?;
        } else if let Some(item) = items.next() {
            append(item, array.element, types, session, out)?;
        }
    }
    out.push(b']');
    Ok(())
}

/// A value as `jsonb` has it.
pub(crate) fn to_jsonb(value: &Value, ty: Oid, types: &Types, session: &Session) -> Result<Json> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Json(json) => (**json).clone(),
        Value::Text(text) if ty == oid::JSON => parse::parse(text)?,
        Value::Array(array) => array_to_jsonb(array, 0, &mut array.items.iter(), types, session)?,
        Value::Record(_) => return Err(of_rows()),
        value => match scalar(value, ty, types, session) {
            (text, true) => Json::Number(Numeric::parse(&text)?),
            (text, false) => Json::String(text.into()),
        },
    })
}

fn array_to_jsonb<'a>(
    array: &Array,
    depth: usize,
    items: &mut impl Iterator<Item = &'a Value>,
    types: &Types,
    session: &Session,
) -> Result<Json> {
    let length = array
        .dimensions
        .get(depth)
        .map_or(0, |dimension| dimension.0);
    let mut out = Vec::with_capacity(length);
    for _ in 0..length {
        if depth + 1 < array.dimensions.len() {
            out.push(array_to_jsonb(array, depth + 1, items, types, session)?);
        } else if let Some(item) = items.next() {
            out.push(to_jsonb(item, array.element, types, session)?);
        }
    }
    Ok(Json::Array(out))
}

fn to_json(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let mut out = Vec::new();
    append(
        &args[0],
        scope.args[0],
        scope.types,
        scope.session,
        &mut out,
    )?;
    Ok(text_of(out))
}

pub(crate) fn text_of(out: Vec<u8>) -> Value {
    Value::Text(String::from_utf8(out).unwrap_or_default().into())
}

fn build_array(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let mut out = vec![b'['];
    for (index, (value, ty)) in args.iter().zip(scope.args).enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        append(value, *ty, scope.types, scope.session, &mut out)?;
    }
    out.push(b']');
    Ok(text_of(out))
}

fn build_array_b(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let items = args
        .iter()
        .zip(scope.args)
        .map(|(value, ty)| to_jsonb(value, *ty, scope.types, scope.session));
    Ok(Value::Json(Arc::new(Json::Array(
        items.collect::<Result<_>>()?,
    ))))
}

/// An object's key, as text.
pub(crate) fn key(value: &Value, ty: Oid, types: &Types, session: &Session) -> Result<String> {
    let is_json = matches!(ty, oid::JSON | oid::JSONB);
    if is_json || matches!(value, Value::Array(_) | Value::Record(_)) {
        return Err(Error::new(
            "22023",
            "key value must be scalar, not array, composite, or json",
        ));
    }
    Ok(match value {
        Value::Bool(value) => if *value { "true" } else { "false" }.to_owned(),
        value => scalar(value, ty, types, session).0,
    })
}

fn odd() -> Error {
    Error::new("22023", "argument list must have even number of elements")
}

/// From this version on a missing key is refused in other words.
const OTHER_WORDS: u32 = 160_000;

fn build_object(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    const HINT: &str =
        "The arguments of json_build_object() must consist of alternating keys and values.";
    if args.len() % 2 == 1 {
        return Err(odd().hint(HINT));
    }
    let mut out = vec![b'{'];
    for index in (0..args.len()).step_by(2) {
        if index > 0 {
            out.extend(b", ");
        }
        if args[index].is_null() {
            return Err(if scope.session.server_version_num >= OTHER_WORDS {
                Error::new("22004", "null value not allowed for object key")
            } else {
                Error::new("22023", format!("argument {} cannot be null", index + 1))
                    .hint("Object keys should be text.")
            });
        }
        print::quote(
            &key(&args[index], scope.args[index], scope.types, scope.session)?,
            &mut out,
        );
        out.extend(b" : ");
        append(
            &args[index + 1],
            scope.args[index + 1],
            scope.types,
            scope.session,
            &mut out,
        )?;
    }
    out.push(b'}');
    Ok(text_of(out))
}

fn build_object_b(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    const HINT: &str =
        "The arguments of jsonb_build_object() must consist of alternating keys and values.";
    if args.len() % 2 == 1 {
        return Err(odd().hint(HINT));
    }
    let mut members = Vec::with_capacity(args.len() / 2);
    for index in (0..args.len()).step_by(2) {
        if args[index].is_null() {
            return Err(Error::new(
                "22023",
                format!("argument {}: key must not be null", index + 1),
            ));
        }
        let key = key(&args[index], scope.args[index], scope.types, scope.session)?;
        let value = to_jsonb(
            &args[index + 1],
            scope.args[index + 1],
            scope.types,
            scope.session,
        )?;
        members.push((key.into(), value));
    }
    Ok(Value::Json(Arc::new(json::object(members))))
}
