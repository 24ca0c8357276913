//! Applying `atttypmod`.

use std::sync::Arc;

use crate::{
    Array, Error, Result, Type, Value,
    cast::Context,
    datetime::{self, interval},
    oid,
};

/// Brings a value to its type's modifier. What is too long is cut where the context is explicit; else it is 22001.
pub(crate) fn apply(value: Value, ty: Type, context: Context) -> Result<Value> {
    if ty.modifier < 0 {
        return Ok(value);
    }
    Ok(match (value, ty.oid) {
        (Value::Numeric(number), _) => Value::Numeric(number.fit(ty.modifier)?),
        (Value::Text(text), oid::VARCHAR) => Value::Text(varchar(text, ty.modifier - 4, context)?),
        (Value::Text(text), oid::BPCHAR) => Value::Text(bpchar(&text, ty.modifier - 4, context)?),
        (Value::Time(us), _) => Value::Time(datetime::rounded(us, ty.modifier)),
        (Value::TimeTz(us, west), _) => Value::TimeTz(datetime::rounded(us, ty.modifier), west),
        (Value::Timestamp(us), _) if us != i64::MAX && us != i64::MIN => Value::Timestamp(
            datetime::timestamp(Some(datetime::rounded(us, ty.modifier)))?,
        ),
        (Value::Interval(value), _) => Value::Interval(interval::fit(value, ty.modifier)),
        (Value::Array(array), _) => Value::Array(Arc::new(each(&array, ty, context)?)),
        (Value::Text(_), oid::BIT | oid::VARBIT) => {
            return Err(Error::unsupported("a bit string's length"));
        }
        (value, _) => value,
    })
}

fn each(array: &Array, ty: Type, context: Context) -> Result<Array> {
    let element = Type {
        oid: array.element,
        modifier: ty.modifier,
    };
    let items = array
        .items
        .iter()
        .map(|item| apply(item.clone(), element, context))
        .collect::<Result<_>>()?;
    Ok(Array {
        items,
        ..array.clone()
    })
}

/// Byte offset after so many characters.
fn after(text: &str, characters: usize) -> usize {
    text.char_indices()
        .nth(characters)
        .map_or(text.len(), |(at, _)| at)
}

/// Only blanks may be cut without being asked for.
fn cut(text: &str, length: i32, name: &str, context: Context) -> Result<usize> {
    let end = after(text, usize::try_from(length).unwrap_or(0));
    if context != Context::Explicit && text[end..].bytes().any(|byte| byte != b' ') {
        return Err(Error::new(
            "22001",
            format!("value too long for type {name}({length})"),
        ));
    }
    Ok(end)
}

fn varchar(text: Arc<str>, length: i32, context: Context) -> Result<Arc<str>> {
    let end = cut(&text, length, "character varying", context)?;
    Ok(if end == text.len() {
        text
    } else {
        text[..end].into()
    })
}

fn bpchar(text: &str, length: i32, context: Context) -> Result<Arc<str>> {
    let end = cut(text, length, "character", context)?;
    let missing = usize::try_from(length)
        .unwrap_or(0)
        .saturating_sub(text[..end].chars().count());
    Ok(format!("{}{}", &text[..end], " ".repeat(missing)).into())
}
