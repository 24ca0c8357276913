//! Messages of the client, as bytes.

use bytes::{BufMut, Bytes, BytesMut};

/// A message of type `tag`; the length is filled in.
#[must_use]
pub fn message(tag: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(body.len() + 5);
    bytes.put_u8(tag);
    put_length(&mut bytes, body.len());
    bytes.put_slice(body);
    bytes.freeze()
}

/// A message without a type: startup, and what may come instead of it.
#[must_use]
pub fn untyped(body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(body.len() + 4);
    put_length(&mut bytes, body.len());
    bytes.put_slice(body);
    bytes.freeze()
}

/// StartupMessage of protocol 3.0.
#[must_use]
pub fn startup(params: &[(&str, &str)]) -> Bytes {
    let mut body = BytesMut::from(&[0, 3, 0, 0][..]);
    for (name, value) in params {
        put_text(&mut body, name);
        put_text(&mut body, value);
    }
    body.put_u8(0);
    untyped(&body)
}

/// SSLRequest.
#[must_use]
pub fn ssl_request() -> Bytes {
    untyped(&80_877_103_u32.to_be_bytes())
}

/// GSSENCRequest.
#[must_use]
pub fn gssenc_request() -> Bytes {
    untyped(&80_877_104_u32.to_be_bytes())
}

/// CancelRequest, with the body of a BackendKeyData.
#[must_use]
pub fn cancel_request(key_data: &[u8]) -> Bytes {
    untyped(&[&80_877_102_u32.to_be_bytes(), key_data].concat())
}

/// PasswordMessage.
#[must_use]
pub fn password(password: &[u8]) -> Bytes {
    message(b'p', &[password, b"\0"].concat())
}

/// Query.
#[must_use]
pub fn query(sql: &str) -> Bytes {
    message(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

/// Parse, with the types of the first parameters.
#[must_use]
pub fn parse(name: &str, sql: &str, types: &[u32]) -> Bytes {
    let mut body = BytesMut::new();
    put_text(&mut body, name);
    put_text(&mut body, sql);
    put_count(&mut body, types.len());
    types.iter().for_each(|oid| body.put_u32(*oid));
    message(b'P', &body)
}

/// Bind with text parameters and text results.
#[must_use]
pub fn bind(portal: &str, statement: &str, params: &[Option<&str>]) -> Bytes {
    let params: Vec<Option<&[u8]>> = params
        .iter()
        .map(|param| param.map(str::as_bytes))
        .collect();
    bind_formats(portal, statement, &[], &params, &[])
}

/// Bind with formats: 0 is text, 1 is binary; none, one for all, or one each.
#[must_use]
pub fn bind_formats(
    portal: &str,
    statement: &str,
    formats: &[u16],
    params: &[Option<&[u8]>],
    results: &[u16],
) -> Bytes {
    let mut body = BytesMut::new();
    put_text(&mut body, portal);
    put_text(&mut body, statement);
    put_count(&mut body, formats.len());
    formats.iter().for_each(|format| body.put_u16(*format));
    put_count(&mut body, params.len());
    for param in params {
        put_value(&mut body, *param);
    }
    put_count(&mut body, results.len());
    results.iter().for_each(|format| body.put_u16(*format));
    message(b'B', &body)
}

/// Describe of a statement.
#[must_use]
pub fn describe_statement(name: &str) -> Bytes {
    named(b'D', b'S', name)
}

/// Describe of a portal.
#[must_use]
pub fn describe_portal(name: &str) -> Bytes {
    named(b'D', b'P', name)
}

/// Execute; 0 rows means all.
#[must_use]
pub fn execute(portal: &str, rows: u32) -> Bytes {
    let mut body = BytesMut::new();
    put_text(&mut body, portal);
    body.put_u32(rows);
    message(b'E', &body)
}

/// Close of a statement.
#[must_use]
pub fn close_statement(name: &str) -> Bytes {
    named(b'C', b'S', name)
}

/// Close of a portal.
#[must_use]
pub fn close_portal(name: &str) -> Bytes {
    named(b'C', b'P', name)
}

/// Sync.
#[must_use]
pub fn sync() -> Bytes {
    message(b'S', b"")
}

/// Flush.
#[must_use]
pub fn flush() -> Bytes {
    message(b'H', b"")
}

/// Terminate.
#[must_use]
pub fn terminate() -> Bytes {
    message(b'X', b"")
}

/// CopyData.
#[must_use]
pub fn copy_data(data: &[u8]) -> Bytes {
    message(b'd', data)
}

/// CopyDone.
#[must_use]
pub fn copy_done() -> Bytes {
    message(b'c', b"")
}

/// CopyFail.
#[must_use]
pub fn copy_fail(reason: &str) -> Bytes {
    message(b'f', &[reason.as_bytes(), b"\0"].concat())
}

/// FunctionCall with text arguments and a text result.
#[must_use]
pub fn function_call(oid: u32, args: &[Option<&str>]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u32(oid);
    body.put_u16(0);
    put_count(&mut body, args.len());
    for arg in args {
        put_value(&mut body, arg.map(str::as_bytes));
    }
    body.put_u16(0);
    message(b'F', &body)
}

fn named(tag: u8, kind: u8, name: &str) -> Bytes {
    message(tag, &[&[kind], name.as_bytes(), b"\0"].concat())
}

fn put_length(bytes: &mut BytesMut, body: usize) {
    bytes.put_u32(u32::try_from(body + 4).unwrap());
}

fn put_count(bytes: &mut BytesMut, count: usize) {
    bytes.put_u16(u16::try_from(count).unwrap());
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.put_slice(text.as_bytes());
    bytes.put_u8(0);
}

fn put_value(bytes: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            bytes.put_u32(u32::try_from(value.len()).unwrap());
            bytes.put_slice(value);
        }
        None => bytes.put_i32(-1),
    }
}
