//! `json_in` and `jsonb_in`: one reader for both, which checks and builds.

use std::sync::Arc;

use crate::{Error, Json, Result, numeric::Numeric};

/// How deep values may be nested: PostgreSQL stops where its stack ends (some thousands), this reader before its own would.
const MAX_DEPTH: usize = 1500;

/// Reads a `jsonb`.
pub(crate) fn parse(text: &str) -> Result<Json> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        build: true,
    };
    reader.document()
}

/// Checks a `json`.
pub(crate) fn check(text: &str) -> Result<()> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        build: false,
    };
    reader.document().map(|_| ())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Strings and numbers are evaluated, for `jsonb`.
    build: bool,
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new("22P02", "invalid input syntax for type json").detail(detail)
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Json> {
        let json = self.value("JSON value")?;
        self.blanks();
        if self.at < self.text.len() {
            return Err(self.unexpected("end of input"));
        }
        Ok(json)
    }

    fn blanks(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
    }

    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.text.as_bytes().get(self.at).copied()
    }

    /// The token at this place: a mark, a string or a run of word characters.
    fn token(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
        let length = match rest.chars().next() {
            Some('"') => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            Some('-' | '0'..='9') => number_end(rest),
            Some(c) if is_word(c) => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
            Some(c) => c.len_utf8(),
            None => 0,
        };
        &rest[..length]
    }

    /// What is wrong where `wanted` should stand.
    fn unexpected(&mut self, wanted: &str) -> Error {
        self.blanks();
        let token = self.token();
        match token.chars().next() {
            None => invalid("The input string ended unexpectedly."),
            Some('{' | '}' | '[' | ']' | ',' | ':') => {
                invalid(format!("Expected {wanted}, but found \"{token}\"."))
            }
            Some('"') => match self.string() {
                Err(error) => error,
                Ok(_) => invalid(format!("Expected {wanted}, but found \"{token}\".")),
            },
            Some('-' | '0'..='9') => match self.number() {
                Err(error) => error,
                Ok(_) => invalid(format!("Expected {wanted}, but found \"{token}\".")),
            },
            Some(_) if matches!(token, "true" | "false" | "null") => {
                invalid(format!("Expected {wanted}, but found \"{token}\"."))
            }
            Some(_) => invalid(format!("Token \"{token}\" is invalid.")),
        }
    }

    fn value(&mut self, wanted: &str) -> Result<Json> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                let json = match self.token() {
                    "true" => Json::Bool(true),
                    "false" => Json::Bool(false),
                    "null" => Json::Null,
                    _ => return Err(self.unexpected(wanted)),
                };
                self.at += self.token().len();
                Ok(json)
            }
            None => Err(self.unexpected(wanted)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json>) -> Result<Json> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::unsupported(format!(
                "JSON of more than {MAX_DEPTH} levels"
            )));
        }
        self.at += 1;
        let json = read(self);
        self.depth -= 1;
        json
    }

    fn array(&mut self) -> Result<Json> {
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value("JSON value")?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
        }
    }

    fn object(&mut self) -> Result<Json> {
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(if members.is_empty() {
                    "string or \"}\""
                } else {
                    "string"
                }));
            }
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.at += 1;
            members.push((key, self.value("JSON value")?));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(super::object(members));
                }
                _ => return Err(self.unexpected("\",\" or \"}\"")),
            }
        }
    }

    fn number(&mut self) -> Result<Json> {
        let token = self.token();
        if !is_number(token) {
            return Err(invalid(format!("Token \"{token}\" is invalid.")));
        }
        self.at += token.len();
        Ok(Json::Number(if self.build {
            Numeric::parse(token)?
        } else {
            Numeric::zero()
        }))
    }

    fn string(&mut self) -> Result<Arc<str>> {
        let mut out = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(char) = rest.chars().next() else {
                let start = self.text.len() - rest.len();
                let _ = start;
                return Err(invalid(format!(
                    "Token \"{}\" is invalid.",
                    self.open_string()
                )));
            };
            match char {
                '"' => {
                    self.at += 1;
                    return Ok(out.into());
                }
                '\\' => self.escape(&mut out)?,
                '\0'..='\x1f' => {
                    return Err(invalid(format!(
                        "Character with value 0x{:02x} must be escaped.",
                        u32::from(char)
                    )));
                }
                _ => {
                    out.push(char);
                    self.at += char.len_utf8();
                }
            }
        }
    }

    /// The string that does not end, with its quote.
    fn open_string(&self) -> &'a str {
        let before = &self.text[..self.at];
        // Quotes inside are escaped, so the last that is not begins it.
        let bytes = before.as_bytes();
        let start = (0..bytes.len())
            .rev()
            .find(|at| bytes[*at] == b'"' && (*at == 0 || bytes[at - 1] != b'\\'));
        &self.text[start.unwrap_or(0)..]
    }

    fn escape(&mut self, out: &mut String) -> Result<()> {
        let Some(char) = self.text[self.at + 1..].chars().next() else {
            return Err(invalid(format!(
                "Token \"{}\" is invalid.",
                self.open_string()
            )));
        };
        self.at += 1 + char.len_utf8();
        out.push(match char {
            '"' | '\\' | '/' => char,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(out),
            _ => return Err(invalid(format!("Escape sequence \"\\{char}\" is invalid."))),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .unwrap_or_default();
        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(invalid(
                "\"\\u\" must be followed by four hexadecimal digits.",
            ));
        }
        let number = u32::from_str_radix(&self.text[self.at..self.at + 4], 16).unwrap_or(0);
        self.at += 4;
        Ok(number)
    }

    fn unicode(&mut self, out: &mut String) -> Result<()> {
        let first = self.hex()?;
        if !self.build {
            return Ok(());
        }
        let low = || invalid("Unicode low surrogate must follow a high surrogate.");
        let code = match first {
            0 => {
                return Err(Error::new("22P05", "unsupported Unicode escape sequence")
                    .detail("\\u0000 cannot be converted to text."));
            }
            0xd800..=0xdbff => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(low());
                }
                self.at += 2;
                match self.hex()? {
                    second @ 0xdc00..=0xdfff => {
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    0xd800..=0xdbff => {
                        return Err(invalid(
                            "Unicode high surrogate must not follow a high surrogate.",
                        ));
                    }
                    _ => return Err(low()),
                }
            }
            0xdc00..=0xdfff => return Err(low()),
            _ => first,
        };
        out.extend(char::from_u32(code));
        Ok(())
    }
}

/// Where the number that begins a text ends, with the letters and digits that spoil it.
fn number_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut at = usize::from(bytes[0] == b'-');
    at = if bytes.get(at) == Some(&b'0') {
        at + 1
    } else {
        digits(at)
    };
    if at > usize::from(bytes[0] == b'-') && bytes.get(at) == Some(&b'.') {
        at = digits(at + 1);
    }
    let whole = bytes[at - 1].is_ascii_digit();
    if whole && matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(at);
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
    at + text[at..]
        .find(|c: char| !is_word(c))
        .unwrap_or(text.len() - at)
}

/// JSON's own syntax of numbers.
fn is_number(token: &str) -> bool {
    let (mantissa, exponent) = match token.find(['e', 'E']) {
        Some(at) => (&token[..at], Some(&token[at + 1..])),
        None => (token, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|text| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}
