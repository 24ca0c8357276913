//! Values as they stand in documents, and back.

use std::sync::LazyLock;

use crossfade_store::{
    hex::{hex, unhex},
    mongo::Kind,
};
use crossfade_values::{Error, Result, Session, Type, Types, Value, format, oid};
use mongodb::bson::{Binary, Bson, RawBsonRef, spec::BinarySubtype};

/// What canonical text is written by: no setting of a client's.
static CANONICAL: LazyLock<Session> = LazyLock::new(Session::default);

/// The value in a document.
///
/// # Errors
/// 22003 for a value that has no exact form there.
pub(crate) fn to_bson(kind: &Kind, ty: Type, value: &Value, types: &Types) -> Result<Bson> {
    Ok(match (kind, value) {
        (_, Value::Null) => Bson::Null,
        (Kind::Bool, Value::Bool(value)) => Bson::Boolean(*value),
        (Kind::Int2 | Kind::Int4, Value::Int(value)) => Bson::Int32(
            i32::try_from(*value).map_err(|_| Error::new("22003", "integer out of range"))?,
        ),
        (Kind::Int8, Value::Int(value)) => Bson::Int64(*value),
        (Kind::Text, Value::Text(text)) if ty.oid == oid::BPCHAR => {
            Bson::String(text.trim_end_matches(' ').to_owned())
        }
        (Kind::Text, Value::Text(text)) if ty.oid == oid::INET => Bson::String(with_mask(text)),
        (Kind::Text, Value::Text(text)) => Bson::String(text.as_ref().to_owned()),
        (Kind::Uuid, Value::Uuid(bytes)) => Bson::Binary(Binary {
            subtype: BinarySubtype::Uuid,
            bytes: bytes.to_vec(),
        }),
        (kind, value) => {
            let mut text = Vec::new();
            if kind.travels_in_binary() {
                format::send(ty.oid, value, types, &mut text)?;
                text = hex(&text);
            } else {
                format::print(ty.oid, value, types, &CANONICAL, &mut text);
            }
            kind.to_bson(&text).map_err(|inexact| {
                Error::new(
                    "22003",
                    format!("a value has no exact form in MongoDB: {inexact}"),
                )
            })?
        }
    })
}

/// What to do about a column whose type is kept as opaque bytes.
pub(crate) fn opaque_hint(column: &str) -> String {
    format!(
        "documents keep a value of column \"{column}\" as bytes, which SQL cannot read: leave the column out of the mapping (`column.{column} = false`), or keep its values in a column of another type, text say"
    )
}

/// The value of a field.
///
/// # Errors
/// XX001 for one that the mapping does not write; 0A000 for a type that is kept as opaque bytes.
pub(crate) fn from_bson(
    kind: &Kind,
    ty: Type,
    raw: RawBsonRef<'_>,
    types: &Types,
) -> Result<Value> {
    Ok(match (kind, raw) {
        (_, RawBsonRef::Null) => Value::Null,
        (Kind::Bool, RawBsonRef::Boolean(value)) => Value::Bool(value),
        (Kind::Int2 | Kind::Int4, RawBsonRef::Int32(value)) => Value::Int(value.into()),
        (Kind::Int8, RawBsonRef::Int64(value)) => Value::Int(value),
        (Kind::Text, RawBsonRef::String(text)) if ty.oid == oid::BPCHAR => {
            padded(text, ty.modifier)
        }
        (Kind::Text, RawBsonRef::String(text)) if ty.oid == oid::INET => {
            Value::text(without_mask(text))
        }
        // Arrays of enums, say, which are kept as their text.
        (Kind::Text, RawBsonRef::String(text)) if format::element_of(ty.oid, types).is_some() => {
            format::parse(Type::of(ty.oid), text, types, &CANONICAL)?
        }
        (Kind::Text, RawBsonRef::String(text)) => Value::text(text),
        (Kind::Uuid, RawBsonRef::Binary(binary)) if binary.subtype == BinarySubtype::Uuid => {
            Value::Uuid(binary.bytes.try_into().map_err(|_| foreign())?)
        }
        (Kind::Opaque, _) => {
            return Err(Error::unsupported(format!(
                "a value of the type {}",
                format::type_name(Type::of(ty.oid), types)
            )));
        }
        (kind, raw) => {
            let bson = Bson::try_from(raw).map_err(|_| foreign())?;
            let text = kind.to_canonical(&bson).ok_or_else(foreign)?;
            if kind.travels_in_binary() {
                format::receive(
                    Type::of(ty.oid),
                    &unhex(&text).ok_or_else(foreign)?,
                    types,
                    &CANONICAL,
                )?
            } else {
                let text = std::str::from_utf8(&text).map_err(|_| foreign())?;
                format::parse(Type::of(ty.oid), text, types, &CANONICAL)?
            }
        }
    })
}

fn foreign() -> Error {
    Error::new(
        "XX001",
        "a document holds a value that the mapping does not write",
    )
    .hint("crossfade verify --repair, while the old store is there")
}

fn padded(text: &str, modifier: i32) -> Value {
    let length = usize::try_from(modifier - 4).unwrap_or_default();
    let missing = length.saturating_sub(text.chars().count());
    Value::text(format!("{text}{}", " ".repeat(missing)))
}

/// What a cast of `inet` to `text` adds to its own text.
fn with_mask(text: &str) -> String {
    match (text.contains('/'), text.contains(':')) {
        (true, _) => text.to_owned(),
        (false, true) => format!("{text}/128"),
        (false, false) => format!("{text}/32"),
    }
}

fn without_mask(text: &str) -> &str {
    let mask = if text.contains(':') { "/128" } else { "/32" };
    text.strip_suffix(mask).unwrap_or(text)
}
