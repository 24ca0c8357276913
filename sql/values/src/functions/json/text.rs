//! Reading from `json`, which keeps its text: what is found is answered as it was written.

use std::ops::Range;

use super::{
    super::{int, text},
    get,
};
use crate::{
    Error, Result, Value,
    json::{parse, position},
    resolve::Call,
};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "json_object_field" => |_, args| Ok(value(field(text(args, 0)?, text(args, 1)?)?)),
        "json_object_field_text" => |_, args| shown(field(text(args, 0)?, text(args, 1)?)?),
        "json_array_element" => |_, args| Ok(value(element(text(args, 0)?, int(args, 1)?)?)),
        "json_array_element_text" => |_, args| shown(element(text(args, 0)?, int(args, 1)?)?),
        "json_extract_path" => |_, args| Ok(value(follow(args)?.as_deref())),
        "json_extract_path_text" => |_, args| shown(follow(args)?.as_deref()),
        "json_typeof" => |_, args| Ok(Value::text(kind(text(args, 0)?))),
        "json_array_length" => |_, args| {
            let json = text(args, 0)?;
            match kind(json) {
                "array" => Ok(Value::Int(i64::try_from(parts(json)?.len()).unwrap_or(0))),
                "object" => Err(Error::new(
                    "22023",
                    "cannot get array length of a non-array",
                )),
                _ => Err(Error::new("22023", "cannot get array length of a scalar")),
            }
        },
        _ => return None,
    })
}

fn kind(json: &str) -> &'static str {
    match json.trim_start().bytes().next() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

fn value(found: Option<&str>) -> Value {
    found.map_or(Value::Null, Value::text)
}

/// As text: a string evaluated, null as NULL.
fn shown(found: Option<&str>) -> Result<Value> {
    match found {
        None => Ok(Value::Null),
        Some(json) if json.starts_with('"') => Ok(get::shown(Some(&parse::parse(json)?))),
        Some("null") => Ok(Value::Null),
        Some(json) => Ok(Value::text(json)),
    }
}

/// The places of an array's elements, or of an object's keys and values. The text is known to be JSON.
fn parts(json: &str) -> Result<Vec<Range<usize>>> {
    let bytes = json.as_bytes();
    let (mut depth, mut start, mut out) = (0usize, None::<usize>, Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let from = at;
        at += 1;
        if byte == b'"' {
            while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at += 1;
        }
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        let ends = (depth == 1 && matches!(byte, b',' | b':')) || depth == 0;
        if ends {
            if let Some(start) = start.take() {
                out.push(start..start + json[start..from].trim_end().len());
            }
        } else if start.is_none()
            && !(depth == 1
                && matches!(byte, b'{' | b'[')
                && from == json.len() - json.trim_start().len())
            && !byte.is_ascii_whitespace()
        {
            start = Some(from);
        }
        if depth == 0 && matches!(byte, b'}' | b']') {
            break;
        }
    }
    Ok(out)
}

/// The last member of this key.
fn field<'a>(json: &'a str, key: &str) -> Result<Option<&'a str>> {
    if kind(json) != "object" {
        return Ok(None);
    }
    let mut found = None;
    for pair in parts(json)?.chunks_exact(2) {
        if let crate::Json::String(name) = parse::parse(&json[pair[0].clone()])?
            && *name == *key
        {
            found = Some(&json[pair[1].clone()]);
        }
    }
    Ok(found)
}

fn element(json: &str, index: i64) -> Result<Option<&str>> {
    if kind(json) != "array" {
        return Ok(None);
    }
    let parts = parts(json)?;
    Ok(position(parts.len(), index)
        .and_then(|at| parts.get(at))
        .map(|part| &json[part.clone()]))
}

fn follow(args: &[Value]) -> Result<Option<String>> {
    let Some(steps) = get::steps(args)? else {
        return Ok(None);
    };
    let mut at: &str = text(args, 0)?;
    for step in &steps {
        let next = match kind(at) {
            "object" => field(at, step)?,
            "array" => match get::index(step) {
                Some(index) => element(at, index)?,
                None => None,
            },
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at.to_owned()))
}
