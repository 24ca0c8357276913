//! Padding, trimming, repeating.

use crate::{Error, Result, Value, resolve::Call};

use super::super::{int, text};

/// Longest value there can be.
const MAX_BYTES: usize = 1 << 30;

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "btrim1" => |_, args| Ok(Value::text(trim(text(args, 0)?, " ", true, true))),
        "ltrim1" => |_, args| Ok(Value::text(trim(text(args, 0)?, " ", true, false))),
        "rtrim1" => |_, args| Ok(Value::text(trim(text(args, 0)?, " ", false, true))),
        "btrim" => |_, args| {
            Ok(Value::text(trim(
                text(args, 0)?,
                text(args, 1)?,
                true,
                true,
            )))
        },
        "ltrim" => |_, args| {
            Ok(Value::text(trim(
                text(args, 0)?,
                text(args, 1)?,
                true,
                false,
            )))
        },
        "rtrim" => |_, args| {
            Ok(Value::text(trim(
                text(args, 0)?,
                text(args, 1)?,
                false,
                true,
            )))
        },
        "lpad(text,int4)" => |_, args| pad(text(args, 0)?, int(args, 1)?, " ", true),
        "rpad(text,int4)" => |_, args| pad(text(args, 0)?, int(args, 1)?, " ", false),
        "lpad" => |_, args| pad(text(args, 0)?, int(args, 1)?, text(args, 2)?, true),
        "rpad" => |_, args| pad(text(args, 0)?, int(args, 1)?, text(args, 2)?, false),
        "repeat" => |_, args| {
            let (text, times) = (text(args, 0)?, usize::try_from(int(args, 1)?).unwrap_or(0));
            if text.len().saturating_mul(times) >= MAX_BYTES {
                return Err(Error::new("54000", "requested length too large"));
            }
            Ok(Value::text(text.repeat(times)))
        },
        _ => return None,
    })
}

fn trim<'a>(text: &'a str, set: &str, left: bool, right: bool) -> &'a str {
    let is_in_set = |c: char| set.contains(c);
    let text = if left {
        text.trim_start_matches(is_in_set)
    } else {
        text
    };
    if right {
        text.trim_end_matches(is_in_set)
    } else {
        text
    }
}

fn pad(text: &str, length: i64, fill: &str, left: bool) -> Result<Value> {
    let length = usize::try_from(length).unwrap_or(0);
    if length >= MAX_BYTES / 4 {
        return Err(Error::new("54000", "requested length too large"));
    }
    let kept: String = text.chars().take(length).collect();
    let missing = length - kept.chars().count();
    if fill.is_empty() {
        return Ok(Value::text(kept));
    }
    let padding: String = fill.chars().cycle().take(missing).collect();
    Ok(Value::text(if left {
        padding + &kept
    } else {
        kept + &padding
    }))
}
