//! Messages of the client, taken apart.

use bytes::{Buf as _, Bytes};
use crossfade_values::Oid;

use super::backend::Formats;
use crate::report::{Report, Result};

/// A message.
#[derive(Debug)]
pub(crate) enum Message {
    Query(Bytes),
    Parse(Parse),
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        most_rows: usize,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    /// FunctionCall.
    Call,
    /// Data of a copy that has ended: ignored, as PostgreSQL does.
    Copy,
    /// An answer to a request for authentication.
    Password(Bytes),
}

/// Parse.
#[derive(Debug)]
pub(crate) struct Parse {
    pub(crate) name: String,
    pub(crate) sql: Bytes,
    /// 0 for a type that is left open.
    pub(crate) types: Vec<Oid>,
}

/// Bind.
#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) formats: Formats,
    /// `None` is NULL.
    pub(crate) values: Vec<Option<Bytes>>,
    pub(crate) results: Formats,
}

/// What a Describe or Close names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

impl Message {
    /// Reads a message of this kind.
    ///
    /// # Errors
    /// 08P01 when it is malformed; a kind that is none ends the session.
    pub(crate) fn read(kind: u8, body: Bytes) -> Result<Message> {
        let mut body = Body(body);
        let message = match kind {
            b'Q' => Message::Query(body.text()?),
            b'P' => Message::Parse(Parse {
                name: body.name()?,
                sql: body.text()?,
                types: body.many(Body::u32)?,
            }),
            b'B' => Message::Bind(Bind {
                portal: body.name()?,
                statement: body.name()?,
                formats: Formats(body.many(Body::u16)?),
                values: body.many(Body::value)?,
                results: Formats(body.many(Body::u16)?),
            }),
            b'D' => Message::Describe(body.target("DESCRIBE")?),
            b'E' => Message::Execute {
                portal: body.name()?,
                most_rows: usize::try_from(body.u32()?.cast_signed()).unwrap_or(0),
            },
            b'C' => Message::Close(body.target("CLOSE")?),
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => return Ok(Message::Terminate),
            b'F' => return Ok(Message::Call),
            b'd' | b'c' | b'f' => return Ok(Message::Copy),
            b'p' => return Ok(Message::Password(body.0)),
            kind => {
                let told = format!("invalid frontend message type {kind}");
                return Err(Report::fatal("08P01", told));
            }
        };
        if body.0.is_empty() {
            Ok(message)
        } else {
            Err(Report::protocol("invalid message format"))
        }
    }
}

struct Body(Bytes);

impl Body {
    fn short() -> Report {
        Report::protocol("insufficient data left in message")
    }

    fn text(&mut self) -> Result<Bytes> {
        let end = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .ok_or_else(|| Report::protocol("invalid string in message"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        Ok(text)
    }

    fn name(&mut self) -> Result<String> {
        let name = self.text()?;
        utf8(&name).map(str::to_owned)
    }

    fn u16(&mut self) -> Result<u16> {
        self.0.try_get_u16().map_err(|_| Body::short())
    }

    fn u32(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(|_| Body::short())
    }

    fn value(&mut self) -> Result<Option<Bytes>> {
        match usize::try_from(self.u32()?.cast_signed()) {
            Ok(length) if length <= self.0.len() => Ok(Some(self.0.split_to(length))),
            Ok(_) => Err(Body::short()),
            Err(_) => Ok(None),
        }
    }

    fn many<T>(&mut self, read: impl Fn(&mut Body) -> Result<T>) -> Result<Vec<T>> {
        let count = self.u16()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn target(&mut self, message: &str) -> Result<Target> {
        let kind = self.0.try_get_u8().map_err(|_| Body::short())?;
        let name = self.name()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            kind => {
                let told = format!("invalid {message} message subtype {kind}");
                Err(Report::protocol(told))
            }
        }
    }
}

/// Text as the client's encoding has it.
///
/// # Errors
/// 22021, in PostgreSQL's words.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let bad: Vec<String> = bytes[error.valid_up_to()..]
            .iter()
            .take(error.error_len().unwrap_or(bytes.len()))
            .map(|byte| format!("0x{byte:02x}"))
            .collect();
        let told = format!(
            "invalid byte sequence for encoding \"UTF8\": {}",
            bad.join(" ")
        );
        Report::new("22021", told)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_read_with_its_nulls_and_formats() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\0";
        let Ok(Message::Bind(bind)) = Message::read(b'B', Bytes::from_static(body)) else {
            panic!()
        };
        assert_eq!((&bind.portal[..], &bind.statement[..]), ("p", "s"));
        assert_eq!(bind.values, [Some(Bytes::from_static(b"a")), None]);
        assert!(bind.formats.is_binary(1) && !bind.results.is_binary(0));
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        for (kind, body) in [
            (b'B', &b"p\0s\0\0\x01"[..]),
            (b'B', b"p\0s\0\0\0\0\x01\0\0\0\x09a\0\0"),
            (b'Q', b"SELECT 1"),
            (b'S', b"x"),
            (b'D', b"Xname\0"),
        ] {
            let read = Message::read(kind, Bytes::from_static(body));
            assert_eq!(read.unwrap_err().sqlstate(), "08P01");
        }
    }
}
