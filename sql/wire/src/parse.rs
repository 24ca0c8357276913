//! From a text to statements.

use std::sync::Arc;

use pg_query::{NodeEnum, ParserOptions};

use crate::report::{Report, Result};

/// A statement as the grammar has it.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Its own text: offsets in the tree count from its begin.
    pub(crate) text: Arc<str>,
    /// Where the text begins in what the client sent.
    pub(crate) offset: usize,
    pub(crate) node: NodeEnum,
}

/// The statements of a text.
///
/// # Errors
/// 42601 as PostgreSQL words it.
pub(crate) fn parse(sql: &str) -> Result<Vec<Parsed>> {
    let raw = grammar(sql)?;
    if raw.len() <= 1 {
        return Ok(raw
            .into_iter()
            .map(|(_, node)| Parsed {
                text: sql.into(),
                offset: 0,
                node,
            })
            .collect());
    }
    // Each for itself once more, so that what the tree says of places holds for the statement's own text.
    raw.into_iter()
        .map(|(range, _)| {
            let text = sql.get(range.clone()).unwrap_or_default();
            let mut alone = grammar(text)?;
            let (Some((_, node)), None) = (alone.pop(), alone.pop()) else {
                return Err(Report::new("XX000", "a statement could not be told apart"));
            };
            Ok(Parsed {
                text: text.into(),
                offset: range.start,
                node,
            })
        })
        .collect()
}

type Raw = (std::ops::Range<usize>, NodeEnum);

fn grammar(sql: &str) -> Result<Vec<Raw>> {
    let parsed =
        pg_query::parse(sql, ParserOptions::DEFAULT).map_err(|error| refused(sql, error))?;
    let range = |location: i32, length: i32| {
        let begin = usize::try_from(location).unwrap_or(0);
        let end = match usize::try_from(length) {
            Ok(length) if length > 0 => begin + length,
            Ok(_) | Err(_) => sql.len(),
        };
        begin..end
    };
    Ok(parsed
        .protobuf
        .stmts
        .into_iter()
        .filter_map(|raw| {
            let node = raw.stmt?.node?;
            Some((range(raw.stmt_location, raw.stmt_len), node))
        })
        .collect())
}

fn refused(sql: &str, error: pg_query::Error) -> Report {
    match error {
        pg_query::Error::Parse(message) => {
            let at = place(sql, &message);
            let state = if message.starts_with("invalid Unicode") {
                "22025"
            } else {
                "42601"
            };
            let mut report = Report::new(state, message);
            report.error.at = at;
            report.located(sql, 0)
        }
        pg_query::Error::Decode(_) => Report::new("54001", "the statement is nested too deeply"),
        other => Report::new("42601", other.to_string()),
    }
}

/// Where the error is: the parser tells the word and not its place. The word is the first of its kind that the parser does not get past.
fn place(sql: &str, message: &str) -> Option<usize> {
    if message.ends_with("at end of input") {
        return Some(sql.len());
    }
    let (_, quoted) = message.split_once(" at or near \"")?;
    let word = quoted.strip_suffix('"')?;
    let places: Vec<usize> = match pg_query::scan(sql) {
        Ok(scanned) => scanned
            .tokens
            .iter()
            .filter_map(|token| {
                let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
                (sql.get(range.clone())? == word).then_some(range.start)
            })
            .collect(),
        // A string or comment without an end: the word is all that is left.
        Err(_) => return sql.ends_with(word).then(|| sql.len() - word.len()),
    };
    let stuck = |at: &usize| {
        let until = &sql[..at + word.len()];
        matches!(
            pg_query::parse(until, ParserOptions::DEFAULT),
            Err(pg_query::Error::Parse(told)) if told.contains(" at or near \"")
        )
    };
    match &places[..] {
        [only] => Some(*only),
        many => many.iter().copied().find(stuck),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sql: &str) -> (String, Option<usize>) {
        let report = parse(sql).unwrap_err();
        assert_eq!(report.sqlstate(), "42601");
        (report.error.message.clone(), report.position)
    }

    #[test]
    fn syntax_errors_are_told_with_their_place() {
        for (sql, message, position) in [
            (
                "SELECT 1 FROM FROM t",
                "syntax error at or near \"FROM\"",
                15,
            ),
            ("SELEC 1", "syntax error at or near \"SELEC\"", 1),
            ("SELECT 'ä', 1 +", "syntax error at end of input", 16),
            (
                "SELECT 'abc",
                "unterminated quoted string at or near \"'abc\"",
                8,
            ),
            ("SELECT 1; SELECT )", "syntax error at or near \")\"", 18),
        ] {
            assert_eq!(told(sql), (message.to_owned(), Some(position)), "{sql}");
        }
    }

    #[test]
    fn statements_of_one_text_are_told_apart() {
        let parsed = parse("SELECT 1; /* two */ SELECT 2;;").unwrap();
        let texts: Vec<&str> = parsed.iter().map(|parsed| &parsed.text[..]).collect();
        assert_eq!(texts[0], "SELECT 1");
        assert!(texts[1].ends_with("SELECT 2") && texts.len() == 2);
        assert!(parse(" -- nothing").unwrap().is_empty());
    }
}
