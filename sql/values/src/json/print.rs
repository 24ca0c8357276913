//! The text form of `jsonb`.

use crate::Json;

/// `jsonb_out`: a blank after each colon and comma.
pub(crate) fn print(json: &Json, out: &mut Vec<u8>) {
    match json {
        Json::Null => out.extend(b"null"),
        Json::Bool(true) => out.extend(b"true"),
        Json::Bool(false) => out.extend(b"false"),
        Json::Number(number) => out.extend(number.to_string().as_bytes()),
        Json::String(text) => quote(text, out),
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.extend(b", ");
                }
                print(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.extend(b", ");
                }
                quote(key, out);
                out.extend(b": ");
                print(value, out);
            }
            out.push(b'}');
        }
    }
}

/// As text.
pub(crate) fn to_text(json: &Json) -> String {
    let mut out = Vec::new();
    print(json, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// `escape_json`.
pub(crate) fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0..=0x1f => out.extend(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// `jsonb_pretty`.
pub(crate) fn pretty(json: &Json, level: usize, out: &mut Vec<u8>) {
    let indent = |level: usize, out: &mut Vec<u8>| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 4 * level));
    };
    match json {
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                indent(level + 1, out);
                pretty(item, level + 1, out);
            }
            indent(level, out);
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                indent(level + 1, out);
                quote(key, out);
                out.extend(b": ");
                pretty(value, level + 1, out);
            }
            indent(level, out);
            out.push(b'}');
        }
        scalar => print(scalar, out),
    }
}
