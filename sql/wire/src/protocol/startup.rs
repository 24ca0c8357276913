//! The first packets of a connection, which have no kind.

use bytes::{Buf as _, Bytes};

use crate::report::{Report, Result};

/// Longest startup packet that PostgreSQL takes.
pub(crate) const MOST: usize = 10_000;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// A first packet.
#[derive(Debug)]
pub(crate) enum Startup {
    /// A request to encrypt, by TLS or GSSAPI.
    Encrypt,
    /// Process id and secret of the session that is to stop what it does.
    Cancel(i32, i32),
    Start {
        /// Of protocol 3.
        minor: u32,
        parameters: Vec<(String, String)>,
    },
}

impl Startup {
    /// Reads a packet's body.
    ///
    /// # Errors
    /// When it is malformed, or of a protocol that is not spoken.
    pub(crate) fn read(mut body: Bytes) -> Result<Startup> {
        let layout = || {
            Report::fatal(
                "08P01",
                "invalid startup packet layout: expected terminator as last byte",
            )
        };
        match body.try_get_u32().map_err(|_| layout())? {
            SSL | GSSENC => Ok(Startup::Encrypt),
            CANCEL if body.len() == 8 => Ok(Startup::Cancel(body.get_i32(), body.get_i32())),
            CANCEL => Err(Report::fatal("08P01", "invalid length of startup packet")),
            version if version >> 16 != 3 => {
                let told = format!(
                    "unsupported frontend protocol {}.{}: server supports 3.0 to 3.0",
                    version >> 16,
                    version & 0xffff
                );
                Err(Report::fatal("0A000", told))
            }
            version => Ok(Startup::Start {
                minor: version & 0xffff,
                parameters: parameters(&body).ok_or_else(layout)?,
            }),
        }
    }
}

fn parameters(mut body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut next = || {
        let end = body.iter().position(|&byte| byte == 0)?;
        let text = String::from_utf8_lossy(&body[..end]).into_owned();
        body = &body[end + 1..];
        Some(text)
    };
    let mut parameters = Vec::new();
    loop {
        let name = next()?;
        if name.is_empty() {
            return Some(parameters);
        }
        parameters.push((name, next()?));
    }
}

/// The settings in a startup packet's `options`: `-c name=value`, `--name=value`, a backslash before a blank that belongs to the value.
pub(crate) fn options(text: &str) -> Result<Vec<(String, String)>> {
    let mut words = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, words.last_mut()) {
            ('\\', Some(word)) => word.extend(letters.next()),
            (blank, _) if blank.is_whitespace() => words.push(String::new()),
            (_, Some(word)) => word.push(letter),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next().unwrap_or_default(),
            Some(rest) => rest.to_owned(),
            None => {
                let told = format!("invalid command-line argument for server process: {word}");
                return Err(Report::fatal("42601", told));
            }
        };
        let Some((name, value)) = assignment.split_once('=') else {
            let told = format!("-c {assignment} requires a value");
            return Err(Report::fatal("42601", told));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_postgresql_reads_its_command_line() {
        let read = options("-c statement_timeout=5s --search-path=a\\ b -cjit=off").unwrap();
        let read: Vec<(&str, &str)> = read.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        assert_eq!(
            read,
            [
                ("statement_timeout", "5s"),
                ("search_path", "a b"),
                ("jit", "off")
            ]
        );
        assert!(options("-x").is_err());
    }
}
