//! Files of SQL with PostgreSQL's own answers beside them.

use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::peer::{Data, Peer};

/// Their names.
pub(crate) const FILES: &[&str] = &[
    "select",
    "nasty",
    "expressions",
    "text",
    "numbers",
    "times",
    "aggregates",
    "joins",
    "subqueries",
    "insert",
    "conflict",
    "update",
    "delete",
    "constraints",
    "transactions",
    "types",
    "catalog",
    "copy",
    "truncate",
    "with_writes",
    "merge",
];

/// The rows that every file begins with.
pub(crate) const DATA: &str = include_str!("../sql/data.sql");

/// One statement, and whether the order of its rows is nobody's.
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) as_set: bool,
    /// What it is sent.
    pub(crate) data: Vec<Data>,
}

/// Where they are.
pub(crate) fn folder() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let own = here.join("tests/sql");
    // The end-to-end tests replay them as well.
    if own.is_dir() {
        own
    } else {
        here.join("sql/documents/tests/sql")
    }
}

/// Statements end with a semicolon at the end of a line. Behind one, lines that begin with `<` are the data of a COPY: `< text` for a line of text, `<x 00ff` for
/// bytes, `<! reason` for a client that gives up.
pub(crate) fn statements(text: &str) -> Vec<Statement> {
    let mut all = Vec::new();
    let (mut sql, mut as_set) = (String::new(), false);
    for line in text.lines() {
        if sql.is_empty()
            && let Some(data) = line.strip_prefix('<')
        {
            let last: &mut Statement = all.last_mut().unwrap();
            last.data.push(piece(data));
            continue;
        }
        if sql.is_empty() && (line.is_empty() || line.starts_with("--")) {
            as_set |= line == "-- as a set";
            continue;
        }
        if !sql.is_empty() {
            sql.push('\n');
        }
        sql.push_str(line);
        if line.ends_with(';') {
            all.push(Statement {
                sql: std::mem::take(&mut sql),
                as_set,
                data: Vec::new(),
            });
            as_set = false;
        }
    }
    assert!(sql.is_empty(), "no semicolon behind {sql}");
    all
}

fn piece(data: &str) -> Data {
    if let Some(why) = data.strip_prefix("! ") {
        return Data::Fail(why.to_owned());
    }
    let Some(hex) = data.strip_prefix("x ") else {
        let line = data.strip_prefix(' ').unwrap_or_default();
        return Data::Bytes(format!("{line}\n").into_bytes());
    };
    let digits: Vec<char> = hex.chars().filter(|digit| *digit != ' ').collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    Data::Bytes(digits.chunks(2).map(byte).collect())
}

pub(crate) async fn answers<S: AsyncRead + AsyncWrite + Unpin>(
    peer: &mut Peer<S>,
    statements: &[Statement],
) -> Vec<String> {
    let mut all = Vec::new();
    for statement in statements {
        let answer = peer.run_with(&statement.sql, &statement.data).await;
        let state = match peer.state {
            b'I' => "",
            b'T' => "(in a transaction)\n",
            _ => "(in a failed transaction)\n",
        };
        all.push(format!(
            "{}\n{}{state}",
            statement.sql,
            answer.text(statement.as_set)
        ));
    }
    all
}

/// Text of a file's answers, one block a statement.
pub(crate) fn blocks(recorded: &str) -> Vec<String> {
    recorded
        .split("\n\n")
        .filter(|block| !block.is_empty())
        .map(|block| format!("{}\n", block.trim_end_matches('\n')))
        .collect()
}
