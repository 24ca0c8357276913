//! What is wrong with a file, where, and what to write instead.

use std::{fmt, ops::Range, path::PathBuf};

use serde::Serialize;

/// A place in a file, counted from 1 as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Position {
    /// The position of byte `offset` in `text`; past the end, the position just behind the last character.
    pub(crate) fn of(text: &str, offset: usize) -> Position {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        // Lossy, because an offset inside a character must not panic; a byte-order mark takes no column.
        let column = String::from_utf8_lossy(&before[start..])
            .trim_start_matches('\u{feff}')
            .chars()
            .count()
            + 1;
        Position { line, column }
    }
}

/// One mistake in a configuration file. It never repeats a URL, the content or path of a password file, nor what an
/// environment variable holds unless that is the name of a table or column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Where; `None` when the file could not be read at all.
    pub at: Option<Position>,
    /// What is wrong.
    pub what: String,
    /// What to write or do instead.
    pub instead: String,
}

/// Everything that is wrong with a configuration file: at least one mistake, in the order of the lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistakes {
    /// The file.
    pub file: PathBuf,
    /// The mistakes.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(Position { line, column }) = mistake.at {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}; {}", mistake.what, mistake.instead)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// A mistake with a place in the text instead of a line.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
    pub(crate) what: String,
    pub(crate) instead: String,
}

/// How far a mistake can be believed beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not TOML; what follows on later lines was still read as meant.
    Syntax,
    /// Not TOML, in a way that may shift what follows into another table.
    Structure,
    /// Something is absent. After a syntax error it may only look so.
    Missing,
    /// A value that stands in the file is wrong.
    Value,
}

/// The mistakes worth telling, in order: one syntax error a line, and nothing that a syntax error may have caused.
pub(crate) fn settle(text: &str, found: Vec<Found>) -> Vec<Mistake> {
    let mut placed: Vec<(Position, Found)> = found
        .into_iter()
        .map(|found| (Position::of(text, found.span.start), found))
        .collect();
    placed.sort_by_key(|(at, _)| *at);
    let is_syntax = |found: &Found| matches!(found.kind, Kind::Syntax | Kind::Structure);
    let syntax_lines: Vec<usize> = placed
        .iter()
        .filter(|(_, found)| is_syntax(found))
        .map(|(at, _)| at.line)
        .collect();
    let shifted_from = placed
        .iter()
        .find(|(_, found)| found.kind == Kind::Structure)
        .map(|(at, _)| at.line);
    let mut told = Vec::new();
    let mut last_syntax_line = 0;
    for (at, found) in placed {
        let keep = match found.kind {
            Kind::Syntax | Kind::Structure => at.line != last_syntax_line,
            Kind::Missing => syntax_lines.is_empty(),
            Kind::Value => {
                !syntax_lines.contains(&at.line) && shifted_from.is_none_or(|line| at.line < line)
            }
        };
        if is_syntax(&found) {
            last_syntax_line = at.line;
        }
        let mistake = Mistake {
            at: Some(at),
            what: found.what,
            instead: found.instead,
        };
        if keep && !told.contains(&mistake) {
            told.push(mistake);
        }
    }
    told
}
