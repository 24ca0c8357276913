//! `LIKE` and `ILIKE`.

use crate::{Error, Result, Types, Value, resolve::Call};

use super::{
    super::{bytea, text},
    lower,
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "textlike" | "namelike" => |_, args| matched(args, None, true),
        "textnlike" | "namenlike" => |_, args| matched(args, None, false),
        "texticlike" | "nameiclike" | "bpchariclike" => {
            |scope, args| matched(args, Some(scope.types), true)
        }
        "texticnlike" | "nameicnlike" | "bpcharicnlike" => {
            |scope, args| matched(args, Some(scope.types), false)
        }
        "bytealike" => |_, args| Ok(Value::Bool(like(bytea(args, 0)?, bytea(args, 1)?)?)),
        "byteanlike" => |_, args| Ok(Value::Bool(!like(bytea(args, 0)?, bytea(args, 1)?)?)),
        "like_escape" => |_, args| Ok(Value::text(with_escape(text(args, 0)?, text(args, 1)?)?)),
        _ => return None,
    })
}

/// With `fold`, whatever the case of letters.
fn matched(args: &[Value], fold: Option<&Types>, wanted: bool) -> Result<Value> {
    let (text, pattern) = (text(args, 0)?, text(args, 1)?);
    let matches = match fold {
        Some(types) => like_chars(&lower(text, types), &lower(pattern, types))?,
        None => like_chars(text, pattern)?,
    };
    Ok(Value::Bool(matches == wanted))
}

fn like_chars(text: &str, pattern: &str) -> Result<bool> {
    // Only `_` asks where characters end.
    if text.is_ascii() || !pattern.contains('_') {
        return like(text.as_bytes(), pattern.as_bytes());
    }
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    like(&text, &pattern)
}

/// What a pattern is made of.
trait Unit: Copy + PartialEq {
    const ANY: Self;
    const ONE: Self;
    const ESCAPE: Self;
}

impl Unit for u8 {
    const ANY: u8 = b'%';
    const ONE: u8 = b'_';
    const ESCAPE: u8 = b'\\';
}

impl Unit for char {
    const ANY: char = '%';
    const ONE: char = '_';
    const ESCAPE: char = '\\';
}

/// Whether the text matches, going back only to the last `%`: linear in practice, and never worse than the product of the lengths. A pattern that ends in its escape is
/// refused once the match gets there.
fn like<T: Unit>(text: &[T], pattern: &[T]) -> Result<bool> {
    let (mut at, mut place) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(place) {
            Some(mark) if *mark == T::ANY => {
                back = Some((place + 1, at));
                place += 1;
                continue;
            }
            None if at == text.len() => return Ok(true),
            None => None,
            Some(_) if at == text.len() => return Ok(false),
            Some(mark) if *mark == T::ONE => Some(1),
            Some(mark) if *mark == T::ESCAPE => match pattern.get(place + 1) {
                None => {
                    return Err(Error::new(
                        "22025",
                        "LIKE pattern must not end with escape character",
                    ));
                }
                Some(literal) => (*literal == text[at]).then_some(2),
            },
            Some(literal) => (*literal == text[at]).then_some(1),
        };
        match (step, back) {
            (Some(length), _) => {
                place += length;
                at += 1;
            }
            (None, Some((after, from))) => {
                if from >= text.len() {
                    return Ok(false);
                }
                back = Some((after, from + 1));
                (place, at) = (after, from + 1);
            }
            (None, None) => return Ok(false),
        }
    }
}

/// The pattern with another escape character put in backslashes' place.
fn with_escape(pattern: &str, escape: &str) -> Result<String> {
    let mut chars = escape.chars();
    let escape = match (chars.next(), chars.next()) {
        (None, _) => return Ok(pattern.replace('\\', "\\\\")),
        (Some('\\'), None) => return Ok(pattern.to_owned()),
        (Some(escape), None) => escape,
        _ => {
            return Err(Error::new("22025", "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
    };
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut after_escape = false;
    for c in pattern.chars() {
        if c == escape && !after_escape {
            out.push('\\');
            after_escape = true;
            continue;
        }
        if c == '\\' && !after_escape {
            out.push('\\');
        }
        out.push(c);
        after_escape = false;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, pattern, matches) in [
            ("abc", "a%", true),
            ("abc", "_b_", true),
            ("abc", "%b", false),
            ("", "%", true),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("aäc", "a_c", true),
            ("mississippi", "%iss%ip%", true),
            ("ab", "ab_", false),
        ] {
            assert_eq!(
                like_chars(text, pattern).unwrap(),
                matches,
                "{text} LIKE {pattern}"
            );
        }
        assert_eq!(with_escape("a#%b\\", "#").unwrap(), "a\\%b\\\\");
        assert!(!like_chars("a", "a\\").unwrap());
        assert_eq!(like_chars("ab", "a\\").unwrap_err().sqlstate, "22025");
    }
}
