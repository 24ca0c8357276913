//! Pieces of SQL read out of text and trees.

use pg_query::{
    NodeEnum,
    protobuf::{Node, a_const::Val},
};

/// A string literal at the start of `sql`, plain or with backslashes, and what comes after it.
pub(crate) fn literal(sql: &str) -> Option<(String, &str)> {
    let (escapes, rest) = match sql.strip_prefix("E'") {
        Some(rest) => (true, rest),
        None => (false, sql.strip_prefix('\'')?),
    };
    let mut value = String::new();
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' if escapes => value.push(letters.next()?.1),
            '\'' => {
                let after = &rest[at + 1..];
                if !after.starts_with('\'') {
                    return Some((value, after));
                }
                letters.next();
                value.push('\'');
            }
            other => value.push(other),
        }
    }
    None
}

/// The text of a `String` node or a string constant.
pub(crate) fn string(node: &NodeEnum) -> Option<&str> {
    match node {
        NodeEnum::String(string) => Some(&string.sval),
        NodeEnum::AConst(constant) => match &constant.val {
            Some(Val::Sval(string)) => Some(&string.sval),
            _ => None,
        },
        _ => None,
    }
}

/// A constant as text: what a setting is set to.
pub(crate) fn constant(node: &NodeEnum) -> Option<String> {
    let NodeEnum::AConst(constant) = node else {
        return string(node).map(str::to_owned);
    };
    match constant.val.as_ref()? {
        Val::Ival(integer) => Some(integer.ival.to_string()),
        Val::Fval(float) => Some(float.fval.clone()),
        Val::Boolval(boolean) => Some(if boolean.boolval { "true" } else { "false" }.to_owned()),
        Val::Sval(string) => Some(string.sval.clone()),
        Val::Bsval(_) => None,
    }
}

/// A boolean or integer constant, also as PostgreSQL's grammar writes `true`: a cast.
pub(crate) fn boolean(node: &NodeEnum) -> Option<bool> {
    match node {
        NodeEnum::TypeCast(cast) => boolean(cast.arg.as_ref()?.node.as_ref()?),
        node => crate::settings::boolean(&constant(node)?),
    }
}

/// The last part of a name and its schema.
pub(crate) fn name(parts: &[Node]) -> Option<(Option<&str>, &str)> {
    let mut parts = parts.iter().map(|part| string(part.node.as_ref()?));
    match (parts.next()??, parts.next(), parts.next()) {
        (name, None, None) => Some((None, name)),
        (schema, Some(name), None) => Some((Some(schema), name?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_in_both_forms() {
        assert_eq!(literal("'a''b', x"), Some(("a'b".to_owned(), ", x")));
        assert_eq!(literal("E'a\\'b\\\\' x"), Some(("a'b\\".to_owned(), " x")));
        assert_eq!(literal("E'a''b'"), Some(("a'b".to_owned(), "")));
        assert_eq!(literal("'open"), None);
        assert_eq!(literal("name"), None);
    }
}
