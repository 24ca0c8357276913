//! `jsonb`, as PostgreSQL prints it, and BSON.
//!
//! An object becomes a document, an array an array, a whole number an Int64, any other number a Decimal128. Where that would not print
//! again as it was (a number of more than 34 digits, more nesting than MongoDB takes) the whole value is kept as its text.

use mongodb::bson::{Array, Binary, Bson, Document};

use super::{AS_TEXT, decimal};

/// MongoDB takes documents nested a hundred deep, and ours have levels above this one.
const DEPTH: usize = 80;

/// `text` as PostgreSQL prints a `jsonb`. Anything else is kept as text.
pub(super) fn parse(text: &str) -> Bson {
    let mut parser = Parser { rest: text };
    // SQL's NULL is BSON's null, so that of JSON must be something else.
    let parsed = parser
        .value(DEPTH)
        .filter(|value| parser.rest.is_empty() && *value != Bson::Null);
    match parsed {
        Some(value) if print(&value).as_deref() == Some(text) => value,
        _ => Bson::Binary(Binary {
            subtype: AS_TEXT,
            bytes: text.as_bytes().to_vec(),
        }),
    }
}

/// The text; `None` for what [`parse`] does not make.
pub(super) fn print(value: &Bson) -> Option<String> {
    if let Bson::Binary(Binary { subtype, bytes }) = value {
        return (*subtype == AS_TEXT)
            .then(|| String::from_utf8(bytes.clone()).ok())
            .flatten();
    }
    let mut out = String::new();
    put(value, &mut out)?;
    Some(out)
}

fn put(value: &Bson, out: &mut String) -> Option<()> {
    match value {
        Bson::Null => out.push_str("null"),
        Bson::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Bson::Int64(value) => out.push_str(&value.to_string()),
        Bson::Decimal128(value) => out
            .push_str(&decimal::print(value).filter(|text| !text.ends_with(char::is_alphabetic))?),
        Bson::String(value) => put_string(value, out),
        Bson::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                put(item, out)?;
            }
            out.push(']');
        }
        Bson::Document(fields) => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                put_string(name, out);
                out.push_str(": ");
                put(value, out)?;
            }
            out.push('}');
        }
        _ => return None,
    }
    Some(())
}

/// As `escape_json` does.
fn put_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Bson> {
        let depth = depth.checked_sub(1)?;
        match self.rest.as_bytes().first()? {
            b'n' => self.take("null").map(|()| Bson::Null),
            b't' => self.take("true").map(|()| Bson::Boolean(true)),
            b'f' => self.take("false").map(|()| Bson::Boolean(false)),
            b'"' => self.string().map(Bson::String),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Bson> {
        self.take("[")?;
        let mut items = Array::new();
        while self.take("]").is_none() {
            if !items.is_empty() {
                self.take(", ")?;
            }
            items.push(self.value(depth)?);
        }
        Some(Bson::Array(items))
    }

    fn object(&mut self, depth: usize) -> Option<Bson> {
        self.take("{")?;
        let mut fields = Document::new();
        while self.take("}").is_none() {
            if !fields.is_empty() {
                self.take(", ")?;
            }
            let name = self.string()?;
            self.take(": ")?;
            fields.insert(name, self.value(depth)?);
        }
        Some(Bson::Document(fields))
    }

    fn number(&mut self) -> Option<Bson> {
        let end = self.rest.find([',', ']', '}']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        match text.parse::<i64>() {
            Ok(whole) => Some(Bson::Int64(whole)),
            Err(_) => decimal::parse(text).ok(),
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut out = String::new();
        loop {
            let stop = self.rest.find(['"', '\\'])?;
            out.push_str(&self.rest[..stop]);
            self.rest = &self.rest[stop..];
            if self.take("\"").is_some() {
                return Some(out);
            }
            let escape = self.rest.get(1..2)?;
            let mut length = 2;
            out.push(match escape {
                "\"" => '"',
                "\\" => '\\',
                "b" => '\u{8}',
                "f" => '\u{c}',
                "n" => '\n',
                "r" => '\r',
                "t" => '\t',
                "u" => {
                    length = 6;
                    char::from_u32(u32::from_str_radix(self.rest.get(2..6)?, 16).ok()?)?
                }
                _ => return None,
            });
            self.rest = self.rest.get(length..)?;
        }
    }
}
