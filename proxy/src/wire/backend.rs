//! Messages of a server: taken apart, changed, and put together for a client.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{ProtocolError, frontend::message, take_cstr, take_i32, take_u16};

/// A transaction's state as `ReadyForQuery` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not in a transaction block.
    Idle,
    /// In a transaction block.
    InBlock,
    /// In a transaction block that failed.
    Failed,
}

impl Status {
    /// Reads the one byte of a `ReadyForQuery`.
    #[must_use]
    pub fn read(byte: u8) -> Option<Status> {
        match byte {
            b'I' => Some(Status::Idle),
            b'T' => Some(Status::InBlock),
            b'E' => Some(Status::Failed),
            _ => None,
        }
    }
}

/// One field of an error or notice.
#[must_use]
pub fn error_field(mut body: &[u8], code: u8) -> Option<String> {
    while let Some((&kind, rest)) = body.split_first() {
        body = rest;
        if kind == 0 {
            return None;
        }
        let value = take_cstr(&mut body)?;
        if kind == code {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
    }
    None
}

/// Appends an `ErrorResponse`.
pub fn error(
    out: &mut BytesMut,
    severity: &str,
    sqlstate: &str,
    text: &str,
    detail: Option<&str>,
    hint: Option<&str>,
) {
    message(out, b'E', |out| {
        let mut field = |code: u8, value: &str| {
            out.put_u8(code);
            out.put_slice(value.replace('\0', " ").as_bytes());
            out.put_u8(0);
        };
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', sqlstate);
        field(b'M', text);
        if let Some(detail) = detail {
            field(b'D', detail);
        }
        if let Some(hint) = hint {
            field(b'H', hint);
        }
        out.put_u8(0);
    });
}

/// Appends a `ParameterStatus`.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        for text in [name, value] {
            out.put_slice(text.as_bytes());
            out.put_u8(0);
        }
    });
}

/// Appends a message without a body.
pub fn empty(out: &mut BytesMut, kind: u8) {
    message(out, kind, |_| {});
}

/// Appends a message with this body.
pub fn with_body(out: &mut BytesMut, kind: u8, body: &[u8]) {
    message(out, kind, |out| out.put_slice(body));
}

/// Splits the last `strip` fields off a `RowDescription`. The first part is what the client asked for: its fields as a body of
/// their own, or `None` when there are none.
///
/// # Errors
/// When the body is malformed or has fewer fields.
pub fn strip_description(body: &[u8], strip: usize) -> Result<Option<BytesMut>, ProtocolError> {
    let bad = ProtocolError::Body { kind: b'T' };
    let mut rest = body;
    let fields = usize::from(take_u16(&mut rest).ok_or_else(|| bad.clone())?);
    let keep = fields.checked_sub(strip).ok_or_else(|| bad.clone())?;
    if keep == 0 {
        return Ok(None);
    }
    let begin = rest;
    for _ in 0..keep {
        take_cstr(&mut rest).ok_or_else(|| bad.clone())?;
        rest = rest.get(18..).ok_or_else(|| bad.clone())?;
    }
    let kept = &begin[..begin.len() - rest.len()];
    let mut out = BytesMut::with_capacity(2 + kept.len());
    out.put_u16(u16::try_from(keep).map_err(|_| bad)?);
    out.put_slice(kept);
    Ok(Some(out))
}

/// The types in a `ParameterDescription`.
///
/// # Errors
/// When the body is malformed.
pub fn parameter_types(mut body: &[u8]) -> Result<Vec<u32>, ProtocolError> {
    let count = take_u16(&mut body).map(usize::from);
    let (types, rest) = body.as_chunks();
    if count == Some(types.len()) && rest.is_empty() {
        Ok(types.iter().map(|oid| u32::from_be_bytes(*oid)).collect())
    } else {
        Err(ProtocolError::Body { kind: b't' })
    }
}

/// A `DataRow` split into what the client asked for and what was appended for the images.
#[derive(Debug)]
pub struct SplitRow {
    /// The client's columns, as they lie in the message (without the count).
    pub kept: Bytes,
    /// How many those are.
    pub count: u16,
    /// The appended values; `None` is NULL.
    pub appended: Vec<Option<Bytes>>,
}

/// Splits the last `appended` values off a `DataRow`.
///
/// # Errors
/// When the body is malformed or has fewer columns.
pub fn split_row(mut body: Bytes, appended: usize) -> Result<SplitRow, ProtocolError> {
    let bad = || ProtocolError::Body { kind: b'D' };
    let mut rest = &body[..];
    let columns = take_u16(&mut rest).ok_or_else(bad)?;
    let count = u16::try_from(appended)
        .ok()
        .and_then(|appended| columns.checked_sub(appended))
        .ok_or_else(bad)?;
    for _ in 0..count {
        let length = take_i32(&mut rest).ok_or_else(bad)?;
        rest = rest
            .get(usize::try_from(length).unwrap_or(0)..)
            .ok_or_else(bad)?;
    }
    let at = body.len() - rest.len();
    let mut tail = body.split_off(at);
    body.advance(2);
    let mut values = Vec::with_capacity(appended);
    for _ in 0..appended {
        if tail.len() < 4 {
            return Err(bad());
        }
        values.push(match usize::try_from(tail.get_i32()) {
            Ok(length) if length <= tail.len() => Some(tail.split_to(length)),
            Ok(_) => return Err(bad()),
            Err(_) => None,
        });
    }
    Ok(SplitRow {
        kept: body,
        count,
        appended: values,
    })
}

/// Appends the client's part of a split row as a `DataRow`.
pub fn kept_row(out: &mut BytesMut, row: &SplitRow) {
    message(out, b'D', |out| {
        out.put_u16(row.count);
        out.put_slice(&row.kept);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_split_into_the_clients_part_and_the_image() {
        let mut body = BytesMut::new();
        body.put_u16(3);
        for value in [Some(&b"one"[..]), None, Some(b"image")] {
            match value {
                Some(value) => {
                    body.put_i32(i32::try_from(value.len()).unwrap());
                    body.put_slice(value);
                }
                None => body.put_i32(-1),
            }
        }
        let row = split_row(body.clone().freeze(), 2).unwrap();
        assert_eq!((row.count, &row.kept[..]), (1, &b"\0\0\0\x03one"[..]));
        assert_eq!(row.appended, [None, Some(Bytes::from_static(b"image"))]);
        assert!(split_row(body.freeze(), 4).is_err());
    }

    #[test]
    fn a_description_without_fields_of_the_client_is_none() {
        let mut body = BytesMut::new();
        body.put_u16(2);
        for name in [&b"total"[..], b"crossfade"] {
            body.put_slice(name);
            body.put_bytes(0, 19);
        }
        let kept = strip_description(&body, 1).unwrap().unwrap();
        assert_eq!(&kept[..8], b"\0\x01total\0");
        assert_eq!(kept.len(), 2 + 6 + 18);
        assert!(strip_description(&body, 2).unwrap().is_none());
        assert!(strip_description(&body, 3).is_err());
    }
}
