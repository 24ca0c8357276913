//! `bytea`: hexadecimal and escaped.

use bytes::Bytes;

use crate::{Error, Result};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A hexadecimal digit's value.
pub(crate) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Appends two digits.
pub(crate) fn push_hex(byte: u8, out: &mut Vec<u8>) {
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

/// `byteain`.
pub(crate) fn parse(text: &str) -> Result<Bytes> {
    match text.strip_prefix("\\x") {
        Some(digits) => parse_hex(digits),
        None => parse_escape(text),
    }
    .map(Bytes::from)
}

/// Pairs of digits, blanks between them.
pub(crate) fn parse_hex(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut chars = text.chars();
    let digit = |c: char| {
        u8::try_from(c)
            .ok()
            .filter(u8::is_ascii)
            .and_then(hex_digit)
            .ok_or_else(|| Error::new("22023", format!("invalid hexadecimal digit: \"{c}\"")))
    };
    while let Some(first) = chars.next() {
        if matches!(first, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = digit(first)?;
        let second = chars
            .next()
            .ok_or_else(|| Error::new("22023", "invalid hexadecimal data: odd number of digits"))?;
        out.push((high << 4) | digit(second)?);
    }
    Ok(out)
}

/// `\\` and `\ooo`.
pub(crate) fn parse_escape(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                out.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                tail
            }
            (b'\\', _) => return Err(Error::new("22P02", "invalid input syntax for type bytea")),
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    Ok(out)
}

/// `byteaout`.
pub(crate) fn print(bytes: &[u8], escape: bool, out: &mut Vec<u8>) {
    if escape {
        print_escape(bytes, |byte| !(0x20..=0x7e).contains(&byte), out);
    } else {
        out.extend(b"\\x");
        for byte in bytes {
            push_hex(*byte, out);
        }
    }
}

/// With backslashes doubled, and in octal what `is_octal` says.
pub(crate) fn print_escape(bytes: &[u8], is_octal: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'\\' => out.extend(b"\\\\"),
            byte if is_octal(*byte) => out.extend(format!("\\{byte:03o}").as_bytes()),
            byte => out.push(*byte),
        }
    }
}
