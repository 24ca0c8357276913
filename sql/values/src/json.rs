//! `json` and `jsonb`: reading, printing, comparing.

pub(crate) mod compare;
pub(crate) mod parse;
pub(crate) mod print;

use std::{cmp::Ordering, sync::Arc};

use crate::Json;

/// The order of keys in a `jsonb` object: by length, then bytes.
pub(crate) fn key_order(left: &str, right: &str) -> Ordering {
    left.len()
        .cmp(&right.len())
        .then_with(|| left.as_bytes().cmp(right.as_bytes()))
}

/// An object of these members: sorted, the last of equal keys kept.
pub(crate) fn object(mut members: Vec<(Arc<str>, Json)>) -> Json {
    // Stable, so that equal keys stay in the order written.
    members.sort_by(|left, right| key_order(&left.0, &right.0));
    let mut out: Vec<(Arc<str>, Json)> = Vec::with_capacity(members.len());
    for member in members {
        match out.last_mut() {
            Some(last) if last.0 == member.0 => *last = member,
            _ => out.push(member),
        }
    }
    Json::Object(out)
}

/// A member of an object.
pub(crate) fn member<'a>(json: &'a Json, key: &str) -> Option<&'a Json> {
    let Json::Object(members) = json else {
        return None;
    };
    let at = members
        .binary_search_by(|(name, _)| key_order(name, key))
        .ok()?;
    Some(&members[at].1)
}

/// An element of an array, from the end where `index` is negative.
pub(crate) fn element(json: &Json, index: i64) -> Option<&Json> {
    let Json::Array(items) = json else {
        return None;
    };
    items.get(position(items.len(), index)?)
}

/// Where an index counts to, in an array of this length.
pub(crate) fn position(length: usize, index: i64) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}
