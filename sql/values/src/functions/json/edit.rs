//! Changing `jsonb`.

use std::sync::Arc;

use super::{
    super::{array, boolean, int, json, text},
    get,
};
use crate::{
    Error, Json, Result, Value,
    json::{self as tree, position},
    resolve::{Call, Scope},
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "jsonb_concat" => |_, args| Ok(made(concat(json(args, 0)?, json(args, 1)?)?)),
        "jsonb_delete" => |_, args| delete(json(args, 0)?, &[text(args, 1)?.clone()]),
        "jsonb_delete_array" => |_, args| {
            let keys = array(args, 1)?.items.iter().filter_map(|item| match item {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            });
            delete(json(args, 0)?, &keys.collect::<Vec<_>>())
        },
        "jsonb_delete_idx" => delete_index,
        "jsonb_delete_path" => |_, args| change(args, &Change::Delete),
        "jsonb_set" => |_, args| {
            let create = if args.len() > 3 {
                boolean(args, 3)?
            } else {
                true
            };
            change(
                args,
                &Change::Set {
                    value: json(args, 2)?,
                    create,
                },
            )
        },
        "jsonb_insert" => |_, args| {
            let after = if args.len() > 3 {
                boolean(args, 3)?
            } else {
                false
            };
            change(
                args,
                &Change::Insert {
                    value: json(args, 2)?,
                    after,
                },
            )
        },
        "jsonb_strip_nulls" => |_, args| Ok(made(stripped(json(args, 0)?))),
        _ => return None,
    })
}

fn made(json: Json) -> Value {
    Value::Json(Arc::new(json))
}

/// Two objects become one; what is no array counts as an array of one beside an array.
fn concat(left: &Json, right: &Json) -> Result<Json> {
    Ok(match (left, right) {
        (Json::Object(left), Json::Object(right)) => {
            tree::object(left.iter().chain(right).cloned().collect())
        }
        _ => {
            let items = |json: &Json| match json {
                Json::Array(items) => items.clone(),
                other => vec![other.clone()],
            };
            Json::Array([items(left), items(right)].concat())
        }
    })
}

fn delete(json: &Json, keys: &[Arc<str>]) -> Result<Value> {
    let named = |key: &str| keys.iter().any(|known| **known == *key);
    match json {
        Json::Object(members) => Ok(made(Json::Object(
            members
                .iter()
                .filter(|(key, _)| !named(key))
                .cloned()
                .collect(),
        ))),
        Json::Array(items) => {
            let stays = |item: &&Json| !matches!(item, Json::String(text) if named(text));
            Ok(made(Json::Array(
                items.iter().filter(stays).cloned().collect(),
            )))
        }
        _ => Err(Error::new("22023", "cannot delete from scalar")),
    }
}

fn delete_index(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    match &**json(args, 0)? {
        Json::Array(items) => {
            let mut items = items.clone();
            if let Some(at) = position(items.len(), int(args, 1)?).filter(|at| *at < items.len()) {
                items.remove(at);
            }
            Ok(made(Json::Array(items)))
        }
        Json::Object(_) => Err(Error::new(
            "22023",
            "cannot delete from object using integer index",
        )),
        _ => Err(Error::new("22023", "cannot delete from scalar")),
    }
}

/// What happens at the end of a path.
enum Change<'a> {
    Delete,
    Set { value: &'a Json, create: bool },
    Insert { value: &'a Json, after: bool },
}

fn change(args: &[Value], change: &Change<'_>) -> Result<Value> {
    let root = json(args, 0)?;
    let path = &array(args, 1)?;
    if path.dimensions.len() > 1 {
        return Err(Error::new("2202E", "wrong number of array subscripts"));
    }
    if !matches!(**root, Json::Array(_) | Json::Object(_)) {
        let what = if matches!(change, Change::Delete) {
            "cannot delete path in scalar"
        } else {
            "cannot set path in scalar"
        };
        return Err(Error::new("22023", what));
    }
    let is_empty = match &**root {
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    };
    if is_empty && matches!(change, Change::Delete | Change::Set { create: false, .. }) {
        return Ok(args[0].clone());
    }
    let mut steps = Vec::with_capacity(path.items.len());
    for (index, item) in path.items.iter().enumerate() {
        match item {
            Value::Text(text) => steps.push(text.clone()),
            _ => {
                return Err(Error::new(
                    "22004",
                    format!("path element at position {} is null", index + 1),
                ));
            }
        }
    }
    if steps.is_empty() {
        return Ok(args[0].clone());
    }
    Ok(made(at_path(root, &steps, 0, change)?))
}

fn at_path(json: &Json, path: &[Arc<str>], level: usize, change: &Change<'_>) -> Result<Json> {
    let last = level + 1 == path.len();
    match json {
        Json::Object(members) => in_object(members, path, level, last, change),
        Json::Array(items) => in_array(items, path, level, last, change),
        scalar => Ok(scalar.clone()),
    }
}

fn in_object(
    members: &[(Arc<str>, Json)],
    path: &[Arc<str>],
    level: usize,
    last: bool,
    change: &Change<'_>,
) -> Result<Json> {
    let key = &path[level];
    let mut members = members.to_vec();
    let found = members.iter().position(|(name, _)| name == key);
    match (found, last, change) {
        (Some(at), false, _) => members[at].1 = at_path(&members[at].1, path, level + 1, change)?,
        (None, false, _) => {}
        (Some(at), true, Change::Delete) => {
            members.remove(at);
        }
        (Some(at), true, Change::Set { value, .. }) => members[at].1 = (*value).clone(),
        (Some(_), true, Change::Insert { .. }) => {
            return Err(Error::new("22023", "cannot replace existing key")
                .hint("Try using the function jsonb_set to replace key value."));
        }
        (
            None,
            true,
            Change::Set {
                value,
                create: true,
            }
            | Change::Insert { value, .. },
        ) => {
            members.push((key.clone(), (*value).clone()));
        }
        (None, true, Change::Set { .. } | Change::Delete) => {}
    }
    Ok(tree::object(members))
}

fn in_array(
    items: &[Json],
    path: &[Arc<str>],
    level: usize,
    last: bool,
    change: &Change<'_>,
) -> Result<Json> {
    let index = get::index(&path[level]).ok_or_else(|| {
        let message = format!(
            "path element at position {} is not an integer: \"{}\"",
            level + 1,
            path[level]
        );
        Error::new("22P02", message)
    })?;
    let mut items = items.to_vec();
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    // Beyond the beginning is before the first, beyond the end is after the last.
    let place = if index < 0 { index + length } else { index };
    let at = usize::try_from(place).ok().filter(|at| *at < items.len());
    match (at, last, change) {
        (Some(at), false, _) => items[at] = at_path(&items[at], path, level + 1, change)?,
        (None, false, _) => {}
        (Some(at), true, Change::Delete) => {
            items.remove(at);
        }
        (Some(at), true, Change::Set { value, .. }) => items[at] = (*value).clone(),
        (Some(at), true, Change::Insert { value, after }) => {
            items.insert(at + usize::from(*after), (*value).clone())
        }
        (
            None,
            true,
            Change::Set {
                value,
                create: true,
            }
            | Change::Insert { value, .. },
        ) => {
            let end = if place < 0 { 0 } else { items.len() };
            items.insert(end, (*value).clone());
        }
        (None, true, Change::Set { .. } | Change::Delete) => {}
    }
    Ok(Json::Array(items))
}

fn stripped(json: &Json) -> Json {
    match json {
        Json::Object(members) => {
            let kept = members
                .iter()
                .filter(|(_, value)| !matches!(value, Json::Null));
            Json::Object(
                kept.map(|(key, value)| (key.clone(), stripped(value)))
                    .collect(),
            )
        }
        Json::Array(items) => Json::Array(items.iter().map(stripped).collect()),
        scalar => scalar.clone(),
    }
}
