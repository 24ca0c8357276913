//! The text form of arrays.

use std::sync::Arc;

use crate::{Array, Error, Result, Session, Type, Types, Value};

/// Most dimensions (`MAXDIM`).
pub(crate) const MAX_DIMENSIONS: usize = 6;

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// `array_out`.
pub(super) fn print(array: &Array, types: &Types, session: &Session, out: &mut Vec<u8>) {
    if array.dimensions.is_empty() {
        out.extend(b"{}");
        return;
    }
    if array.dimensions.iter().any(|(_, lower)| *lower != 1) {
        for (length, lower) in &array.dimensions {
            let upper = i64::from(*lower) + i64::try_from(*length).unwrap_or(0) - 1;
            out.extend(format!("[{lower}:{upper}]").as_bytes());
        }
        out.push(b'=');
    }
    let mut items = array.items.iter();
    print_dimension(array, 0, &mut items, types, session, out);
}

fn print_dimension<'a>(
    array: &Array,
    depth: usize,
    items: &mut impl Iterator<Item = &'a Value>,
    types: &Types,
    session: &Session,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for index in 0..array.dimensions[depth].0 {
        if index > 0 {
            out.push(b',');
        }
        if depth + 1 < array.dimensions.len() {
            print_dimension(array, depth + 1, items, types, session, out);
        } else if let Some(item) = items.next() {
            print_item(array.element, item, types, session, out);
        }
    }
    out.push(b'}');
}

fn print_item(
    element: crate::Oid,
    item: &Value,
    types: &Types,
    session: &Session,
    out: &mut Vec<u8>,
) {
    if item.is_null() {
        out.extend(b"NULL");
        return;
    }
    let mut text = Vec::new();
    super::print(element, item, types, session, &mut text);
    let is_special =
        |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_blank(*byte);
    if !text.is_empty() && !text.eq_ignore_ascii_case(b"null") && !text.iter().any(is_special) {
        out.extend(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// A nested literal.
enum Node {
    Item(Option<String>),
    List(Vec<Node>),
}

/// `array_in`.
pub(super) fn parse(element: Type, text: &str, types: &Types, session: &Session) -> Result<Value> {
    let malformed = |detail: &str| {
        Error::new("22P02", format!("malformed array literal: \"{text}\""))
            .detail(detail.to_owned())
    };
    let body = text.trim_matches(|c: char| c.is_ascii() && u8::try_from(c).is_ok_and(is_blank));
    if body.starts_with('[') {
        return Err(Error::unsupported("an array written with its bounds"));
    }
    if !body.starts_with('{') {
        return Err(malformed(
            "Array value must start with \"{\" or dimension information.",
        ));
    }
    let mut reader = Reader {
        rest: &body[1..],
        depth: 1,
        strict: session.server_version_num < 170_000,
    };
    let root = reader.list().map_err(|fail| match fail {
        Fail::Deep => Error::new(
            "54000",
            "number of array dimensions (7) exceeds the maximum allowed (6)",
        ),
        Fail::Malformed(detail) => malformed(&detail),
    })?;
    if !reader
        .rest
        .trim_matches(|c: char| u8::try_from(c).is_ok_and(is_blank))
        .is_empty()
    {
        return Err(malformed("Junk after closing right brace."));
    }
    let mut dimensions = Vec::new();
    let mut node = &root;
    while let Node::List(items) = node {
        dimensions.push((items.len(), 1));
        match items.first() {
            Some(first) => node = first,
            None => break,
        }
    }
    // Empty lists within lists were refused before.
    if dimensions.len() > 1
        && dimensions.iter().any(|(length, _)| *length == 0)
        && session.server_version_num < 170_000
    {
        return Err(malformed("Unexpected \"}\" character."));
    }
    let mut texts = Vec::new();
    if !flatten(&root, &dimensions, &mut texts) {
        return Err(malformed(
            "Multidimensional arrays must have sub-arrays with matching dimensions.",
        ));
    }
    let items = texts
        .into_iter()
        .map(|item| match item {
            Some(text) => super::parse(element, &text, types, session),
            None => Ok(Value::Null),
        })
        .collect::<Result<Vec<_>>>()?;
    if items.is_empty() {
        dimensions.clear();
    }
    Ok(Value::Array(Arc::new(Array {
        element: element.oid,
        dimensions,
        items,
    })))
}

/// The items in order; false where the lists are not of the same lengths.
fn flatten(node: &Node, dimensions: &[(usize, i32)], out: &mut Vec<Option<String>>) -> bool {
    match (node, dimensions) {
        (Node::Item(text), []) => {
            out.push(text.clone());
            true
        }
        (Node::List(items), [(length, _), inner @ ..]) => {
            items.len() == *length && items.iter().all(|item| flatten(item, inner, out))
        }
        _ => false,
    }
}

enum Fail {
    Deep,
    Malformed(String),
}

fn unexpected(what: &str) -> Fail {
    Fail::Malformed(format!("Unexpected {what}."))
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
    /// Lists and elements side by side are refused where they stand, as before version 17.
    strict: bool,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        self.rest = self
            .rest
            .trim_start_matches(|c: char| u8::try_from(c).is_ok_and(is_blank));
    }

    fn list(&mut self) -> std::result::Result<Node, Fail> {
        let mut items = Vec::new();
        loop {
            self.blanks();
            match self.rest.chars().next() {
                None => return Err(Fail::Malformed("Unexpected end of input.".to_owned())),
                Some('{') if self.strict && matches!(items.last(), Some(Node::Item(_))) => {
                    return Err(unexpected("\"{\" character"));
                }
                Some('{') => {
                    self.depth += 1;
                    if self.depth > MAX_DIMENSIONS {
                        return Err(Fail::Deep);
                    }
                    self.rest = &self.rest[1..];
                    items.push(self.list()?);
                    self.depth -= 1;
                }
                Some('}') if items.is_empty() => {
                    self.rest = &self.rest[1..];
                    return Ok(Node::List(items));
                }
                Some('}') => return Err(unexpected("\"}\" character")),
                Some(',') => return Err(unexpected("\",\" character")),
                Some(_) if self.strict && matches!(items.last(), Some(Node::List(_))) => {
                    return Err(unexpected("array element"));
                }
                Some(_) => items.push(Node::Item(self.item()?)),
            }
            self.blanks();
            match self.rest.chars().next() {
                None => return Err(Fail::Malformed("Unexpected end of input.".to_owned())),
                Some(',') => self.rest = &self.rest[1..],
                Some('}') => {
                    self.rest = &self.rest[1..];
                    return Ok(Node::List(items));
                }
                Some('{') => return Err(unexpected("\"{\" character")),
                Some('\\') if self.strict => return Err(unexpected("\"\\\" character")),
                Some(_) => return Err(unexpected("array element")),
            }
        }
    }

    fn item(&mut self) -> std::result::Result<Option<String>, Fail> {
        if let Some(quoted) = self.rest.strip_prefix('"') {
            return self.quoted(quoted).map(Some);
        }
        let mut out = String::new();
        // How much of it stays when blanks at the end go: those after a backslash do not.
        let mut kept = 0;
        let mut escaped = false;
        let mut chars = self.rest.char_indices();
        let end = loop {
            match chars.next() {
                None => return Err(Fail::Malformed("Unexpected end of input.".to_owned())),
                Some((at, ',' | '}')) => break at,
                Some((_, '{')) => return Err(unexpected("\"{\" character")),
                Some((_, '"')) => return Err(unexpected("array element")),
                Some((_, '\\')) => {
                    let (_, next) = chars
                        .next()
                        .ok_or_else(|| Fail::Malformed("Unexpected end of input.".to_owned()))?;
                    out.push(next);
                    (kept, escaped) = (out.len(), true);
                }
                Some((_, c)) => {
                    out.push(c);
                    if !u8::try_from(c).is_ok_and(is_blank) {
                        kept = out.len();
                    }
                }
            }
        };
        self.rest = &self.rest[end..];
        out.truncate(kept);
        Ok((escaped || !out.eq_ignore_ascii_case("null")).then_some(out))
    }

    fn quoted(&mut self, text: &str) -> std::result::Result<String, Fail> {
        let mut out = String::new();
        let mut chars = text.char_indices();
        let end = loop {
            match chars.next() {
                None => return Err(Fail::Malformed("Unexpected end of input.".to_owned())),
                Some((at, '"')) => break at + 1,
                Some((_, '\\')) => {
                    out.extend(chars.next().map(|(_, next)| next));
                }
                Some((_, c)) => out.push(c),
            }
        };
        self.rest = &self.rest[end + 1..];
        Ok(out)
    }
}
