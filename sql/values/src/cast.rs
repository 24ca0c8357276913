//! Casts (`pg_cast`).

pub(crate) mod datetime;
pub(crate) mod number;

use std::sync::Arc;

use crate::{
    Array, Error, Json, Oid, Result, Session, Type, Types, Value,
    catalog::{CastRow, catalog},
    format, oid, order,
};

/// Where a cast is wanted (`pg_cast.castcontext`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    /// Among operands and arguments.
    Implicit,
    /// To the type of the column that takes it.
    Assignment,
    /// `CAST`, `::`.
    Explicit,
}

const INT2_VECTOR: Oid = 22;
const OID_VECTOR: Oid = 30;

/// How one type becomes another.
#[derive(Debug)]
enum Path {
    /// The same bytes.
    Relabel,
    Function(&'static CastRow),
    /// By the text forms.
    Text,
    /// Element by element.
    Elements(Oid, Oid),
}

/// `find_coercion_pathway`.
fn path(from: Oid, to: Oid, context: Context, types: &Types) -> Option<Path> {
    if from == to {
        return Some(Path::Relabel);
    }
    if let Some(row) = catalog().casts.get(&(from, to)) {
        let needed = match row.context {
            b'i' => Context::Implicit,
            b'a' => Context::Assignment,
            _ => Context::Explicit,
        };
        let path = match row.method {
            b'b' => Path::Relabel,
            b'i' => Path::Text,
            _ => Path::Function(row),
        };
        return (context >= needed).then_some(path);
    }
    // Vectors of the catalogs look like arrays, but no array becomes one.
    let is_vector = matches!(to, INT2_VECTOR | OID_VECTOR);
    if let (Some(from), Some(to), false) = (
        format::element_of(from, types),
        format::element_of(to, types),
        is_vector,
    ) {
        return path(from, to, context, types).map(|_| Path::Elements(from, to));
    }
    let is_text = |ty| order::category(ty, types) == b'S';
    let by_text = (context >= Context::Assignment && is_text(to))
        || (context == Context::Explicit && is_text(from));
    by_text.then_some(Path::Text)
}

/// Whether there is a cast from `from` to `to` in this context (assignment casts to text types by output, explicit casts from text by input
/// included; `UNKNOWN` goes everywhere).
#[must_use]
pub fn can_cast(from: Oid, to: Oid, context: Context, types: &Types) -> bool {
    from == oid::UNKNOWN || path(from, to, context, types).is_some()
}

/// Whether values of one type are values of the other as they are.
pub(crate) fn is_relabelled(from: Oid, to: Oid, types: &Types) -> bool {
    matches!(
        path(from, to, Context::Explicit, types),
        Some(Path::Relabel)
    )
}

/// Whether a function-like cast (`text(x)`) is one by the text forms.
pub(crate) fn is_by_text(from: Oid, to: Oid, types: &Types) -> bool {
    matches!(path(from, to, Context::Explicit, types), Some(Path::Text))
}

/// Casts a value and applies the modifier of `to`: silently cutting where `context` is [`Context::Explicit`], refusing with 22001 otherwise. An `UNKNOWN` is a
/// [`Value::Text`], read by the input function. NULL stays NULL. 42846 where there is no such cast.
///
/// # Errors
/// The cast's own, 42846, 0A000.
pub fn cast(
    value: Value,
    from: Oid,
    to: Type,
    context: Context,
    types: &Types,
    session: &Session,
) -> Result<Value> {
    if value.is_null() {
        return Ok(value);
    }
    let value = match path(from, to.oid, context, types) {
        _ if from == oid::UNKNOWN && to.oid != oid::UNKNOWN => {
            return from_unknown(&value, to, context, types, session);
        }
        Some(path) => follow(&path, value, from, to.oid, context, types, session)?,
        None => {
            let name = |ty| format::type_name(Type::of(ty), types);
            let message = format!("cannot cast type {} to {}", name(from), name(to.oid));
            return Err(Error::new("42846", message));
        }
    };
    format::modifier::apply(value, to, context)
}

fn from_unknown(
    value: &Value,
    to: Type,
    context: Context,
    types: &Types,
    session: &Session,
) -> Result<Value> {
    let Value::Text(text) = value else {
        return Err(Error::unsupported("a literal that is no text"));
    };
    // Only an interval's input function is told the modifier.
    if to.oid == oid::INTERVAL {
        return format::parse(to, text, types, session);
    }
    let value = format::parse(Type::of(to.oid), text, types, session)?;
    format::modifier::apply(value, to, context)
}

fn follow(
    path: &Path,
    value: Value,
    from: Oid,
    to: Oid,
    context: Context,
    types: &Types,
    session: &Session,
) -> Result<Value> {
    match path {
        Path::Relabel => Ok(number::relabel(value, to)),
        Path::Text => by_text(&value, from, to, types, session),
        Path::Function(row) => convert(row, value, from, to, types, session),
        Path::Elements(from, to) => {
            let Value::Array(array) = &value else {
                return Ok(value);
            };
            let each =
                |item: &Value| cast(item.clone(), *from, Type::of(*to), context, types, session);
            let items = array.items.iter().map(each).collect::<Result<_>>()?;
            let dimensions = array.dimensions.clone();
            Ok(Value::Array(Arc::new(Array {
                element: *to,
                dimensions,
                items,
            })))
        }
    }
}

/// By output and input.
fn by_text(value: &Value, from: Oid, to: Oid, types: &Types, session: &Session) -> Result<Value> {
    let text = format::to_text(from, value, types, session);
    format::parse(Type::of(to), &text, types, session)
}

fn convert(
    row: &CastRow,
    value: Value,
    from: Oid,
    to: Oid,
    types: &Types,
    session: &Session,
) -> Result<Value> {
    let out = match (&value, to) {
        (Value::Int(_) | Value::Float4(_) | Value::Float8(_) | Value::Numeric(_), _) => {
            number::convert(&value, from, to)?
        }
        (Value::Bool(value), oid::INT4) => Some(Value::Int(i64::from(*value))),
        (Value::Bool(value), _) => Some(Value::text(if *value { "true" } else { "false" })),
        (Value::Json(json), _) => from_json(json, to, session)?,
        (Value::Text(text), _) => from_text(text, row.code),
        (value, _) => datetime::convert(value, from, to, session)?,
    };
    out.ok_or_else(|| {
        let name = |ty| format::type_name(Type::of(ty), types);
        Error::unsupported(format!("the cast from {} to {}", name(from), name(to)))
    })
}

fn from_text(text: &Arc<str>, code: &str) -> Option<Value> {
    Some(match code {
        "text_name" => Value::text(format::text::cut_name(text)),
        "bpchar_name" => Value::text(format::text::cut_name(text).trim_end_matches(' ')),
        "rtrim1" => Value::text(text.trim_end_matches(' ')),
        "name_text" | "name_bpchar" | "char_text" | "char_bpchar" => Value::Text(text.clone()),
        "text_char" => Value::Text(format::text::parse_char(text).ok()?),
        "chartoi4" => Value::Int(i64::from(text.bytes().next().unwrap_or(0))),
        _ => return None,
    })
}

/// The first version in which a JSON null becomes SQL's.
const NULL_CASTS: u32 = 180_000;

fn from_json(json: &Json, to: Oid, session: &Session) -> Result<Option<Value>> {
    if let (Json::Bool(value), oid::BOOL) = (json, to) {
        return Ok(Some(Value::Bool(*value)));
    }
    if let (Json::Number(number), true) = (json, to != oid::BOOL) {
        let value = Value::Numeric(number.clone());
        return if to == oid::NUMERIC {
            Ok(Some(value))
        } else {
            number::convert(&value, oid::NUMERIC, to)
        };
    }
    if matches!(json, Json::Null) && session.server_version_num >= NULL_CASTS {
        return Ok(Some(Value::Null));
    }
    let kind = match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "numeric",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    let name = format::type_name(Type::of(to), &Types::default());
    Err(Error::new(
        "22023",
        format!("cannot cast jsonb {kind} to type {name}"),
    ))
}
