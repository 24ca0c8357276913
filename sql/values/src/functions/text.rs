//! Strings.

mod binary;
mod cut;
mod format;
pub(super) mod like;
mod list;
mod pad;
mod quote;
mod regex;

use std::sync::Arc;

use crate::{
    Error, Result, Type, Types, Value, cast,
    format::to_text,
    oid,
    resolve::{Call, Scope},
};

use super::{array, int, text};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    own(code)
        .or_else(|| binary::find(code))
        .or_else(|| cut::find(code))
        .or_else(|| like::find(code))
        .or_else(|| list::find(code))
        .or_else(|| pad::find(code))
        .or_else(|| quote::find(code))
        .or_else(|| regex::find(code))
        .or_else(|| {
            (code == "text_format" || code == "text_format_nv").then_some(format::format as Call)
        })
}

/// The code of this name with the last argument written as VARIADIC.
pub(super) fn find_variadic(code: &str) -> Option<Call> {
    Some(match code {
        "text_concat" => |scope, args| spread(scope, args, 0, concat),
        "text_concat_ws" => |scope, args| spread(scope, args, 1, concat_ws),
        "text_format" => |scope, args| spread(scope, args, 1, format::format),
        _ => return None,
    })
}

fn own(code: &str) -> Option<Call> {
    Some(match code {
        "lower" => |scope, args| Ok(Value::text(lower(text(args, 0)?, scope.types))),
        "upper" => |scope, args| Ok(Value::text(upper(text(args, 0)?, scope.types))),
        "initcap" => |scope, args| initcap(text(args, 0)?, scope.types).map(Value::text),
        "textlen" => |_, args| count(text(args, 0)?.chars().count()),
        "bpcharlen" => |_, args| count(text(args, 0)?.trim_end_matches(' ').chars().count()),
        "textoctetlen" | "bpcharoctetlen" => |_, args| count(text(args, 0)?.len()),
        "bit_length(text)" => |_, args| count(text(args, 0)?.len() * 8),
        "textcat" => |_, args| Ok(Value::text(format!("{}{}", text(args, 0)?, text(args, 1)?))),
        "anytextcat(anynonarray,text)" => |scope, args| {
            Ok(Value::text(format!(
                "{}{}",
                as_text(scope, args, 0)?,
                text(args, 1)?
            )))
        },
        "textanycat(text,anynonarray)" => |scope, args| {
            Ok(Value::text(format!(
                "{}{}",
                text(args, 0)?,
                as_text(scope, args, 1)?
            )))
        },
        "text_concat" => concat,
        "text_concat_ws" => concat_ws,
        "replace_text" => |_, args| {
            let (whole, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
            Ok(if from.is_empty() {
                Value::Text(whole.clone())
            } else {
                Value::text(whole.replace(&**from, to))
            })
        },
        "text_reverse" => |_, args| {
            Ok(Value::text(
                text(args, 0)?.chars().rev().collect::<String>(),
            ))
        },
        "textpos" => |_, args| {
            let (whole, part) = (text(args, 0)?, text(args, 1)?);
            count(
                whole
                    .find(&**part)
                    .map_or(0, |at| whole[..at].chars().count() + 1),
            )
        },
        "text_starts_with" => {
            |_, args| Ok(Value::Bool(text(args, 0)?.starts_with(&**text(args, 1)?)))
        }
        "translate" => |_, args| translate(text(args, 0)?, text(args, 1)?, text(args, 2)?),
        "chr" => |_, args| chr(int(args, 0)?),
        "ascii" => |_, args| {
            Ok(Value::Int(
                text(args, 0)?
                    .chars()
                    .next()
                    .map_or(0, |c| i64::from(u32::from(c))),
            ))
        },
        "to_hex32" => |_, args| Ok(Value::text(format!("{:x}", int(args, 0)? & 0xffff_ffff))),
        "to_hex64" => |_, args| Ok(Value::text(format!("{:x}", int(args, 0)?))),
        _ => return None,
    })
}

pub(super) fn count(number: usize) -> Result<Value> {
    i64::try_from(number)
        .map(Value::Int)
        .map_err(|_| Error::new("22003", "integer out of range"))
}

/// Any argument's text form.
pub(super) fn show(scope: Scope<'_>, args: &[Value], index: usize) -> String {
    to_text(scope.args[index], &args[index], scope.types, scope.session)
}

/// An argument cast to text, which for some types is not their text form.
fn as_text(scope: Scope<'_>, args: &[Value], index: usize) -> Result<Arc<str>> {
    let to = Type::of(oid::TEXT);
    let value = cast::cast(
        args[index].clone(),
        scope.args[index],
        to,
        cast::Context::Explicit,
        scope.types,
        scope.session,
    )?;
    text(&[value], 0).cloned()
}

/// Unicode's simple mapping to lower case: of one character to one, whatever its neighbours, as `towlower` has it.
fn lower_char(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        // The full mapping keeps the dot.
        _ if c == '\u{130}' => 'i',
        _ => c,
    }
}

/// Likewise to upper case.
fn upper_char(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        // Greek letters with an iota below: fully two letters, simply the one with the iota beside.
        _ => match u32::from(c) {
            code @ 0x1f80..=0x1faf if code & 8 == 0 => char::from_u32(code + 8).unwrap_or(c),
            code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => char::from_u32(code + 9).unwrap_or(c),
            _ => c,
        },
    }
}

/// `lower()` of a database whose collation's provider maps characters one by one (libc, and the built-in one's `C.UTF-8`).
pub(super) fn lower(text: &str, types: &Types) -> String {
    if types.folds_ascii_only {
        return text.to_ascii_lowercase();
    }
    text.chars().map(lower_char).collect()
}

/// `upper()`, likewise.
pub(super) fn upper(text: &str, types: &Types) -> String {
    if types.folds_ascii_only {
        return text.to_ascii_uppercase();
    }
    text.chars().map(upper_char).collect()
}

/// Whether locales agree with Unicode on what of these is a letter or digit.
fn is_settled(c: char) -> bool {
    match u32::from(c) {
        0xb2 | 0xb3 | 0xb9 | 0xbc..=0xbe | 0x363..=0x36f => false,
        code => code < 0x88f,
    }
}

fn initcap(text: &str, types: &Types) -> Result<String> {
    let settled = |c: char| is_settled(c) && (c.is_ascii() || !types.folds_ascii_only);
    if !text.chars().all(settled) {
        return Err(Error::unsupported("initcap() of such letters"));
    }
    let mut inside = false;
    let cased = text.chars().map(|c| {
        let mapped = if inside { lower_char(c) } else { upper_char(c) };
        inside = mapped.is_alphanumeric();
        mapped
    });
    Ok(cased.collect())
}

fn concat(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let shown = (0..args.len())
        .filter(|index| !args[*index].is_null())
        .map(|index| show(scope, args, index));
    Ok(Value::text(shown.collect::<String>()))
}

fn concat_ws(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    if args[0].is_null() {
        return Ok(Value::Null);
    }
    let shown = (1..args.len())
        .filter(|index| !args[*index].is_null())
        .map(|index| show(scope, args, index));
    Ok(Value::text(shown.collect::<Vec<_>>().join(text(args, 0)?)))
}

/// Calls with the elements of the last argument, an array, in its place; NULL for a NULL array.
fn spread(scope: Scope<'_>, args: &[Value], fixed: usize, call: Call) -> Result<Value> {
    let mut types = scope.args[..fixed].to_vec();
    let mut all = args[..fixed].to_vec();
    if args[fixed].is_null() {
        // `format` answers as if nothing followed.
        return if fixed == 1
            && scope.args.len() == 2
            && types[0] == crate::oid::TEXT
            && !args[0].is_null()
        {
            Err(Error::unsupported("a NULL array as the variadic argument"))
        } else {
            Ok(Value::Null)
        };
    }
    let array = array(args, fixed)?;
    types.resize(fixed + array.items.len(), array.element);
    all.extend(array.items.iter().cloned());
    call(
        Scope {
            args: &types,
            ..scope
        },
        &all,
    )
}

fn translate(text: &str, from: &str, to: &str) -> Result<Value> {
    let to: Vec<char> = to.chars().collect();
    let mapped = text
        .chars()
        .filter_map(|c| match from.chars().position(|known| known == c) {
            Some(at) => to.get(at).copied(),
            None => Some(c),
        });
    Ok(Value::text(mapped.collect::<String>()))
}

fn chr(code: i64) -> Result<Value> {
    if code < 0 {
        return Err(Error::new("54000", "character number must be positive"));
    }
    if code == 0 {
        return Err(Error::new("54000", "null character not permitted"));
    }
    let too_large = || {
        Error::new(
            "54000",
            format!("requested character too large for encoding: {code}"),
        )
    };
    let number = u32::try_from(code).map_err(|_| too_large())?;
    if number > 0x0010_ffff {
        return Err(too_large());
    }
    let invalid = || {
        Error::new(
            "54000",
            format!("requested character not valid for encoding: {code}"),
        )
    };
    char::from_u32(number)
        .map(|c| Value::Text(Arc::from(c.to_string())))
        .ok_or_else(invalid)
}
