//! What a clause inserts: VALUES as what a SELECT gives back.

use std::ops::Range;

use crossfade_store::postgres::sql::quote_ident;

use super::text::Writer;
use crate::sql::{rewrite::Refusal, tree::Node};

/// Object identifiers below are of PostgreSQL's own types, none of which that a column is likely to have is composite.
const FIRST_OF_USERS: u32 = 16_384;

/// The INSERT of a clause.
pub(super) struct Values<'a> {
    pub(super) writer: &'a Writer<'a>,
    /// The columns named, in the tree.
    pub(super) named: Vec<&'a Node>,
    /// The values, in the tree.
    pub(super) nodes: Vec<&'a Node>,
    /// The columns named, by their tokens; `None` where none is.
    pub(super) columns: Option<&'a [Range<usize>]>,
    /// The values, by their tokens.
    pub(super) values: &'a [Range<usize>],
}

impl Values<'_> {
    /// The list of columns, which may be empty, and the values.
    pub(super) fn write(&self) -> Result<(String, String), Refusal> {
        if self.nodes.iter().any(|node| is_star(node)) {
            return self.with_stars();
        }
        let names: Vec<String> = match self.columns {
            Some(columns) => columns.iter().map(|r| self.writer.words(r)).collect(),
            None => {
                let known = self.writer.map.old.columns.iter().take(self.values.len());
                known.map(|column| quote_ident(&column.name)).collect()
            }
        };
        self.check_number(names.len())?;
        let mut list = Vec::new();
        let mut values = Vec::new();
        for (place, (name, range)) in std::iter::zip(names, self.values).enumerate() {
            let node = self.nodes[place];
            if node.kind == "SetToDefault" {
                continue;
            }
            self.check_row(place, node)?;
            list.push(name);
            values.push(scalar(self.writer.words(range), node));
        }
        Ok((bracketed(&list), values.join(", ")))
    }

    /// Behind an error of the client's that the server has told already, or a table that has just got another column.
    fn check_number(&self, columns: usize) -> Result<(), Refusal> {
        let values = self.values.len();
        if values == 0 || columns == values && self.nodes.len() == values {
            return Ok(());
        }
        Err(Refusal {
            sqlstate: "42601",
            reason: if columns > values {
                "INSERT has more target columns than expressions"
            } else {
                "INSERT has more expressions than target columns"
            }
            .to_owned(),
        })
    }

    /// `s.*` is as many values as the source has columns.
    fn with_stars(&self) -> Result<(String, String), Refusal> {
        if self.nodes.iter().any(|node| node.kind == "SetToDefault") {
            return Err(Refusal::unsupported(format!(
                "DEFAULT beside all columns of \"{}\" cannot be captured; name the columns",
                self.writer.source.name
            )));
        }
        let columns = self.columns.unwrap_or_default();
        let list: Vec<String> = columns.iter().map(|r| self.writer.words(r)).collect();
        let words = |(range, node): (&Range<usize>, &&Node)| scalar(self.writer.words(range), node);
        let values: Vec<String> = std::iter::zip(self.values, &self.nodes)
            .map(words)
            .collect();
        Ok((bracketed(&list), values.join(", ")))
    }

    /// A row becomes one of the column's type only where it stands in VALUES itself.
    fn check_row(&self, place: usize, node: &Node) -> Result<(), Refusal> {
        let source = self.writer.source.name.as_str();
        let is_row = node.kind == "RowExpr"
            || node.kind == "ColumnRef" && node.names("fields")[..] == [source];
        let old = &self.writer.map.old;
        let column = match self.named.get(place) {
            Some(named) if named.has("indirection") => None,
            Some(named) => old.column(named.text("name")),
            None => old.columns.get(place),
        };
        if !is_row || column.is_some_and(|column| (1..FIRST_OF_USERS).contains(&column.type_oid)) {
            return Ok(());
        }
        Err(Refusal::unsupported(
            "a row as a value of MERGE … INSERT cannot be captured; cast it to the column's type",
        ))
    }
}

fn is_star(node: &Node) -> bool {
    node.kind == "ColumnRef" && node.names("fields").last() == Some(&"*")
}

fn bracketed(list: &[String]) -> String {
    match list {
        [] => String::new(),
        list => format!(" ({})", list.join(", ")),
    }
}

/// A value of an INSERT as one of a SELECT, which would take a function for a set of rows where VALUES takes none.
fn scalar(words: String, node: &Node) -> String {
    if node.contains(&["FuncCall"]) {
        format!("CASE WHEN true THEN {words} END")
    } else {
        words
    }
}
