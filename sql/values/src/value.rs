//! Values.

use std::sync::Arc;

use bytes::Bytes;

use crate::numeric::Numeric;

/// One value. Its type is known from where it stands.
#[derive(Debug, Clone)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int2`, `int4`, `int8`, `oid` and its aliases, `money` in its smallest unit.
    Int(i64),
    /// `real`.
    Float4(f32),
    /// `double precision`.
    Float8(f64),
    /// `numeric`.
    Numeric(Numeric),
    /// `text`, `varchar`, `bpchar` (with its blanks), `name`, `"char"`, `json`, enums by their label, and every type of which only the text is
    /// known (`inet`, `xml`, …).
    Text(Arc<str>),
    /// `bytea`.
    Bytes(Bytes),
    /// `uuid`.
    Uuid([u8; 16]),
    /// Days since 2000-01-01; `i32::MAX` and `i32::MIN` are the infinities.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since midnight, and the zone's seconds west of UTC.
    TimeTz(i64, i32),
    /// `timestamp` and `timestamptz`: microseconds since 2000-01-01 (UTC); `i64::MAX` and `i64::MIN` are the infinities.
    Timestamp(i64),
    /// `interval`.
    Interval(Interval),
    /// `jsonb`.
    Json(Arc<Json>),
    /// Any array.
    Array(Arc<Array>),
    /// A row, with the types of its columns.
    Record(Arc<[(crate::Oid, Value)]>),
}

impl Value {
    /// Text.
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(text.as_ref().into())
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

/// An interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub us: i64,
}

/// An array of one element type.
#[derive(Debug, Clone)]
pub struct Array {
    /// Type of the elements.
    pub element: crate::Oid,
    /// Length and lower bound of each dimension; none for an empty array.
    pub dimensions: Vec<(usize, i32)>,
    /// Elements, row by row.
    pub items: Vec<Value>,
}

/// A `jsonb` value, its objects in `jsonb`'s own order of keys (by length, then bytes) without duplicates.
#[derive(Debug, Clone)]
pub enum Json {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Number(Numeric),
    /// A string.
    String(Arc<str>),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Vec<(Arc<str>, Json)>),
}
