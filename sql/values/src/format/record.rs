//! The text form of rows.

use crate::{Oid, Session, Types, Value};

/// `record_out`.
pub(super) fn print(columns: &[(Oid, Value)], types: &Types, session: &Session, out: &mut Vec<u8>) {
    out.push(b'(');
    for (index, (ty, value)) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if value.is_null() {
            continue;
        }
        let mut text = Vec::new();
        super::print(*ty, value, types, session, &mut text);
        let is_special = |byte: &u8| {
            matches!(
                byte,
                b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r'
            )
        };
        if !text.is_empty() && !text.iter().any(is_special) {
            out.extend(text);
            continue;
        }
        out.push(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b')');
}
