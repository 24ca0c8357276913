//! `bytea`, and text as bytes.

use bytes::Bytes;
use md5::{Digest as _, Md5};

use crate::{
    Error, Result, Value,
    format::bytea::{parse_escape, parse_hex, print_escape, push_hex},
    resolve::{Call, Scope},
};

use super::{
    super::{bytea, int, text},
    count, cut,
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "byteaoctetlen" => |_, args| count(bytea(args, 0)?.len()),
        "bit_length(bytea)" => |_, args| count(bytea(args, 0)?.len() * 8),
        "byteacat" => |_, args| {
            Ok(Value::Bytes(
                [&bytea(args, 0)?[..], &bytea(args, 1)?[..]].concat().into(),
            ))
        },
        "bytea_substr_no_len" => |_, args| part(bytea(args, 0)?, int(args, 1)?, None),
        "bytea_substr" => |_, args| part(bytea(args, 0)?, int(args, 1)?, Some(int(args, 2)?)),
        "md5_text" => |_, args| Ok(Value::text(md5(text(args, 0)?.as_bytes()))),
        "md5_bytea" => |_, args| Ok(Value::text(md5(bytea(args, 0)?))),
        "binary_encode" => encode,
        "binary_decode" => decode,
        "byteaGetByte" => |_, args| {
            let (bytes, index) = (bytea(args, 0)?, int(args, 1)?);
            let found = usize::try_from(index)
                .ok()
                .and_then(|index| bytes.get(index));
            found
                .map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| {
                    let last = i64::try_from(bytes.len()).unwrap_or(i64::MAX) - 1;
                    Error::new(
                        "2202E",
                        format!("index {index} out of valid range, 0..{last}"),
                    )
                })
        },
        _ => return None,
    })
}

fn part(bytes: &Bytes, start: i64, length: Option<i64>) -> Result<Value> {
    let (first, end) = cut::bounds(start, length)?;
    let end = end.min(bytes.len());
    Ok(Value::Bytes(if first < end {
        bytes.slice(first..end)
    } else {
        Bytes::new()
    }))
}

fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| push_hex(*byte, &mut out));
    String::from_utf8(out).unwrap_or_default()
}

fn unknown(name: &str) -> Error {
    Error::new("22023", format!("unrecognized encoding: \"{name}\""))
}

fn encode(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (bytes, name) = (bytea(args, 0)?, text(args, 1)?);
    Ok(Value::text(match name.to_ascii_lowercase().as_str() {
        "hex" => hex(bytes),
        "base64" => base64(bytes),
        "escape" => {
            let mut out = Vec::new();
            print_escape(bytes, |byte| byte == 0 || byte >= 0x80, &mut out);
            String::from_utf8(out).unwrap_or_default()
        }
        "base64url" => return Err(Error::unsupported("the encoding base64url")),
        _ => return Err(unknown(name)),
    }))
}

fn decode(_: Scope<'_>, args: &[Value]) -> Result<Value> {
    let (data, name) = (text(args, 0)?, text(args, 1)?);
    let bytes = match name.to_ascii_lowercase().as_str() {
        "hex" => parse_hex(data)?,
        "base64" => from_base64(data)?,
        "escape" => parse_escape(data)?,
        "base64url" => return Err(Error::unsupported("the encoding base64url")),
        _ => return Err(unknown(name)),
    };
    Ok(Value::Bytes(bytes.into()))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Characters of a line, as in MIME.
const LINE: usize = 76;

fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (index, group) in bytes.chunks(3).enumerate() {
        if index > 0 && (index * 4).is_multiple_of(LINE) {
            out.push('\n');
        }
        let bits = group
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte));
        for place in 0..4 {
            let digit = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or(0);
            out.push(if place <= group.len() {
                char::from(ALPHABET[digit])
            } else {
                '='
            });
        }
    }
    // The last line, when full, ends too.
    if !bytes.is_empty() && bytes.len().is_multiple_of(LINE / 4 * 3) {
        out.push('\n');
    }
    out
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held, mut padding) = (0u32, 0, 0);
    for c in text.chars() {
        let digit = match c {
            ' ' | '\t' | '\n' | '\r' => continue,
            '=' => {
                if padding == 0 && held < 2 {
                    return Err(Error::new(
                        "22023",
                        "unexpected \"=\" while decoding base64 sequence",
                    ));
                }
                padding += 1;
                0
            }
            _ => ALPHABET
                .iter()
                .position(|known| char::from(*known) == c)
                .ok_or_else(|| {
                    Error::new(
                        "22023",
                        format!("invalid symbol \"{c}\" found while decoding base64 sequence"),
                    )
                })?,
        };
        bits = (bits << 6) | u32::try_from(digit).unwrap_or(0);
        held += 1;
        if held == 4 {
            let bytes = bits.to_be_bytes();
            out.extend(&bytes[1..4 - padding.min(2)]);
            (bits, held) = (0, 0);
        }
    }
    if held != 0 {
        return Err(Error::new("22023", "invalid base64 end sequence")
            .hint("Input data is missing padding, is truncated, or is otherwise corrupted."));
    }
    Ok(out)
}
