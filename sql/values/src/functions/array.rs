//! Arrays.

use std::sync::Arc;

use crate::{
    Array, Error, Result, Value, format, order,
    resolve::{Call, Scope},
};

use super::{array, int};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "array_length" => {
            |_, args| dimension(args, |(length, _)| i64::try_from(length).unwrap_or(0))
        }
        "array_lower" => |_, args| dimension(args, |(_, lower)| i64::from(lower)),
        "array_upper" => |_, args| {
            dimension(args, |(length, lower)| {
                i64::from(lower) + i64::try_from(length).unwrap_or(0) - 1
            })
        },
        "array_ndims" => |_, args| match array(args, 0)?.dimensions.len() {
            0 => Ok(Value::Null),
            count => Ok(Value::Int(i64::try_from(count).unwrap_or(0))),
        },
        "array_cardinality" => |_, args| {
            Ok(Value::Int(
                i64::try_from(array(args, 0)?.items.len()).unwrap_or(0),
            ))
        },
        "array_append" => append,
        "array_prepend" => prepend,
        "array_cat" => cat,
        "array_position" | "array_position_start" => position,
        "array_positions" => positions,
        "array_remove" => |scope, args| edit(scope, args, None),
        "array_replace" => |scope, args| edit(scope, args, args.get(2)),
        "arraycontains" => |scope, args| {
            Ok(Value::Bool(contains(
                scope,
                array(args, 0)?,
                array(args, 1)?,
            )))
        },
        "arraycontained" => |scope, args| {
            Ok(Value::Bool(contains(
                scope,
                array(args, 1)?,
                array(args, 0)?,
            )))
        },
        "arrayoverlap" => |scope, args| {
            let (left, right) = (array(args, 0)?, array(args, 1)?);
            Ok(Value::Bool(
                left.items
                    .iter()
                    .any(|item| !item.is_null() && holds(scope, right, item)),
            ))
        },
        "trim_array" => trim,
        _ => return None,
    })
}

fn dimension(args: &[Value], read: fn((usize, i32)) -> i64) -> Result<Value> {
    let found = usize::try_from(int(args, 1)? - 1)
        .ok()
        .and_then(|index| array(args, 0).ok()?.dimensions.get(index).copied());
    Ok(found.map_or(Value::Null, |dimension| Value::Int(read(dimension))))
}

/// The array at this place; `None` for NULL.
fn optional(args: &[Value], index: usize) -> Result<Option<&Arc<Array>>> {
    if args[index].is_null() {
        Ok(None)
    } else {
        array(args, index).map(Some)
    }
}

fn of(element: crate::Oid, lower: i32, items: Vec<Value>) -> Value {
    let dimensions = if items.is_empty() {
        Vec::new()
    } else {
        vec![(items.len(), lower)]
    };
    Value::Array(Arc::new(Array {
        element,
        dimensions,
        items,
    }))
}

fn element(scope: Scope<'_>) -> Result<crate::Oid> {
    format::element_of(scope.result, scope.types)
        .ok_or_else(|| Error::unsupported("an array of this type"))
}

/// The items of a one-dimensional array, and its lower bound.
fn flat(array: Option<&Arc<Array>>) -> Result<(Vec<Value>, i32)> {
    match array {
        None => Ok((Vec::new(), 1)),
        Some(array) => match array.dimensions.as_slice() {
            [] => Ok((Vec::new(), 1)),
            [(_, lower)] => Ok((array.items.clone(), *lower)),
            _ => Err(Error::new(
                "22000",
                "argument must be empty or one-dimensional array",
            )),
        },
    }
}

fn append(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (mut items, lower) = flat(optional(args, 0)?)?;
    items.push(args[1].clone());
    Ok(of(element(scope)?, lower, items))
}

fn prepend(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (mut items, lower) = flat(optional(args, 1)?)?;
    items.insert(0, args[0].clone());
    Ok(of(element(scope)?, lower, items))
}

fn cat(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (left, right) = match (optional(args, 0)?, optional(args, 1)?) {
        (None, None) => return Ok(Value::Null),
        (Some(only), None) | (None, Some(only)) => return Ok(Value::Array(only.clone())),
        (Some(left), Some(right)) if left.dimensions.is_empty() => {
            let _ = left;
            return Ok(Value::Array(right.clone()));
        }
        (Some(left), Some(right)) if right.dimensions.is_empty() => {
            return Ok(Value::Array(left.clone()));
        }
        (Some(left), Some(right)) => (left, right),
    };
    let mismatch = |detail: String| {
        Error::new("2202E", "cannot concatenate incompatible arrays").detail(detail)
    };
    let (a, b) = (&left.dimensions, &right.dimensions);
    let inner = |dimensions: &[(usize, i32)]| {
        dimensions
            .iter()
            .map(|dimension| dimension.0)
            .collect::<Vec<_>>()
    };
    let dimensions = if a.len() == b.len() {
        if inner(&a[1..]) != inner(&b[1..]) {
            return Err(mismatch(
                "Arrays with differing element dimensions are not compatible for concatenation."
                    .to_owned(),
            ));
        }
        [&[(a[0].0 + b[0].0, a[0].1)], &a[1..]].concat()
    } else {
        let (outer, item) = if a.len() == b.len() + 1 {
            (a, b)
        } else {
            (b, a)
        };
        if outer.len() != item.len() + 1 {
            let detail = format!(
                "Arrays of {} and {} dimensions are not compatible for concatenation.",
                a.len(),
                b.len()
            );
            return Err(mismatch(detail));
        }
        if inner(&outer[1..]) != inner(item) {
            return Err(mismatch(
                "Arrays with differing dimensions are not compatible for concatenation.".to_owned(),
            ));
        }
        [&[(outer[0].0 + 1, outer[0].1)], &outer[1..]].concat()
    };
    let items = left.items.iter().chain(&right.items).cloned().collect();
    Ok(Value::Array(Arc::new(Array {
        element: element(scope)?,
        dimensions,
        items,
    })))
}

fn not_distinct(scope: Scope<'_>, array: &Array, item: &Value, wanted: &Value) -> bool {
    match (item, wanted) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        _ => order::compare(array.element, item, wanted, scope.types).is_eq(),
    }
}

fn sortable(scope: Scope<'_>, array: &Array) -> Result<()> {
    if order::is_sortable(array.element, scope.types) {
        return Ok(());
    }
    let name = format::type_name(crate::Type::of(array.element), scope.types);
    Err(Error::new(
        "42883",
        format!("could not identify an equality operator for type {name}"),
    ))
}

fn position(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let Some(array) = optional(args, 0)? else {
        return Ok(Value::Null);
    };
    if array.dimensions.len() > 1 {
        return Err(Error::new(
            "0A000",
            "searching for elements in multidimensional arrays is not supported",
        ));
    }
    sortable(scope, array)?;
    let lower = i64::from(array.dimensions.first().map_or(1, |dimension| dimension.1));
    let start = match args.get(2) {
        None => lower,
        Some(Value::Null) => return Err(Error::new("22004", "initial position must not be null")),
        Some(_) => int(args, 2)?,
    };
    let found = array
        .items
        .iter()
        .zip(lower..)
        .find(|(item, place)| *place >= start && not_distinct(scope, array, item, &args[1]));
    Ok(found.map_or(Value::Null, |(_, place)| Value::Int(place)))
}

fn positions(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let Some(array) = optional(args, 0)? else {
        return Ok(Value::Null);
    };
    if array.dimensions.len() > 1 {
        return Err(Error::new(
            "0A000",
            "searching for elements in multidimensional arrays is not supported",
        ));
    }
    sortable(scope, array)?;
    let lower = i64::from(array.dimensions.first().map_or(1, |dimension| dimension.1));
    let found = array
        .items
        .iter()
        .zip(lower..)
        .filter(|(item, _)| not_distinct(scope, array, item, &args[1]));
    Ok(of(
        crate::oid::INT4,
        1,
        found.map(|(_, place)| Value::Int(place)).collect(),
    ))
}

/// `array_remove`, or `array_replace` by a value.
fn edit(scope: Scope<'_>, args: &[Value], by: Option<&Value>) -> Result<Value> {
    let Some(array) = optional(args, 0)? else {
        return Ok(Value::Null);
    };
    sortable(scope, array)?;
    if let Some(by) = by {
        let replaced = |item: &Value| {
            if not_distinct(scope, array, item, &args[1]) {
                by.clone()
            } else {
                item.clone()
            }
        };
        let items = array.items.iter().map(replaced).collect();
        return Ok(Value::Array(Arc::new(Array {
            items,
            ..(**array).clone()
        })));
    }
    if array.dimensions.len() > 1 {
        return Err(Error::new(
            "0A000",
            "removing elements from multidimensional arrays is not supported",
        ));
    }
    let kept: Vec<Value> = array
        .items
        .iter()
        .filter(|item| !not_distinct(scope, array, item, &args[1]))
        .cloned()
        .collect();
    Ok(of(
        array.element,
        array.dimensions.first().map_or(1, |dimension| dimension.1),
        kept,
    ))
}

fn holds(scope: Scope<'_>, array: &Array, wanted: &Value) -> bool {
    array.items.iter().any(|item| {
        !item.is_null() && order::compare(array.element, item, wanted, scope.types).is_eq()
    })
}

/// NULL is in no array.
fn contains(scope: Scope<'_>, outer: &Array, inner: &Array) -> bool {
    inner
        .items
        .iter()
        .all(|item| !item.is_null() && holds(scope, outer, item))
}

fn trim(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (array, cut) = (array(args, 0)?, int(args, 1)?);
    let length = array.dimensions.first().map_or(0, |dimension| dimension.0);
    let kept = usize::try_from(cut)
        .ok()
        .and_then(|cut| length.checked_sub(cut));
    let kept = kept.ok_or_else(|| {
        Error::new(
            "2202E",
            format!("number of elements to trim must be between 0 and {length}"),
        )
    })?;
    let Some((_, lower)) = array.dimensions.first().copied() else {
        return Ok(args[0].clone());
    };
    if kept == 0 {
        return Ok(of(array.element, 1, Vec::new()));
    }
    let items = array.items[..array.items.len() / length * kept].to_vec();
    let dimensions = [&[(kept, lower)], &array.dimensions[1..]].concat();
    // What is left counts from the same bound.
    Ok(Value::Array(Arc::new(Array {
        element: array.element,
        dimensions,
        items,
    })))
}
