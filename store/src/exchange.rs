//! Rows that are to get unique values which others of them have.

use bytes::Bytes;

use crate::Row;

/// How the rows let go of such values before they get the right ones, in one transaction ([`crate::Store::exchange`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetGo {
    /// These take another value for that time. Each keeps its row, and what points to it.
    Aside(Vec<Aside>),
    /// All of them are deleted and put in again. Only where nothing but the row itself is touched by that.
    Anew,
}

/// A row that is to take another value in one of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The row as the other store has it: its key is looked for.
    pub row: Row,
    /// Places in [`crate::TableMap::columns`] with a value each, in canonical text of the other store's column. The first one that the store takes is taken.
    pub tries: Vec<(usize, Option<Bytes>)>,
}

/// What became of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// All changes are made.
    Written,
    /// Nothing was changed, and why.
    Refused(String),
}
