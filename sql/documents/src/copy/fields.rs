//! From a line to its fields (`CopyReadAttributesText`, `CopyReadAttributesCSV`).

use crossfade_values::Result;

use super::{Options, bad, utf8};

/// The fields of a line; `None` is NULL.
pub(crate) fn split(line: &str, options: &Options) -> Result<Vec<Option<String>>> {
    if options.is_csv() {
        csv(line.as_bytes(), options)
    } else {
        text(line.as_bytes(), options)
    }
}

fn owned(field: Vec<u8>) -> Result<String> {
    utf8(&field)?;
    // It was looked at just now.
    Ok(String::from_utf8_lossy(&field).into_owned())
}

fn text(line: &[u8], options: &Options) -> Result<Vec<Option<String>>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (raw, next) = cut(rest, options.delimiter);
        fields.push(if raw == options.null.as_bytes() {
            None
        } else if raw.contains(&b'\\') {
            Some(owned(unescaped(raw))?)
        } else {
            Some(String::from_utf8_lossy(raw).into_owned())
        });
        match next {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// A field, and what follows its delimiter. A backslash takes a delimiter along.
fn cut(line: &[u8], delimiter: u8) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        if byte == delimiter {
            return (&line[..at], Some(&line[at + 1..]));
        }
        at += if byte == b'\\' { 2 } else { 1 };
    }
    (line, None)
}

fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next() } else { None };
        let Some(escaped) = escaped else {
            field.push(byte);
            continue;
        };
        field.push(match escaped {
            b'0'..=b'7' => number(&mut bytes, u32::from(escaped - b'0'), 8),
            b'x' => {
                let hex = bytes.peek().is_some_and(u8::is_ascii_hexdigit);
                if hex { number(&mut bytes, 0, 16) } else { b'x' }
            }
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        });
    }
    field
}

/// A byte by its digits, of which up to two are to come.
fn number(bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>, first: u32, radix: u32) -> u8 {
    let mut value = first;
    for _ in 0..2 {
        let digit = bytes
            .peek()
            .and_then(|byte| char::from(*byte).to_digit(radix));
        let Some(digit) = digit else { break };
        value = value * radix + digit;
        bytes.next();
    }
    // As PostgreSQL does it: `\777` is `\377`.
    u8::try_from(value & 0xff).unwrap_or_default()
}

fn csv(line: &[u8], options: &Options) -> Result<Vec<Option<String>>> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let begin = at;
        let (mut field, mut quoted, mut ends) = (Vec::new(), false, true);
        while let Some(&byte) = line.get(at) {
            at += 1;
            if byte == options.delimiter {
                ends = false;
                break;
            }
            if byte == options.quote {
                quoted = true;
                at = within_quotes(line, at, options, &mut field)?;
            } else {
                field.push(byte);
            }
        }
        let end = if ends { at } else { at - 1 };
        let is_null = !quoted && line[begin..end] == *options.null.as_bytes();
        fields.push(if is_null { None } else { Some(owned(field)?) });
        if ends {
            return Ok(fields);
        }
    }
}

/// Up to the quote that ends it; where the rest begins.
fn within_quotes(
    line: &[u8],
    mut at: usize,
    options: &Options,
    field: &mut Vec<u8>,
) -> Result<usize> {
    loop {
        let Some(&byte) = line.get(at) else {
            return Err(bad("unterminated CSV quoted field"));
        };
        at += 1;
        let next = line.get(at).copied();
        if byte == options.escape
            && let Some(next) =
                next.filter(|next| *next == options.escape || *next == options.quote)
        {
            field.push(next);
            at += 1;
        } else if byte == options.quote {
            return Ok(at);
        } else {
            field.push(byte);
        }
    }
}
