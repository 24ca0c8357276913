//! PostgreSQL's arrays.
//!
//! One dimension counted from 1 is BSON's array; anything else (more dimensions, other bounds) is kept as it was: its text, or the bytes of
//! its binary form.

use bytes::Bytes;
use mongodb::bson::{Binary, Bson, spec::BinarySubtype};

use super::{Inexact, Kind};
use crate::hex::hex;

/// An array in the text of `array_out`.
pub(super) fn parse(element: &Kind, text: &str) -> Result<Bson, Inexact> {
    let Some(items) = items(text) else {
        return Ok(Bson::String(text.to_owned()));
    };
    let array = items
        .into_iter()
        .map(|item| match item {
            None => Ok(Bson::Null),
            // The output of `boolean` alone differs from its cast to text.
            Some(item) if *element == Kind::Bool => Ok(Bson::Boolean(item == "t")),
            Some(item) => element.to_bson(item.as_bytes()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let array = Bson::Array(array);
    if print(element, &array).as_deref() == Some(text) {
        Ok(array)
    } else {
        Ok(Bson::String(text.to_owned()))
    }
}

/// The elements of an array of one dimension; `None` for any other.
fn items(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inside.is_empty() {
        return Some(items);
    }
    let mut chars = inside.chars().peekable();
    loop {
        let mut item = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => item.push(chars.next()?),
                    c => item.push(c),
                }
            }
            items.push(Some(item));
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                if matches!(c, '{' | '}' | '"' | '\\') {
                    return None;
                }
                item.push(c);
            }
            items.push((item != "NULL").then_some(item));
        }
        match chars.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// The text of `array_out`; `None` for what [`parse`] does not make.
pub(super) fn print(element: &Kind, value: &Bson) -> Option<String> {
    let items = match value {
        Bson::Array(items) => items,
        Bson::String(text) => return Some(text.clone()),
        _ => return None,
    };
    let mut out = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item {
            Bson::Null => out.push_str("NULL"),
            Bson::Boolean(value) if *element == Kind::Bool => {
                out.push(if *value { 't' } else { 'f' })
            }
            item => put_item(str::from_utf8(&element.to_canonical(item)?).ok()?, &mut out),
        }
    }
    out.push('}');
    Some(out)
}

fn put_item(item: &str, out: &mut String) {
    // The blanks of `array_isspace`.
    let plain = !item.is_empty()
        && !item.eq_ignore_ascii_case("NULL")
        && !item.contains([
            '{', '}', '"', '\\', ',', ' ', '\t', '\n', '\r', '\u{b}', '\u{c}',
        ]);
    if plain {
        out.push_str(item);
        return;
    }
    out.push('"');
    for c in item.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// An array in the format of `array_send`.
pub(super) fn parse_binary(element: &Kind, oid: u32, bytes: Vec<u8>) -> Result<Bson, Inexact> {
    let array = elements(&bytes).and_then(|items| {
        let items = items.into_iter().map(|item| match item {
            None => Some(Bson::Null),
            Some(item) => element.of_binary(item).ok(),
        });
        items.collect::<Option<Vec<_>>>().map(Bson::Array)
    });
    let exact = array.filter(|array| packed(element, oid, array).as_ref() == Some(&bytes));
    Ok(exact.unwrap_or(Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    })))
}

/// The elements of an array of at most one dimension, which the caller checks to be nothing else.
fn elements(bytes: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (dimensions, rest) = number(bytes)?;
    let (_flags, rest) = number(rest)?;
    let (_element, rest) = number(rest)?;
    if dimensions == 0 {
        return rest.is_empty().then(Vec::new);
    }
    let (count, rest) = number(rest)?;
    let (_lower, mut rest) = number(rest)?;
    let mut items = Vec::new();
    for _ in 0..count {
        let (length, behind) = number(rest)?;
        if length < 0 {
            items.push(None);
            rest = behind;
            continue;
        }
        let (item, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
        items.push(Some(item));
        rest = behind;
    }
    rest.is_empty().then_some(items)
}

fn number(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((i32::from_be_bytes(*number), rest))
}

/// The canonical text, hex digits; `None` for what [`parse_binary`] does not make.
pub(super) fn print_binary(element: &Kind, oid: u32, value: &Bson) -> Option<Bytes> {
    match value {
        Bson::Binary(value) if value.subtype == BinarySubtype::Generic => {
            Some(hex(&value.bytes).into())
        }
        value => packed(element, oid, value).map(|bytes| hex(&bytes).into()),
    }
}

fn packed(element: &Kind, oid: u32, value: &Bson) -> Option<Vec<u8>> {
    let Bson::Array(items) = value else {
        return None;
    };
    let mut bytes = Vec::new();
    let mut put = |number: i32| bytes.extend(number.to_be_bytes());
    put(i32::from(!items.is_empty()));
    put(i32::from(items.contains(&Bson::Null)));
    put(i32::try_from(oid).ok()?);
    if !items.is_empty() {
        put(i32::try_from(items.len()).ok()?);
        put(1);
    }
    for item in items {
        if *item == Bson::Null {
            bytes.extend((-1_i32).to_be_bytes());
            continue;
        }
        let item = element.to_binary(item)?;
        bytes.extend(i32::try_from(item.len()).ok()?.to_be_bytes());
        bytes.extend(item);
    }
    Some(bytes)
}
