//! Names of tables, columns and toggles.

use crate::{QualifiedName, StoreKind};

/// Text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(pub(crate) &'static str);

/// PostgreSQL cuts a longer name off in silence (NAMEDATALEN - 1), and then it is another name.
const MAX_POSTGRES_BYTES: usize = 63;

impl QualifiedName {
    /// Reads `table` or `schema.table`; a part that holds a dot stands in double quotes (`"a.b".c`), and a quote
    /// inside them is doubled. Case is kept: nothing is folded. `default_schema` completes a bare table.
    ///
    /// # Errors
    /// An empty part, an open quote, more than two parts, or a control character.
    pub fn parse(text: &str, default_schema: &str) -> Result<QualifiedName, BadName> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = first_part(rest)?;
            parts.push(part);
            match after {
                Some(after) => rest = after,
                None => break,
            }
        }
        let mut parts = parts.into_iter();
        let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if third.is_some() {
            return Err(BadName("has more than one dot"));
        }
        let (schema, name) = match second {
            Some(name) => (first, name),
            None => (default_schema.to_owned(), first),
        };
        if !default_schema.is_empty() || !schema.is_empty() {
            plain(&schema)?;
        }
        plain(&name)?;
        Ok(QualifiedName { schema, name })
    }
}

/// The first part of a dotted name, and what follows its dot.
fn first_part(text: &str) -> Result<(String, Option<&str>), BadName> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Ok(match text.split_once('.') {
            Some((part, after)) => (part.to_owned(), Some(after)),
            None => (text.to_owned(), None),
        });
    };
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"').ok_or(BadName("has an open quote"))?;
        part.push_str(before);
        if let Some(doubled) = after.strip_prefix('"') {
            part.push('"');
            rest = doubled;
        } else if after.is_empty() {
            return Ok((part, None));
        } else {
            let after = after
                .strip_prefix('.')
                .ok_or(BadName("goes on behind a closing quote"))?;
            return Ok((part, Some(after)));
        }
    }
}

/// Reads the name of a table in a store of `kind`. In a document store the whole text is the collection.
pub(crate) fn table(
    text: &str,
    kind: StoreKind,
    default_schema: &str,
) -> Result<QualifiedName, BadName> {
    let name = match kind {
        StoreKind::Mongo => {
            plain(text)?;
            QualifiedName {
                schema: String::new(),
                name: text.to_owned(),
            }
        }
        StoreKind::Postgres | StoreKind::MySql => QualifiedName::parse(text, default_schema)?,
    };
    fits(&name.schema, kind)?;
    fits(&name.name, kind)?;
    Ok(name)
}

/// Checks the name of a column or schema in a store of `kind`.
pub(crate) fn identifier(text: &str, kind: StoreKind) -> Result<(), BadName> {
    plain(text)?;
    fits(text, kind)
}

/// Checks the name of a toggle, which also stands in metrics, on the command line and in state files.
pub(crate) fn toggle(text: &str) -> Result<(), BadName> {
    plain(text)?;
    if text.len() > MAX_POSTGRES_BYTES {
        return Err(BadName("is longer than 63 bytes"));
    }
    if !text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        || text.starts_with('-')
    {
        return Err(BadName(
            "has characters other than letters, digits, _ and -",
        ));
    }
    Ok(())
}

fn plain(text: &str) -> Result<(), BadName> {
    if text.trim().is_empty() {
        return Err(BadName("is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(BadName("holds a control character"));
    }
    Ok(())
}

fn fits(text: &str, kind: StoreKind) -> Result<(), BadName> {
    if kind == StoreKind::Postgres && text.len() > MAX_POSTGRES_BYTES {
        return Err(BadName(
            "is longer than 63 bytes, where PostgreSQL cuts names off",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, String), BadName> {
        QualifiedName::parse(text, "public").map(|name| (name.schema, name.name))
    }

    #[test]
    fn reads_qualified_names() {
        for (text, schema, name) in [
            ("orders", "public", "orders"),
            ("shop.orders", "shop", "orders"),
            ("Shop.Orders", "Shop", "Orders"),
            ("\"a.b\".c", "a.b", "c"),
            ("a.\"b.\"\"c\"", "a", "b.\"c"),
            ("\"one.table\"", "public", "one.table"),
        ] {
            assert_eq!(
                parsed(text),
                Ok((schema.to_owned(), name.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        for text in [
            "", " ", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "\"\"", "a\nb",
        ] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
        let long = "x".repeat(64);
        assert!(table(&long, StoreKind::Postgres, "public").is_err());
        assert!(table(&long, StoreKind::Mongo, "").is_ok());
        assert_eq!(
            table("a.b.c", StoreKind::Mongo, "").map(|name| name.name),
            Ok("a.b.c".to_owned())
        );
    }
}
