//! Strings from and to arrays.

use std::sync::Arc;

use crate::{
    Array, Result, Value,
    format::to_text,
    oid,
    resolve::{Call, Scope},
};

use super::super::text;

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "text_to_array" => |_, args| split(args, None),
        "text_to_array_null" => |_, args| split(args, args.get(2).and_then(string)),
        "array_to_text" => |scope, args| join(scope, args, None),
        "array_to_text_null" => |scope, args| {
            let missing = args.get(2).and_then(string).map(str::to_owned);
            if args[0].is_null() || args[1].is_null() {
                Ok(Value::Null)
            } else {
                join(scope, args, missing.as_deref())
            }
        },
        _ => return None,
    })
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn split(args: &[Value], null: Option<&str>) -> Result<Value> {
    let Some(whole) = args.first().and_then(string) else {
        return Ok(Value::Null);
    };
    let parts: Vec<String> = match args.get(1).and_then(string) {
        _ if whole.is_empty() => Vec::new(),
        None => whole.chars().map(String::from).collect(),
        Some("") => vec![whole.to_owned()],
        Some(separator) => whole.split(separator).map(str::to_owned).collect(),
    };
    let item = |part: String| {
        if Some(part.as_str()) == null {
            Value::Null
        } else {
            Value::text(part)
        }
    };
    let items: Vec<Value> = parts.into_iter().map(item).collect();
    let dimensions = if items.is_empty() {
        Vec::new()
    } else {
        vec![(items.len(), 1)]
    };
    Ok(Value::Array(Arc::new(Array {
        element: oid::TEXT,
        dimensions,
        items,
    })))
}

fn join(scope: Scope<'_>, args: &[Value], missing: Option<&str>) -> Result<Value> {
    let (array, separator) = (super::array(args, 0)?, text(args, 1)?);
    let shown = array.items.iter().filter_map(|item| match item {
        Value::Null => missing.map(str::to_owned),
        item => Some(to_text(array.element, item, scope.types, scope.session)),
    });
    Ok(Value::text(shown.collect::<Vec<_>>().join(separator)))
}
