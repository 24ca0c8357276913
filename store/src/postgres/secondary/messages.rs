//! Messages, written without a copy of their own.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::postgres::sql::ParamKind;

/// A Bind of the unnamed portal.
pub(super) fn put_bind(
    out: &mut BytesMut,
    name: &str,
    params: &[ParamKind],
    values: &[Option<Bytes>],
) {
    // A table has at most 1,600 columns, so the counts fit.
    let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
    put(out, b'B', |out| {
        out.put_u8(0);
        out.put_slice(name.as_bytes());
        out.put_u8(0);
        out.put_u16(count);
        for kind in params {
            out.put_u16(u16::from(matches!(kind, ParamKind::Binary(_))));
        }
        out.put_u16(count);
        for value in values {
            match value {
                Some(value) => {
                    // Values come out of a message, whose length is a positive i32.
                    out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
                    out.put_slice(value);
                }
                None => out.put_i32(-1),
            }
        }
        out.put_u16(0);
    });
}

/// A message of this kind, filled by `fill`.
pub(super) fn put(out: &mut BytesMut, kind: u8, fill: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    fill(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}
