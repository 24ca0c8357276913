//! Names and constants between their SQL spelling and their value.

use super::lexer::{Token, TokenKind};

/// What a name in double quotes stands for.
pub(super) fn unquote(quoted: &[u8]) -> Vec<u8> {
    let inner = &quoted[1..quoted.len() - 1];
    let mut name = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        name.push(byte);
        if byte == b'"' {
            bytes.next();
        }
    }
    name
}

/// The value of a string constant, where it can be told without the server: `None` for `U&'…'`, bits, and escapes beyond the usual.
#[must_use]
pub fn constant(token: Token, text: &[u8], conforming: bool) -> Option<String> {
    let bytes = token.of(text);
    let value = match token.kind {
        TokenKind::Text => quoted(bytes, !conforming)?,
        TokenKind::EscapeText => quoted(&bytes[1..], true)?,
        TokenKind::Dollar => {
            let tag = bytes[1..].iter().position(|&byte| byte == b'$')? + 2;
            bytes[tag..bytes.len() - tag].to_vec()
        }
        TokenKind::Integer | TokenKind::Decimal => bytes.to_vec(),
        _ => return None,
    };
    String::from_utf8(value).ok()
}

fn quoted(bytes: &[u8], backslash: bool) -> Option<Vec<u8>> {
    let inner = &bytes[1..bytes.len() - 1];
    let mut value = Vec::with_capacity(inner.len());
    let mut at = 0;
    while at < inner.len() {
        match inner[at] {
            b'\'' if inner.get(at + 1) == Some(&b'\'') => at += 1,
            // A continuation on a further line: rare enough to leave to the server.
            b'\'' => return None,
            b'\\' if backslash => {
                at += 1;
                let escaped = match inner.get(at)? {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    b'0'..=b'9' | b'x' | b'u' | b'U' => return None,
                    &other => other,
                };
                value.push(escaped);
                at += 1;
                continue;
            }
            _ => {}
        }
        value.push(inner[at]);
        at += 1;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::super::lexer::Lexer;
    use super::*;

    #[test]
    fn constants_are_read_as_the_server_reads_them() {
        for (sql, value) in [
            ("'it''s'", Some("it's")),
            ("E'a\\'\\n\\\\'", Some("a'\n\\")),
            ("'a\\b'", Some("a\\b")),
            ("$x$a'$$b$x$", Some("a'$$b")),
            ("42", Some("42")),
            ("E'\\x41'", None),
            ("B'1'", None),
            ("'a'\n'b'", None),
        ] {
            let token = Lexer::new(sql.as_bytes(), true).next().unwrap();
            assert_eq!(
                constant(token, sql.as_bytes(), true).as_deref(),
                value,
                "{sql}"
            );
        }
    }

    #[test]
    fn doubled_quotes_stand_for_one() {
        assert_eq!(unquote(b"\"a\"\"b\""), b"a\"b");
    }
}
