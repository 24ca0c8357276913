//! The default btree order of every type, and equality by it. Text by its bytes: the engine sees to it that only columns and expressions of collations that
//! sort so come here.

use std::cmp::Ordering;

use crate::{Oid, Types, Value, catalog::catalog, datetime::interval, format, json, oid};

/// Whether the type has a default btree order (`json` and `point` have none).
#[must_use]
pub fn is_sortable(ty: Oid, types: &Types) -> bool {
    if let Some(element) = format::element_of(ty, types) {
        return is_sortable(element, types);
    }
    // `inet`, ranges, bit strings and the like have an order that their text does not have.
    types.enums.contains_key(&ty)
        || matches!(
            ty,
            oid::BOOL
                | oid::BYTEA
                | oid::CHAR
                | oid::NAME
                | oid::INT8
                | oid::INT2
                | oid::INT4
                | oid::TEXT
                | oid::OID
                | oid::FLOAT4
                | oid::FLOAT8
                | oid::UNKNOWN
                | oid::MONEY
                | oid::BPCHAR
                | oid::VARCHAR
                | oid::DATE
                | oid::TIME
                | oid::TIMESTAMP
                | oid::TIMESTAMPTZ
                | oid::INTERVAL
                | oid::TIMETZ
                | oid::NUMERIC
                | oid::RECORD
                | oid::UUID
                | oid::JSONB
                | oid::REGPROC
                | oid::REGCLASS
                | oid::REGTYPE
                | oid::XID8
        )
}

/// As the type's default btree operators compare; NaN above all, -0 equal to 0, `bpchar` without its blanks, intervals by their estimated length, arrays and rows element
/// by element, enums by their labels' order. Never called with NULL at the top; inside arrays and rows NULL is above all.
#[must_use]
pub fn compare(ty: Oid, left: &Value, right: &Value, types: &Types) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Numeric(left), Value::Numeric(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => compare_text(ty, left, right, types),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        (Value::Uuid(left), Value::Uuid(right)) => left.cmp(right),
        (Value::Date(left), Value::Date(right)) => left.cmp(right),
        (Value::Time(left), Value::Time(right))
        | (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
        (Value::TimeTz(left, left_west), Value::TimeTz(right, right_west)) => {
            let instant = |us: &i64, west: &i32| us + i64::from(*west) * crate::datetime::SECOND;
            instant(left, left_west)
                .cmp(&instant(right, right_west))
                .then_with(|| left_west.cmp(right_west))
        }
        (Value::Interval(left), Value::Interval(right)) => {
            interval::estimate(*left).cmp(&interval::estimate(*right))
        }
        (Value::Json(left), Value::Json(right)) => json::compare::compare(left, right),
        (Value::Array(left), Value::Array(right)) => compare_arrays(left, right, types),
        (Value::Record(left), Value::Record(right)) => left
            .iter()
            .zip(right.iter())
            .map(|((ty, left), (_, right))| compare(*ty, left, right, types))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| left.len().cmp(&right.len())),
        (Value::Float4(_) | Value::Float8(_), Value::Float4(_) | Value::Float8(_)) => {
            compare_floats(float(left), float(right))
        }
        // Of different kinds: a caller's mistake, answered by something stable.
        _ => kind(left).cmp(&kind(right)),
    }
}

fn compare_text(ty: Oid, left: &str, right: &str, types: &Types) -> Ordering {
    if let Some(found) = types.enums.get(&ty) {
        let place = |label: &str| found.labels.iter().position(|known| **known == *label);
        return place(left).cmp(&place(right));
    }
    if ty == oid::BPCHAR {
        return left
            .trim_end_matches(' ')
            .as_bytes()
            .cmp(right.trim_end_matches(' ').as_bytes());
    }
    left.as_bytes().cmp(right.as_bytes())
}

/// Elements first, then the number of elements, the number of dimensions, their lengths and lower bounds.
fn compare_arrays(left: &crate::Array, right: &crate::Array, types: &Types) -> Ordering {
    left.items
        .iter()
        .zip(&right.items)
        .map(|(a, b)| compare(left.element, a, b, types))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| left.items.len().cmp(&right.items.len()))
        .then_with(|| left.dimensions.len().cmp(&right.dimensions.len()))
        .then_with(|| {
            left.dimensions
                .iter()
                .map(|d| d.0)
                .cmp(right.dimensions.iter().map(|d| d.0))
        })
        .then_with(|| {
            left.dimensions
                .iter()
                .map(|d| d.1)
                .cmp(right.dimensions.iter().map(|d| d.1))
        })
}

/// NaN equal to itself and above all, -0 equal to 0.
pub(crate) fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right)
        .unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float4(value) => f64::from(*value),
        Value::Float8(value) => *value,
        _ => 0.0,
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Float4(_) | Value::Float8(_) => 3,
        Value::Numeric(_) => 4,
        Value::Text(_) => 5,
        Value::Bytes(_) => 6,
        Value::Uuid(_) => 7,
        Value::Date(_) => 8,
        Value::Time(_) => 9,
        Value::TimeTz(..) => 10,
        Value::Timestamp(_) => 11,
        Value::Interval(_) => 12,
        Value::Json(_) => 13,
        Value::Array(_) => 14,
        Value::Record(_) => 15,
        Value::Null => 16,
    }
}

/// Appends bytes that are equal for exactly the values that are equal by [`compare`]: a key for hashing (GROUP BY, DISTINCT, hash joins).
///
/// No key is the beginning of another, so that the keys of several columns may be appended to each other.
#[allow(
    clippy::only_used_in_recursion,
    reason = "part of the face, as in `compare`"
)]
pub fn hash_key(ty: Oid, value: &Value, types: &Types, out: &mut Vec<u8>) {
    out.push(kind(value));
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int(value) | Value::Time(value) | Value::Timestamp(value) => {
            out.extend(value.to_be_bytes())
        }
        Value::Float4(_) | Value::Float8(_) => {
            let value = float(value);
            let value = if value.is_nan() {
                f64::NAN
            } else if value == 0.0 {
                0.0
            } else {
                value
            };
            out.extend(value.to_bits().to_be_bytes());
        }
        Value::Numeric(value) => value.hash_key(out),
        Value::Text(text) if ty == oid::BPCHAR => {
            counted(text.trim_end_matches(' ').as_bytes(), out)
        }
        Value::Text(text) => counted(text.as_bytes(), out),
        Value::Bytes(bytes) => counted(bytes, out),
        Value::Uuid(uuid) => out.extend(uuid),
        Value::Date(days) => out.extend(days.to_be_bytes()),
        Value::TimeTz(us, west) => {
            out.extend(us.to_be_bytes());
            out.extend(west.to_be_bytes());
        }
        Value::Interval(value) => out.extend(interval::estimate(*value).to_be_bytes()),
        Value::Json(json) => hash_json(json, out),
        Value::Array(array) => {
            out.extend(array.dimensions.len().to_be_bytes());
            for (length, lower) in &array.dimensions {
                out.extend(length.to_be_bytes());
                out.extend(lower.to_be_bytes());
            }
            for item in &array.items {
                hash_key(array.element, item, types, out);
            }
        }
        Value::Record(columns) => {
            out.extend(columns.len().to_be_bytes());
            for (ty, value) in columns.iter() {
                hash_key(*ty, value, types, out);
            }
        }
    }
}

fn counted(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.len().to_be_bytes());
    out.extend(bytes);
}

fn hash_json(json: &crate::Json, out: &mut Vec<u8>) {
    use crate::Json;
    match json {
        Json::Null => out.push(0),
        Json::Bool(value) => out.extend([1, u8::from(*value)]),
        Json::Number(number) => {
            out.push(2);
            number.hash_key(out);
        }
        Json::String(text) => {
            out.push(3);
            counted(text.as_bytes(), out);
        }
        Json::Array(items) => {
            out.push(4);
            out.extend(items.len().to_be_bytes());
            items.iter().for_each(|item| hash_json(item, out));
        }
        Json::Object(members) => {
            out.push(5);
            out.extend(members.len().to_be_bytes());
            for (key, value) in members {
                counted(key.as_bytes(), out);
                hash_json(value, out);
            }
        }
    }
}

/// `typcategory`.
pub(crate) fn category(ty: Oid, types: &Types) -> u8 {
    match catalog().types.get(&ty) {
        Some(found) => found.category,
        None if types.enums.contains_key(&ty) => b'E',
        None if format::element_of(ty, types).is_some() => b'A',
        None => b'U',
    }
}
