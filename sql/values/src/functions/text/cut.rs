//! Parts of strings, counted in characters.

use crate::{
    Error, Result, Value,
    resolve::{Call, Scope},
};

use super::super::{int, text};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "text_substr_no_len" => {
            |_, args| Ok(Value::text(substring(text(args, 0)?, int(args, 1)?, None)?))
        }
        "text_substr" => |_, args| {
            Ok(Value::text(substring(
                text(args, 0)?,
                int(args, 1)?,
                Some(int(args, 2)?),
            )?))
        },
        "text_left" => |_, args| {
            let (text, wanted) = (text(args, 0)?, int(args, 1)?);
            Ok(Value::text(&text[..at(text, from_end(text, wanted))]))
        },
        "text_right" => |_, args| {
            let (text, wanted) = (text(args, 0)?, int(args, 1)?);
            let length = text.chars().count();
            let dropped = length.saturating_sub(from_end(text, wanted));
            Ok(Value::text(&text[at(text, dropped)..]))
        },
        "textoverlay" => |_, args| overlay(args, int(args, 3)?),
        "textoverlay_no_len" => |_, args| {
            let length = i64::try_from(text(args, 1)?.chars().count()).unwrap_or(i64::MAX);
            overlay(args, length)
        },
        "split_part" => split_part,
        _ => return None,
    })
}

/// Byte offset after so many characters.
fn at(text: &str, characters: usize) -> usize {
    text.char_indices()
        .nth(characters)
        .map_or(text.len(), |(at, _)| at)
}

/// How many characters `left` and `right` take: all but so many where it is negative.
fn from_end(text: &str, wanted: i64) -> usize {
    match usize::try_from(wanted) {
        Ok(wanted) => wanted,
        Err(_) => text
            .chars()
            .count()
            .saturating_sub(usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

pub(super) fn negative_length() -> Error {
    Error::new("22011", "negative substring length not allowed")
}

/// The first and the last position, counted from 0, that `substring` takes.
pub(super) fn bounds(start: i64, length: Option<i64>) -> Result<(usize, usize)> {
    if length.is_some_and(|length| length < 0) {
        return Err(negative_length());
    }
    let end = length.map_or(i64::MAX, |length| start.saturating_add(length).max(1));
    let index = |position: i64| usize::try_from(position - 1).unwrap_or(0);
    Ok((index(start.max(1)), index(end)))
}

pub(super) fn substring(text: &str, start: i64, length: Option<i64>) -> Result<&str> {
    let (first, end) = bounds(start, length)?;
    if end <= first {
        return Ok("");
    }
    Ok(&text[at(text, first)..at(text, end)])
}

fn overlay(args: &[Value], length: i64) -> Result<Value> {
    let (whole, part, start) = (text(args, 0)?, text(args, 1)?, int(args, 2)?);
    if start <= 0 {
        return Err(negative_length());
    }
    let rest = i64::from(
        i32::try_from(start + length).map_err(|_| Error::new("22003", "integer out of range"))?,
    );
    let head = substring(whole, 1, Some(start - 1))?;
    Ok(Value::text(format!(
        "{head}{part}{}",
        substring(whole, rest, None)?
    )))
}

fn split_part(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (whole, separator, wanted) = (text(args, 0)?, text(args, 1)?, int(args, 2)?);
    if wanted == 0 {
        return Err(Error::new("22023", "field position must not be zero"));
    }
    if separator.is_empty() || whole.is_empty() {
        let only = !whole.is_empty() && (wanted == 1 || wanted == -1);
        return Ok(Value::text(if only { &**whole } else { "" }));
    }
    let index = usize::try_from(wanted.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let part = if wanted > 0 {
        whole.split(&**separator).nth(index)
    } else {
        from_right(whole, separator, index)
    };
    Ok(Value::text(part.unwrap_or("")))
}

/// Of the fields as they are found from the left.
fn from_right<'a>(whole: &'a str, separator: &str, index: usize) -> Option<&'a str> {
    let parts: Vec<&str> = whole.split(separator).collect();
    parts.len().checked_sub(index + 1).map(|at| parts[at])
}
