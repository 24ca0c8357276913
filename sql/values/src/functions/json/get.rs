//! Reading from `jsonb`.

use std::sync::Arc;

use super::super::{array, int, json, text};
use crate::{
    Error, Json, Result, Value,
    json::{compare, element, member, print},
    resolve::Call,
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "jsonb_object_field" => |_, args| Ok(value(member(json(args, 0)?, text(args, 1)?))),
        "jsonb_object_field_text" => |_, args| Ok(shown(member(json(args, 0)?, text(args, 1)?))),
        "jsonb_array_element" => |_, args| Ok(value(at(json(args, 0)?, int(args, 1)?))),
        "jsonb_array_element_text" => |_, args| Ok(shown(at(json(args, 0)?, int(args, 1)?))),
        "jsonb_extract_path" => |_, args| Ok(value(follow(args)?.as_ref())),
        "jsonb_extract_path_text" => |_, args| Ok(shown(follow(args)?.as_ref())),
        "jsonb_typeof" => |_, args| Ok(Value::text(kind(json(args, 0)?))),
        "jsonb_array_length" => |_, args| match &**json(args, 0)? {
            Json::Array(items) => Ok(Value::Int(i64::try_from(items.len()).unwrap_or(0))),
            Json::Object(_) => Err(Error::new(
                "22023",
                "cannot get array length of a non-array",
            )),
            _ => Err(Error::new("22023", "cannot get array length of a scalar")),
        },
        "jsonb_contains" => |_, args| {
            Ok(Value::Bool(compare::contains(
                json(args, 0)?,
                json(args, 1)?,
            )))
        },
        "jsonb_contained" => |_, args| {
            Ok(Value::Bool(compare::contains(
                json(args, 1)?,
                json(args, 0)?,
            )))
        },
        "jsonb_exists" => |_, args| Ok(Value::Bool(exists(json(args, 0)?, text(args, 1)?))),
        "jsonb_exists_any" => |_, args| {
            let json = json(args, 0)?;
            Ok(Value::Bool(array(args, 1)?.items.iter().any(
                |key| matches!(key, Value::Text(key) if exists(json, key)),
            )))
        },
        "jsonb_exists_all" => |_, args| {
            let json = json(args, 0)?;
            let missing = |key: &Value| matches!(key, Value::Text(key) if !exists(json, key));
            Ok(Value::Bool(!array(args, 1)?.items.iter().any(missing)))
        },
        "jsonb_pretty" => |_, args| {
            let mut out = Vec::new();
            print::pretty(json(args, 0)?, 0, &mut out);
            Ok(super::build::text_of(out))
        },
        _ => return None,
    })
}

/// An element; a scalar counts as an array of itself.
fn at(json: &Json, index: i64) -> Option<&Json> {
    match json {
        Json::Array(_) => element(json, index),
        Json::Object(_) => None,
        scalar => matches!(index, 0 | -1).then_some(scalar),
    }
}

fn value(found: Option<&Json>) -> Value {
    found.map_or(Value::Null, |json| Value::Json(Arc::new(json.clone())))
}

/// As text: a string without its quotes, JSON's null as NULL.
pub(super) fn shown(found: Option<&Json>) -> Value {
    match found {
        None | Some(Json::Null) => Value::Null,
        Some(Json::String(text)) => Value::Text(text.clone()),
        Some(json) => Value::text(print::to_text(json)),
    }
}

pub(super) fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// A path's steps, given as an array or one by one; `None` where one is NULL.
pub(super) fn steps(args: &[Value]) -> Result<Option<Vec<Arc<str>>>> {
    let items = match args.get(1) {
        Some(Value::Array(array)) => &array.items[..],
        _ => &args[1..],
    };
    items
        .iter()
        .map(|item| match item {
            Value::Text(text) => Ok(Some(text.clone())),
            Value::Null => Ok(None),
            other => Err(super::super::wrong("path", Some(other))),
        })
        .collect()
}

/// An index into an array, as a path has it: C's `strtol`, whole.
pub(super) fn index(step: &str) -> Option<i64> {
    let number: i32 = step.trim_start().parse().ok()?;
    Some(i64::from(number))
}

fn follow(args: &[Value]) -> Result<Option<Json>> {
    let Some(steps) = steps(args)? else {
        return Ok(None);
    };
    let mut at: &Json = json(args, 0)?;
    for step in &steps {
        let next = match at {
            Json::Object(_) => member(at, step),
            Json::Array(_) => index(step).and_then(|index| element(at, index)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at.clone()))
}

/// A key of an object, or a string of an array, or the string itself.
fn exists(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(_) => member(json, key).is_some(),
        Json::Array(items) => items
            .iter()
            .any(|item| matches!(item, Json::String(text) if **text == *key)),
        Json::String(text) => **text == *key,
        _ => false,
    }
}
