//! Values of a PostgreSQL table as BSON, and back to the very same canonical text.
//!
//! The rule of the whole table: what is written reads back byte for byte, or is not written. A value that has no such form is
//! refused ([`Inexact`]), never rounded. docs/mongodb.md has the table for operators.

mod array;
mod decimal;
mod json;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use mongodb::bson::{Binary, Bson, Uuid, doc, spec::BinarySubtype};

use crate::{
    Column,
    hex::{hex, unhex},
};

/// How values of a column's type are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each is the type of its name where nothing is said"
)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    /// Decimal128, at most 34 digits.
    Numeric,
    Float4,
    Float8,
    Uuid,
    Bytea,
    /// A date at midnight UTC.
    Date,
    /// Microseconds since 1970, which BSON's own dates of milliseconds would cut.
    Timestamp,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since midnight, and the zone's seconds west of UTC.
    TimeTz,
    Interval,
    Money,
    /// As a value of its own, where it prints again as it was.
    Jsonb,
    /// Of one dimension, counted from 1; others as their text.
    Array(Box<Kind>),
    /// Of one dimension, counted from 1; the elements travel in binary.
    BinaryArray(Box<Kind>, u32),
    /// Its text.
    Text,
    /// The bytes of the type's binary form: exact, but nothing else can read it.
    Opaque,
}

/// A value without an exact form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Inexact {
    /// What is wrong with it, without the value.
    pub what: &'static str,
}

const fn inexact(what: &'static str) -> Inexact {
    Inexact { what }
}

/// User-defined: a value that BSON has no form for, as its canonical text.
const AS_TEXT: BinarySubtype = BinarySubtype::UserDefined(0x80);
/// Days between 1970-01-01 and PostgreSQL's 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const DAY_MS: i64 = 86_400_000;
const EPOCH_US: i64 = EPOCH_DAYS * DAY_MS * 1000;

impl Kind {
    /// By the column's type, that of the base type where it is a domain.
    #[must_use]
    pub fn of(column: &Column) -> Kind {
        Kind::of_type(column.type_oid)
    }

    fn of_type(oid: u32) -> Kind {
        let list = |oid| Kind::Array(Box::new(Kind::of_type(oid)));
        let binary_list = |oid| Kind::BinaryArray(Box::new(Kind::of_type(oid)), oid);
        match oid {
            16 => Kind::Bool,
            17 => Kind::Bytea,
            20 => Kind::Int8,
            21 => Kind::Int2,
            23 => Kind::Int4,
            700 => Kind::Float4,
            701 => Kind::Float8,
            790 => Kind::Money,
            1082 => Kind::Date,
            1083 => Kind::Time,
            1114 | 1184 => Kind::Timestamp,
            1186 => Kind::Interval,
            1266 => Kind::TimeTz,
            1700 => Kind::Numeric,
            2950 => Kind::Uuid,
            3802 => Kind::Jsonb,
            1000 => list(16),
            1005 => list(21),
            1007 => list(23),
            1016 => list(20),
            1231 => list(1700),
            2951 => list(2950),
            // Text, varchar, char.
            1009 | 1014 | 1015 => list(25),
            1001 => binary_list(17),
            1021 => binary_list(700),
            1022 => binary_list(701),
            1115 => binary_list(1114),
            1182 => binary_list(1082),
            1183 => binary_list(1083),
            1185 => binary_list(1184),
            1187 => binary_list(1186),
            oid if crate::postgres::sql::binary_oids().any(|known| known == oid) => Kind::Opaque,
            _ => Kind::Text,
        }
    }

    /// Whether MongoDB sorts such values as PostgreSQL sorts them, byte by byte where they are text: what a key has to be.
    ///
    /// A `numeric` has to have a scale of its own: without one, `4.0` and `4.00` are one key and two texts.
    #[must_use]
    pub fn sorts_alike(&self, column: &Column) -> bool {
        match self {
            Kind::Numeric => has_exact_precision(&column.base_type),
            Kind::Bool
            | Kind::Int2
            | Kind::Int4
            | Kind::Int8
            | Kind::Uuid
            | Kind::Date
            | Kind::Timestamp
            | Kind::Time => true,
            // Text and varchar; `char(n)` compares without its blanks.
            Kind::Text => {
                let collation = column.collation.as_deref().unwrap_or_default();
                matches!(column.type_oid, 25 | 1043) && !collation.ends_with("/nondeterministic")
            }
            _ => false,
        }
    }

    /// Canonical text as BSON.
    ///
    /// # Errors
    /// When the value has no exact form.
    pub fn to_bson(&self, value: &[u8]) -> Result<Bson, Inexact> {
        let text = || str::from_utf8(value).map_err(|_| inexact("it is not UTF-8"));
        Ok(match self {
            Kind::Bool => match value {
                b"true" => Bson::Boolean(true),
                b"false" => Bson::Boolean(false),
                _ => return Err(NOT_CANONICAL),
            },
            Kind::Int2 | Kind::Int4 => Bson::Int32(text()?.parse().map_err(|_| NOT_CANONICAL)?),
            Kind::Int8 => Bson::Int64(text()?.parse().map_err(|_| NOT_CANONICAL)?),
            Kind::Numeric => decimal::parse(text()?)?,
            Kind::Uuid => {
                let uuid = Uuid::parse_str(text()?).map_err(|_| NOT_CANONICAL)?;
                Bson::Binary(uuid.into())
            }
            Kind::Text => Bson::String(text()?.to_owned()),
            Kind::Jsonb => json::parse(text()?),
            Kind::Array(element) => array::parse(element, text()?)?,
            Kind::Bytea | Kind::Opaque => Bson::Binary(Binary {
                subtype: BinarySubtype::Generic,
                bytes: unhex(value).ok_or(NOT_CANONICAL)?,
            }),
            Kind::BinaryArray(element, oid) => {
                let bytes = unhex(value).ok_or(NOT_CANONICAL)?;
                array::parse_binary(element, *oid, bytes)?
            }
            _ => self.of_binary(&unhex(value).ok_or(NOT_CANONICAL)?)?,
        })
    }

    /// A value in the binary format of its type.
    fn of_binary(&self, bytes: &[u8]) -> Result<Bson, Inexact> {
        Ok(match self {
            Kind::Float4 => Bson::Double(f32::from_be_bytes(fixed(bytes)?).into()),
            Kind::Float8 => Bson::Double(f64::from_be_bytes(fixed(bytes)?)),
            Kind::Date => match i32::from_be_bytes(fixed(bytes)?) {
                i32::MAX => Bson::MaxKey,
                i32::MIN => Bson::MinKey,
                days => Bson::DateTime(mongodb::bson::DateTime::from_millis(
                    (i64::from(days) + EPOCH_DAYS) * DAY_MS,
                )),
            },
            Kind::Timestamp => match i64::from_be_bytes(fixed(bytes)?) {
                i64::MAX => Bson::MaxKey,
                i64::MIN => Bson::MinKey,
                us => match us.checked_add(EPOCH_US) {
                    Some(us) => Bson::Int64(us),
                    // The last thirty years of PostgreSQL's calendar; numbers sort together.
                    None => decimal::parse(&(i128::from(us) + i128::from(EPOCH_US)).to_string())?,
                },
            },
            Kind::Time | Kind::Money => Bson::Int64(i64::from_be_bytes(fixed(bytes)?)),
            Kind::TimeTz => {
                let (us, zone) = bytes.split_first_chunk().ok_or(NOT_CANONICAL)?;
                doc! { "us": i64::from_be_bytes(*us), "west": i32::from_be_bytes(fixed(zone)?) }
                    .into()
            }
            Kind::Interval => {
                let (us, rest) = bytes.split_first_chunk().ok_or(NOT_CANONICAL)?;
                let (days, months) = rest.split_first_chunk().ok_or(NOT_CANONICAL)?;
                doc! {
                    "months": i32::from_be_bytes(fixed(months)?),
                    "days": i32::from_be_bytes(*days),
                    "us": i64::from_be_bytes(*us),
                }
                .into()
            }
            _ => return self.to_bson(&hex(bytes)),
        })
    }

    /// BSON as canonical text; `None` when it is nothing that this kind writes.
    #[must_use]
    pub fn to_canonical(&self, value: &Bson) -> Option<Bytes> {
        Some(match (self, value) {
            (Kind::Bool, Bson::Boolean(value)) => {
                Bytes::from_static(if *value { b"true" } else { b"false" })
            }
            (Kind::Int2 | Kind::Int4, Bson::Int32(value)) => value.to_string().into(),
            (Kind::Int8, Bson::Int64(value)) => value.to_string().into(),
            (Kind::Numeric, Bson::Decimal128(value)) => decimal::print(value)?.into(),
            (Kind::Uuid, Bson::Binary(value)) => value.to_uuid().ok()?.to_string().into(),
            (Kind::Text, Bson::String(value)) => value.clone().into(),
            (Kind::Jsonb, value) => json::print(value)?.into(),
            (Kind::Array(element), value) => array::print(element, value)?.into(),
            (Kind::BinaryArray(element, oid), value) => array::print_binary(element, *oid, value)?,
            (Kind::Bytea | Kind::Opaque, Bson::Binary(value))
                if value.subtype == BinarySubtype::Generic =>
            {
                hex(&value.bytes).into()
            }
            _ => hex(&self.to_binary(value)?).into(),
        })
    }

    /// Whether the canonical text is the hex digits of the binary form.
    #[must_use]
    pub fn travels_in_binary(&self) -> bool {
        matches!(
            self,
            Kind::Float4
                | Kind::Float8
                | Kind::Bytea
                | Kind::Date
                | Kind::Timestamp
                | Kind::Time
                | Kind::TimeTz
                | Kind::Interval
                | Kind::Money
                | Kind::BinaryArray(..)
                | Kind::Opaque
        )
    }

    /// The type's binary format.
    fn to_binary(&self, value: &Bson) -> Option<Vec<u8>> {
        let bytes = match (self, value) {
            (Kind::Float4, Bson::Double(value)) => narrow(*value)?.to_be_bytes().to_vec(),
            (Kind::Float8, Bson::Double(value)) => value.to_be_bytes().to_vec(),
            (Kind::Date, Bson::MaxKey) => i32::MAX.to_be_bytes().to_vec(),
            (Kind::Date, Bson::MinKey) => i32::MIN.to_be_bytes().to_vec(),
            (Kind::Date, Bson::DateTime(at)) if at.timestamp_millis() % DAY_MS == 0 => {
                let days = i32::try_from(at.timestamp_millis() / DAY_MS - EPOCH_DAYS).ok()?;
                days.to_be_bytes().to_vec()
            }
            (Kind::Timestamp, Bson::MaxKey) => i64::MAX.to_be_bytes().to_vec(),
            (Kind::Timestamp, Bson::MinKey) => i64::MIN.to_be_bytes().to_vec(),
            (Kind::Timestamp, Bson::Int64(us)) => us.checked_sub(EPOCH_US)?.to_be_bytes().to_vec(),
            (Kind::Timestamp, Bson::Decimal128(late)) => {
                let us = decimal::print(late)?.parse::<i128>().ok()? - i128::from(EPOCH_US);
                i64::try_from(us).ok()?.to_be_bytes().to_vec()
            }
            (Kind::Time | Kind::Money, Bson::Int64(value)) => value.to_be_bytes().to_vec(),
            (Kind::TimeTz, Bson::Document(value)) => {
                let mut bytes = value.get_i64("us").ok()?.to_be_bytes().to_vec();
                bytes.extend(value.get_i32("west").ok()?.to_be_bytes());
                bytes
            }
            (Kind::Interval, Bson::Document(value)) => {
                let mut bytes = value.get_i64("us").ok()?.to_be_bytes().to_vec();
                bytes.extend(value.get_i32("days").ok()?.to_be_bytes());
                bytes.extend(value.get_i32("months").ok()?.to_be_bytes());
                bytes
            }
            (Kind::Bytea, Bson::Binary(value)) => value.bytes.clone(),
            _ => return None,
        };
        Some(bytes)
    }
}

/// Whether a type's text is that of a `numeric` whose every value has at most 34 digits.
pub(crate) fn has_exact_precision(ty: &str) -> bool {
    let precision = ty
        .split_once('(')
        .and_then(|(_, rest)| rest.split([',', ')']).next())
        .and_then(|digits| digits.trim().parse::<u32>().ok());
    precision.is_some_and(|digits| digits <= 34)
}

const NOT_CANONICAL: Inexact = inexact("it is not in the canonical text of its type");

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Inexact> {
    bytes.try_into().map_err(|_| NOT_CANONICAL)
}

/// The `f32` that was widened into this.
fn narrow(wide: f64) -> Option<f32> {
    #[allow(clippy::cast_possible_truncation, reason = "checked right behind")]
    let narrow = wide as f32;
    (f64::from(narrow).to_bits() == wide.to_bits() || wide.is_nan()).then_some(narrow)
}

/// A number without an exponent, or as the driver writes it.
pub(crate) fn decimal_text(number: &mongodb::bson::Decimal128) -> String {
    decimal::print(number).unwrap_or_else(|| number.to_string())
}

/// What stands for a value that the column's kind does not write: equal to no canonical text, so that it is a difference and is repaired.
pub(crate) fn foreign(value: &Bson) -> Bytes {
    format!("\0{:?}", value.element_type()).into()
}
