//! The data of COPY: its options, and the way from bytes to rows and back.

mod binary;
mod fields;
mod input;
mod lines;
mod options;
mod out;

pub(crate) use input::{Input, Record};
pub(crate) use lines::Next;
pub(crate) use options::{Force, Format, Header, Options};
pub(crate) use out::CopyOut;

use crossfade_values::Error;

/// Longest row of the data. No document takes more than 16 MB; what is written in full, quoted and escaped may be four times that.
const LONGEST: usize = 64 << 20;

/// 53200 for what is longer.
fn too_long(what: &str) -> Error {
    let told = format!("A {what} of the data takes more than {} MB.", LONGEST >> 20);
    Error::new("53200", "out of memory").detail(told)
}

/// 22P04, as PostgreSQL has it for data that it cannot make rows of.
fn bad(message: impl Into<String>) -> Error {
    Error::new("22P04", message)
}

/// Bytes as text.
///
/// # Errors
/// 22021, in PostgreSQL's words.
fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    let wrong = match std::str::from_utf8(bytes) {
        Err(error) => error.valid_up_to(),
        Ok(text) => match text.find('\0') {
            Some(at) => at,
            None => return Ok(text),
        },
    };
    let length = match bytes[wrong] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    let shown: Vec<String> = bytes[wrong..]
        .iter()
        .take(length)
        .map(|byte| format!("0x{byte:02x}"))
        .collect();
    let told = format!(
        "invalid byte sequence for encoding \"UTF8\": {}",
        shown.join(" ")
    );
    Err(Error::new("22021", told))
}

/// A value in a context, cut where PostgreSQL cuts it.
fn shown(value: &str) -> String {
    const MOST: usize = 100;
    if value.len() <= MOST {
        return value.to_owned();
    }
    let end = (0..=MOST)
        .rev()
        .find(|at| value.is_char_boundary(*at))
        .unwrap_or_default();
    format!("{}...", &value[..end])
}

/// `COPY t, line 3`, with the line itself where it is known.
pub(crate) fn context(table: &str, number: u64, line: Option<&str>) -> String {
    match line {
        Some(line) => format!("COPY {table}, line {number}: \"{}\"", shown(line)),
        None => format!("COPY {table}, line {number}"),
    }
}
