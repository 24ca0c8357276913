//! `format`.

use crate::{Error, Result, Value, resolve::Scope};

use super::{super::text, quote, show};

/// A specifier: `%[position$][flags][width]type`.
#[derive(Debug, Default)]
struct Specifier {
    position: Option<usize>,
    left: bool,
    width: usize,
    kind: char,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new("22023", message)
}

/// `format(text, …)`; NULL for a NULL format.
pub(super) fn format(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    if args[0].is_null() {
        return Ok(Value::Null);
    }
    let mut out = String::new();
    let mut rest: &str = text(args, 0)?;
    let mut next = 1;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (specifier, after) = specifier(rest)?;
        rest = after;
        let index = specifier.position.unwrap_or(next);
        next = index + 1;
        if index >= args.len() {
            return Err(invalid("too few arguments for format()"));
        }
        push(
            &mut out,
            &shown(scope, args, index, specifier.kind)?,
            &specifier,
        );
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

fn shown(scope: Scope<'_>, args: &[Value], index: usize, kind: char) -> Result<String> {
    let null = args[index].is_null();
    Ok(match kind {
        's' if null => String::new(),
        's' => show(scope, args, index),
        'I' if null => {
            return Err(Error::new(
                "22004",
                "null values cannot be formatted as an SQL identifier",
            ));
        }
        'I' => quote::ident(&show(scope, args, index)),
        'L' if null => "NULL".to_owned(),
        'L' => quote::literal(&show(scope, args, index)),
        other => {
            return Err(
                invalid(format!("unrecognized format() type specifier \"{other}\""))
                    .hint("For a single \"%\" use \"%%\"."),
            );
        }
    })
}

fn push(out: &mut String, text: &str, specifier: &Specifier) {
    let padding = " ".repeat(specifier.width.saturating_sub(text.chars().count()));
    if specifier.left {
        out.push_str(text);
        out.push_str(&padding);
    } else {
        out.push_str(&padding);
        out.push_str(text);
    }
}

fn specifier(text: &str) -> Result<(Specifier, &str)> {
    let unterminated =
        || invalid("unterminated format() type specifier").hint("For a single \"%\" use \"%%\".");
    let mut found = Specifier::default();
    let mut rest = text;
    let digits = |text: &str| {
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len())
    };
    let number = |text: &str| {
        text.parse::<usize>()
            .ok()
            .filter(|n| i32::try_from(*n).is_ok())
    };
    let length = digits(rest);
    if length > 0 && rest[length..].starts_with('$') {
        let position =
            number(&rest[..length]).ok_or_else(|| Error::new("22003", "number is out of range"))?;
        if position == 0 {
            return Err(invalid(
                "format specifies argument 0, but arguments are numbered from 1",
            ));
        }
        found.position = Some(position);
        rest = &rest[length + 1..];
    }
    while let Some(after) = rest.strip_prefix('-') {
        (found.left, rest) = (true, after);
    }
    if rest.starts_with('*') {
        return Err(Error::unsupported(
            "a width of format() taken from an argument",
        ));
    }
    let length = digits(rest);
    if length > 0 {
        found.width =
            number(&rest[..length]).ok_or_else(|| Error::new("22003", "number is out of range"))?;
        rest = &rest[length..];
    }
    found.kind = rest.chars().next().ok_or_else(unterminated)?;
    let rest = &rest[found.kind.len_utf8()..];
    Ok((found, rest))
}
