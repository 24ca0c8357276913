//! Messages of the client: taken apart, and put together for a server.

use bytes::{BufMut as _, BytesMut};

use super::{ProtocolError, take_cstr, take_i32, take_u16};

/// Parse.
#[derive(Debug)]
pub struct Parse<'a> {
    /// Name of the statement; empty is the unnamed one.
    pub name: &'a [u8],
    /// The SQL.
    pub sql: &'a [u8],
    /// Parameter types, 0 where unspecified.
    pub types: Vec<u32>,
}

impl<'a> Parse<'a> {
    /// Takes the body apart.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(mut body: &'a [u8]) -> Result<Parse<'a>, ProtocolError> {
        let bad = ProtocolError::Body { kind: b'P' };
        let name = take_cstr(&mut body).ok_or_else(|| bad.clone())?;
        let sql = take_cstr(&mut body).ok_or_else(|| bad.clone())?;
        let count = take_u16(&mut body).ok_or_else(|| bad.clone())?;
        if body.len() != usize::from(count) * 4 {
            return Err(bad);
        }
        let types = body
            .as_chunks()
            .0
            .iter()
            .map(|oid| u32::from_be_bytes(*oid))
            .collect();
        Ok(Parse { name, sql, types })
    }
}

/// Bind. Values borrow from the message.
#[derive(Debug)]
pub struct Bind<'a> {
    /// Portal; empty is the unnamed one.
    pub portal: &'a [u8],
    /// Statement; empty is the unnamed one.
    pub statement: &'a [u8],
    /// Format codes of the parameters: none, one for all, or one each.
    pub formats: Vec<u16>,
    /// Values; `None` is NULL.
    pub values: Vec<Option<&'a [u8]>>,
    /// Everything between the statement's name and the result formats, as sent.
    pub parameters: &'a [u8],
    /// Format codes of the result columns: none, one for all, or one each.
    pub results: Vec<u16>,
}

impl<'a> Bind<'a> {
    /// Takes the body apart.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Bind<'a>, ProtocolError> {
        Bind::take(body).ok_or(ProtocolError::Body { kind: b'B' })
    }

    fn take(mut body: &'a [u8]) -> Option<Bind<'a>> {
        let portal = take_cstr(&mut body)?;
        let statement = take_cstr(&mut body)?;
        let whole = body;
        let formats = take_codes(&mut body)?;
        let count = take_u16(&mut body)?;
        let mut values = Vec::with_capacity(usize::from(count).min(body.len()));
        for _ in 0..count {
            values.push(match usize::try_from(take_i32(&mut body)?) {
                Ok(length) if length <= body.len() => {
                    let (value, rest) = body.split_at(length);
                    body = rest;
                    Some(value)
                }
                Ok(_) => return None,
                Err(_) => None,
            });
        }
        let parameters = &whole[..whole.len() - body.len()];
        let results = take_codes(&mut body)?;
        body.is_empty().then_some(Bind {
            portal,
            statement,
            formats,
            values,
            parameters,
            results,
        })
    }

    /// The format of parameter `index`, counted from zero: 0 is text, 1 binary.
    #[must_use]
    pub fn format(&self, index: usize) -> u16 {
        match self.formats[..] {
            [] => 0,
            [all] => all,
            ref each => each.get(index).copied().unwrap_or(0),
        }
    }
}

fn take_codes(body: &mut &[u8]) -> Option<Vec<u16>> {
    let count = take_u16(body)?;
    (0..count).map(|_| take_u16(body)).collect()
}

/// Which of the two things a Describe or Close names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// Takes the body of a Describe or Close apart.
///
/// # Errors
/// When it is malformed.
pub fn read_target(kind: u8, body: &[u8]) -> Result<(Target, &[u8]), ProtocolError> {
    let bad = ProtocolError::Body { kind };
    let (target, mut rest) = match body.split_first() {
        Some((b'S', rest)) => (Target::Statement, rest),
        Some((b'P', rest)) => (Target::Portal, rest),
        _ => return Err(bad),
    };
    match take_cstr(&mut rest) {
        Some(name) if rest.is_empty() => Ok((target, name)),
        _ => Err(bad),
    }
}

/// Takes the body of an Execute apart: portal and most rows (0 is no limit).
///
/// # Errors
/// When it is malformed.
pub fn read_execute(mut body: &[u8]) -> Result<(&[u8], i32), ProtocolError> {
    let bad = ProtocolError::Body { kind: b'E' };
    let portal = take_cstr(&mut body).ok_or_else(|| bad.clone())?;
    match take_i32(&mut body) {
        Some(rows) if body.is_empty() => Ok((portal, rows)),
        _ => Err(bad),
    }
}

/// The SQL of a Query.
///
/// # Errors
/// When it is malformed.
pub fn read_query(mut body: &[u8]) -> Result<&[u8], ProtocolError> {
    match take_cstr(&mut body) {
        Some(sql) if body.is_empty() => Ok(sql),
        _ => Err(ProtocolError::Body { kind: b'Q' }),
    }
}

/// Appends a message whose body `fill` writes.
pub(crate) fn message(out: &mut BytesMut, kind: u8, fill: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    fill(out);
    // A body cannot be longer than the message it was made from, which the protocol holds below 1 GiB.
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_cstr(out: &mut BytesMut, text: &[u8]) {
    out.put_slice(text);
    out.put_u8(0);
}

fn put_codes(out: &mut BytesMut, codes: &[u16]) {
    // Counts come from a message, where they are 16 bits wide.
    out.put_u16(u16::try_from(codes.len()).unwrap_or(u16::MAX));
    codes.iter().for_each(|&code| out.put_u16(code));
}

/// Appends a Parse.
pub fn parse(out: &mut BytesMut, name: &[u8], sql: &[u8], types: &[u32]) {
    message(out, b'P', |out| {
        put_cstr(out, name);
        put_cstr(out, sql);
        out.put_u16(u16::try_from(types.len()).unwrap_or(u16::MAX));
        types.iter().for_each(|&oid| out.put_u32(oid));
    });
}

/// Appends a Bind whose parameters stand already in wire form.
pub fn bind(
    out: &mut BytesMut,
    portal: &[u8],
    statement: &[u8],
    parameters: &[u8],
    results: &[u16],
) {
    message(out, b'B', |out| {
        put_cstr(out, portal);
        put_cstr(out, statement);
        out.put_slice(parameters);
        put_codes(out, results);
    });
}

/// Appends a Describe (`kind` `D`) or Close (`C`).
pub fn target(out: &mut BytesMut, kind: u8, target: Target, name: &[u8]) {
    message(out, kind, |out| {
        out.put_u8(match target {
            Target::Statement => b'S',
            Target::Portal => b'P',
        });
        put_cstr(out, name);
    });
}

/// Appends an Execute.
pub fn execute(out: &mut BytesMut, portal: &[u8], rows: i32) {
    message(out, b'E', |out| {
        put_cstr(out, portal);
        out.put_i32(rows);
    });
}

/// Appends a Query.
pub fn query(out: &mut BytesMut, sql: &[u8]) {
    message(out, b'Q', |out| put_cstr(out, sql));
}

/// Appends `CopyData`.
pub fn copy_data(out: &mut BytesMut, data: &[u8]) {
    message(out, b'd', |out| out.put_slice(data));
}

/// Appends a Sync.
pub fn sync(out: &mut BytesMut) {
    message(out, b'S', |_| {});
}

/// Appends a Flush.
pub fn flush(out: &mut BytesMut) {
    message(out, b'H', |_| {});
}
