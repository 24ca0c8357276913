//! `${NAME}` in string values.

use std::fmt;

/// A placeholder that cannot be replaced. It names the variable, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvMistake {
    /// The variable is not set.
    Unset(String),
    /// `${` without `}`.
    Unclosed,
    /// What stands between the braces is not a name.
    BadName,
}

impl EnvMistake {
    pub(crate) fn instead(&self) -> String {
        match self {
            EnvMistake::Unset(name) => {
                format!("set {name} before starting, or write $${{{name}}} to mean the text itself")
            }
            EnvMistake::Unclosed => "write ${NAME}, or $${ to mean the two characters".to_owned(),
            EnvMistake::BadName => {
                "a name has letters, digits and _, as in ${OLD_PASSWORD}".to_owned()
            }
        }
    }
}

impl fmt::Display for EnvMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvMistake::Unset(name) => write!(f, "environment variable \"{name}\" is not set"),
            EnvMistake::Unclosed => f.write_str("\"${\" is not closed"),
            EnvMistake::BadName => {
                f.write_str("\"${…}\" does not hold the name of an environment variable")
            }
        }
    }
}

/// One stretch of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Text as typed.
    Typed(&'t str),
    /// `$${`: the two characters `${`.
    Escaped,
    /// The name of a variable.
    Variable(&'t str),
}

/// Whether `text` holds a placeholder (an escaped one is none).
pub(crate) fn has_placeholder(text: &str) -> bool {
    pieces(text).is_ok_and(|pieces| {
        pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Variable(_)))
    })
}

/// Cuts a value at its placeholders.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, EnvMistake> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Typed(&rest[..at - 1]));
            pieces.push(Piece::Escaped);
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Typed(&rest[..at]));
        let (name, after) = rest[at + 2..].split_once('}').ok_or(EnvMistake::Unclosed)?;
        if !is_name(name) {
            return Err(EnvMistake::BadName);
        }
        pieces.push(Piece::Variable(name));
        rest = after;
    }
    pieces.push(Piece::Typed(rest));
    Ok(pieces)
}

/// Replaces every placeholder.
pub(crate) fn expand(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, EnvMistake> {
    pieces(text)?
        .into_iter()
        .map(|piece| match piece {
            Piece::Typed(text) => Ok(text.to_owned()),
            Piece::Escaped => Ok("${".to_owned()),
            Piece::Variable(name) => env(name).ok_or_else(|| EnvMistake::Unset(name.to_owned())),
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn replaces_placeholders_once_and_honours_the_escape() {
        for (typed, meant) in [
            ("plain", "plain"),
            ("${A}", "one"),
            ("x${A}y${A}", "xoneyone"),
            ("${EMPTY}", ""),
            ("$A $ $$ {A}", "$A $ $$ {A}"),
            ("$${A}", "${A}"),
            ("${NESTED}", "${A}"),
            ("é$${ü${A}", "é${üone"),
        ] {
            assert_eq!(expand(typed, &env).as_deref(), Ok(meant), "{typed}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_replace() {
        assert_eq!(
            expand("${NO}", &env),
            Err(EnvMistake::Unset("NO".to_owned()))
        );
        assert_eq!(expand("a${A", &env), Err(EnvMistake::Unclosed));
        assert_eq!(expand("${}", &env), Err(EnvMistake::BadName));
        assert_eq!(expand("${A B}", &env), Err(EnvMistake::BadName));
        assert_eq!(expand("${1A}", &env), Err(EnvMistake::BadName));
    }
}
