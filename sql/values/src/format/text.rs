//! Booleans, names, single characters and UUIDs.

use std::sync::Arc;

use super::number::is_space;
use crate::{Error, Result};

/// Longest name in bytes (`NAMEDATALEN - 1`).
const NAME_LENGTH: usize = 63;

/// `boolin`: a prefix of a word that no other has.
pub(crate) fn parse_bool(text: &str) -> Result<bool> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let begins = |of: &str, shortest: usize| word.len() >= shortest && of.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(Error::new(
            "22P02",
            format!("invalid input syntax for type boolean: \"{text}\""),
        ))
    }
}

/// Text cannot hold a zero byte.
pub(crate) fn without_nul(text: &str) -> Result<&str> {
    if text.contains('\0') {
        return Err(Error::new(
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(text)
}

/// Cut to the length of a name, between characters.
pub(crate) fn cut_name(text: &str) -> &str {
    let mut end = text.len().min(NAME_LENGTH);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `"char"`: the first byte.
pub(crate) fn parse_char(text: &str) -> Result<Arc<str>> {
    match text.chars().next() {
        Some(first) if !first.is_ascii() => Err(Error::unsupported("a \"char\" that is not ASCII")),
        Some('\\') if text.len() == 4 => Err(Error::unsupported("a \"char\" written in octal")),
        first => Ok(first.map(String::from).unwrap_or_default().into()),
    }
}

/// `uuid_in`: hyphens after any four digits, braces around.
pub(crate) fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    read_uuid(text).ok_or_else(|| {
        Error::new(
            "22P02",
            format!("invalid input syntax for type uuid: \"{text}\""),
        )
    })
}

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let body = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut out = [0; 16];
    let mut rest = body.as_bytes();
    for (index, byte) in out.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        *byte = (super::bytea::hex_digit(*high)? << 4) | super::bytea::hex_digit(*low)?;
        rest = tail;
        if index % 2 == 1 && index < 15 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
    }
    rest.is_empty().then_some(out)
}

/// `uuid_out`.
pub(crate) fn print_uuid(uuid: &[u8; 16], out: &mut Vec<u8>) {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        super::bytea::push_hex(*byte, out);
    }
}
