//! Messages to the client.

use bytes::{BufMut as _, BytesMut};
use crossfade_values::{Oid, Result, Session, Types, Value, format};

use crate::{Column, report::Report};

/// Format codes as a Bind gives them: none (all text), one for all, or one each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Formats(pub(crate) Vec<u16>);

impl Formats {
    /// Whether value `index` is in binary.
    pub(crate) fn is_binary(&self, index: usize) -> bool {
        let code = match self.0[..] {
            [] => 0,
            [all] => all,
            ref each => each.get(index).copied().unwrap_or(0),
        };
        code == 1
    }
}

/// State of the transaction, for `ReadyForQuery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Idle,
    InBlock,
    Failed,
}

fn message(out: &mut BytesMut, kind: u8, fill: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    fill(out);
    set_length(out, at);
}

/// Writes the length of what begins at `at`, itself included.
fn set_length(out: &mut BytesMut, at: usize) {
    // A longer message is not sent: see `data_row`.
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_text(out: &mut BytesMut, text: &str) {
    let text = text.as_bytes();
    let end = text
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(text.len());
    out.put_slice(&text[..end]);
    out.put_u8(0);
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// A message without a body: `1` ParseComplete, `2` BindComplete, `3` CloseComplete, `I` EmptyQueryResponse, `n` NoData, `s` PortalSuspended.
pub(crate) fn empty(out: &mut BytesMut, kind: u8) {
    message(out, kind, |_| {});
}

/// An Authentication request.
pub(crate) fn authentication(out: &mut BytesMut, code: u32, data: &[u8]) {
    message(out, b'R', |out| {
        out.put_u32(code);
        out.put_slice(data);
    });
}

pub(crate) fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        put_text(out, name);
        put_text(out, value);
    });
}

pub(crate) fn backend_key(out: &mut BytesMut, process_id: i32, secret: i32) {
    message(out, b'K', |out| {
        out.put_i32(process_id);
        out.put_i32(secret);
    });
}

pub(crate) fn ready(out: &mut BytesMut, status: Status) {
    message(out, b'Z', |out| {
        out.put_u8(match status {
            Status::Idle => b'I',
            Status::InBlock => b'T',
            Status::Failed => b'E',
        });
    });
}

pub(crate) fn command_complete(out: &mut BytesMut, tag: &str) {
    message(out, b'C', |out| put_text(out, tag));
}

/// NegotiateProtocolVersion: 3.0 is the latest, and these options are not known.
pub(crate) fn negotiate(out: &mut BytesMut, options: &[&str]) {
    message(out, b'v', |out| {
        out.put_u32(3 << 16);
        out.put_u32(u32::try_from(options.len()).unwrap_or(0));
        for option in options {
            put_text(out, option);
        }
    });
}

pub(crate) fn parameter_description(out: &mut BytesMut, types: &[Oid]) {
    message(out, b't', |out| {
        put_count(out, types.len());
        types.iter().for_each(|&oid| out.put_u32(oid));
    });
}

/// Domains show their base types, as PostgreSQL does it.
pub(crate) fn row_description(out: &mut BytesMut, columns: &[Column], formats: &Formats) {
    message(out, b'T', |out| {
        put_count(out, columns.len());
        for (index, column) in columns.iter().enumerate() {
            put_text(out, &column.name);
            out.put_u32(column.table);
            out.put_i16(column.number);
            out.put_u32(column.base.oid);
            out.put_i16(format::type_length(column.base.oid));
            out.put_i32(column.base.modifier);
            out.put_u16(u16::from(formats.is_binary(index)));
        }
    });
}

/// `CopyInResponse` (`G`) or `CopyOutResponse` (`H`), of so many columns.
pub(crate) fn copy_response(out: &mut BytesMut, kind: u8, columns: usize, binary: bool) {
    message(out, kind, |out| {
        out.put_u8(u8::from(binary));
        put_count(out, columns);
        (0..columns).for_each(|_| out.put_u16(u16::from(binary)));
    });
}

/// `CopyData`.
pub(crate) fn copy_data(out: &mut BytesMut, data: &[u8]) {
    message(out, b'd', |out| out.put_slice(data));
}

/// A row in these formats. Nothing is left in `out` of a row that has an error.
///
/// # Errors
/// 0A000 for a type that has no binary form, 54000 for a row of a gigabyte.
pub(crate) fn data_row(
    out: &mut BytesMut,
    columns: &[Column],
    formats: &Formats,
    row: &[Value],
    types: &Types,
    session: &Session,
    scratch: &mut Vec<u8>,
) -> Result<()> {
    const MOST: usize = 0x3fff_ffff;
    let begin = out.len();
    out.put_u8(b'D');
    out.put_u32(0);
    put_count(out, columns.len());
    for (index, (column, value)) in columns.iter().zip(row).enumerate() {
        if value.is_null() {
            out.put_i32(-1);
            continue;
        }
        scratch.clear();
        if formats.is_binary(index) {
            if let Err(error) = format::send(column.base.oid, value, types, scratch) {
                out.truncate(begin);
                return Err(error);
            }
        } else {
            format::print(column.base.oid, value, types, session, scratch);
        }
        out.put_u32(u32::try_from(scratch.len()).unwrap_or(u32::MAX));
        out.put_slice(scratch);
        if out.len() - begin > MOST {
            out.truncate(begin);
            return Err(crossfade_values::Error::new(
                "54000",
                "a row is too large to be sent",
            ));
        }
    }
    set_length(out, begin + 1);
    Ok(())
}

/// An `ErrorResponse`, or a `NoticeResponse` for what is no error.
pub(crate) fn report(out: &mut BytesMut, report: &Report) {
    use crate::report::Severity;
    let kind = match report.severity {
        Severity::Notice | Severity::Warning => b'N',
        Severity::Error | Severity::Fatal => b'E',
    };
    let error = &report.error;
    let named = error.named.as_deref();
    let position = report.position.map(|position| position.to_string());
    message(out, kind, |out| {
        let severity = Some(report.severity.name());
        for (code, text) in [
            (b'S', severity),
            (b'V', severity),
            (b'C', Some(report.sqlstate())),
            (b'M', Some(&error.message[..])),
            (b'D', error.detail.as_deref()),
            (b'H', error.hint.as_deref()),
            (b'P', position.as_deref()),
            (b'W', error.context.as_ref().map(|context| &context.0[..])),
            (b's', named.map(|named| &named.schema[..])),
            (b't', named.map(|named| &named.table[..])),
            (b'c', named.and_then(|named| named.column.as_deref())),
            (b'd', named.and_then(|named| named.datatype.as_deref())),
            (b'n', named.and_then(|named| named.constraint.as_deref())),
        ] {
            if let Some(text) = text.filter(|text| !text.is_empty() || code == b'M') {
                out.put_u8(code);
                put_text(out, text);
            }
        }
        out.put_u8(0);
    });
}
