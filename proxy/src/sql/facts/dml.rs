//! Facts of SELECT, INSERT, UPDATE and DELETE.

use std::ops::Range;

use crossfade_store::TableId;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Parameter `$n`.
    Param(u16),
    /// A constant, given by this token; with a minus sign before it if the flag says so.
    Literal {
        /// Token of the constant.
        token: usize,
        /// A minus sign stands before it.
        negative: bool,
    },
    /// The column's default.
    Default,
    /// NULL.
    Null,
    /// Anything else.
    Expression,
}

/// A value and its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// Where it comes from. A cast around it is part of `tokens` only.
    pub source: Source,
    /// Its tokens, the cast included; empty for [`Source::Default`] of a column that is not named.
    pub tokens: Range<usize>,
}

/// A SELECT that reads at most one row of one mapped table, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLookup {
    /// The table.
    pub table: TableId,
    /// What columns are qualified with: the alias, or the table's name.
    pub qualifier: String,
    /// One value a key column, in key order.
    pub values: Vec<KeyValue>,
    /// The WHERE says nothing but the key. Otherwise the row must also meet the rest of it, and `not found` is not told
    /// from `found and hidden`.
    pub exact: bool,
    /// What is selected.
    pub targets: Vec<TargetItem>,
}

/// An item of a select list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetItem {
    /// `*` or `t.*`.
    Star,
    /// A plain column.
    Column(String),
    /// Anything else.
    Expression,
}

/// SELECT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectFacts {
    /// Set when it is a lookup by the key of one mapped table.
    pub by_key: Option<KeyLookup>,
    /// The rows come in an order that the statement fixes.
    pub ordered: bool,
    /// LIMIT, OFFSET or FETCH FIRST.
    pub limited: bool,
    /// SELECT INTO makes a table.
    pub into: bool,
}

/// INSERT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertFacts {
    /// The mapped table it writes; `None` for another table.
    pub table: Option<TableId>,
    /// What columns are qualified with: the alias, or the table's name.
    pub qualifier: String,
    /// Columns named; `None` means all in their order.
    pub columns: Option<Vec<String>>,
    /// Where the rows come from.
    pub rows: InsertRows,
    /// The key of each row of VALUES, one value a key column in key order; empty for [`InsertRows::Select`] and other tables.
    pub keys: Vec<Vec<KeyValue>>,
    /// ON CONFLICT.
    pub conflict: Option<ConflictFacts>,
    /// The client asks for RETURNING.
    pub returning: bool,
}

/// Where the rows of an INSERT come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertRows {
    /// VALUES with this many rows.
    Values(usize),
    /// A query.
    Select,
    /// DEFAULT VALUES.
    Defaults,
}

/// ON CONFLICT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictFacts {
    /// DO UPDATE rather than DO NOTHING.
    pub update: bool,
    /// Columns that DO UPDATE sets.
    pub sets: Vec<String>,
    /// DO UPDATE sets a key column, or one that the key is computed from.
    pub sets_key: bool,
    /// Columns of the conflict target; empty without one, or when it holds an expression.
    pub columns: Vec<String>,
    /// ON CONSTRAINT.
    pub constraint: Option<String>,
}

/// UPDATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateFacts {
    /// The mapped table it writes; `None` for another table.
    pub table: Option<TableId>,
    /// What columns are qualified with: the alias, or the table's name.
    pub qualifier: String,
    /// Columns it sets.
    pub sets: Vec<String>,
    /// A key column is among them, or computed from one of them (trap 9).
    pub sets_key: bool,
    /// The WHERE pins the whole key to values: one a key column, in key order.
    pub key: Option<Vec<KeyValue>>,
    /// The WHERE says nothing but the key.
    pub exact: bool,
    /// FROM.
    pub joins: bool,
    /// The client asks for RETURNING.
    pub returning: bool,
    /// WHERE CURRENT OF this cursor.
    pub current_of: Option<String>,
}

/// DELETE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteFacts {
    /// The mapped table it writes; `None` for another table.
    pub table: Option<TableId>,
    /// What columns are qualified with: the alias, or the table's name.
    pub qualifier: String,
    /// The WHERE pins the whole key to values: one a key column, in key order.
    pub key: Option<Vec<KeyValue>>,
    /// The WHERE says nothing but the key.
    pub exact: bool,
    /// USING.
    pub joins: bool,
    /// The client asks for RETURNING.
    pub returning: bool,
    /// WHERE CURRENT OF this cursor.
    pub current_of: Option<String>,
}

/// MERGE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeFacts {
    /// The mapped table it writes; `None` for another table.
    pub table: Option<TableId>,
    /// Columns that any of its clauses sets by UPDATE.
    pub sets: Vec<String>,
    /// A key column is among them, or computed from one of them (trap 9).
    pub sets_key: bool,
    /// A clause of it deletes.
    pub deletes: bool,
}
