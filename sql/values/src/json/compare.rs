//! The order of `jsonb`: object > array > boolean > number > string > null; longer arrays and objects above shorter ones.

use std::cmp::Ordering;

use crate::Json;

/// Where a kind stands. An empty array at the top is below everything, which the caller of [`compare`] need not know.
fn rank(json: &Json) -> u8 {
    match json {
        Json::Null => 0,
        Json::String(_) => 1,
        Json::Number(_) => 2,
        Json::Bool(_) => 3,
        Json::Array(_) => 4,
        Json::Object(_) => 5,
    }
}

/// `jsonb_cmp`. Strings by their bytes.
pub(crate) fn compare(left: &Json, right: &Json) -> Ordering {
    // At the top a scalar is kept as an array of one, so that an empty array is below it.
    let is_empty = |json: &Json| matches!(json, Json::Array(items) if items.is_empty());
    let is_scalar = |json: &Json| rank(json) < 4;
    match (is_empty(left), is_empty(right)) {
        (true, false) if is_scalar(right) => Ordering::Less,
        (false, true) if is_scalar(left) => Ordering::Greater,
        _ => inner(left, right),
    }
}

fn inner(left: &Json, right: &Json) -> Ordering {
    match (left, right) {
        (Json::Null, Json::Null) => Ordering::Equal,
        (Json::String(left), Json::String(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Json::Number(left), Json::Number(right)) => left.cmp(right),
        (Json::Bool(left), Json::Bool(right)) => left.cmp(right),
        (Json::Array(left), Json::Array(right)) => left.len().cmp(&right.len()).then_with(|| {
            left.iter()
                .zip(right)
                .map(|(left, right)| inner(left, right))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        (Json::Object(left), Json::Object(right)) => left.len().cmp(&right.len()).then_with(|| {
            left.iter()
                .zip(right)
                .map(|(left, right)| {
                    left.0
                        .as_bytes()
                        .cmp(right.0.as_bytes())
                        .then_with(|| inner(&left.1, &right.1))
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        _ => rank(left).cmp(&rank(right)),
    }
}

/// `@>`.
pub(crate) fn contains(outer: &Json, inner: &Json) -> bool {
    match (outer, inner) {
        // An array may contain a primitive value itself, at the top only.
        (Json::Array(items), scalar) if rank(scalar) < 4 => {
            items.iter().any(|item| equal(item, scalar))
        }
        _ => contains_deeply(outer, inner),
    }
}

fn contains_deeply(outer: &Json, inner: &Json) -> bool {
    match (outer, inner) {
        (Json::Object(_), Json::Object(members)) => members.iter().all(|(key, value)| {
            super::member(outer, key).is_some_and(|found| contains_deeply(found, value))
        }),
        (Json::Array(items), Json::Array(wanted)) => wanted
            .iter()
            .all(|wanted| items.iter().any(|item| contains_deeply(item, wanted))),
        _ => equal(outer, inner),
    }
}

/// Equality, numbers by value.
pub(crate) fn equal(left: &Json, right: &Json) -> bool {
    compare(left, right) == Ordering::Equal
}
