//! What is known of a statement before any phase is looked at.

use std::{collections::BTreeMap, ops::Range};

use crossfade_store::TableId;

use super::{
    rewrite::{Plans, Script},
    tree::Node,
};

mod dml;
mod kind;
mod session;

pub use dml::{
    ConflictFacts, DeleteFacts, InsertFacts, InsertRows, KeyLookup, KeyValue, MergeFacts,
    SelectFacts, Source, TargetItem, UpdateFacts,
};
pub use kind::{DiscardTarget, Kind};
pub use session::{CopyFacts, CursorFetch, Isolation, SetAction, SetFacts, SetTarget};

/// The statements of one query text. Shared by all texts with the same normal form: positions are token indexes, which mean the
/// same in each of them.
#[derive(Debug)]
pub struct Facts {
    /// One entry a statement, in order; empty when `problem` is there, or when the text holds no statement.
    pub statements: Vec<StatementFacts>,
    /// Why there are no statements.
    pub problem: Option<Problem>,
    pub(super) script: Script,
}

/// A text that could not be analysed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The grammar refuses it. The grammar is PostgreSQL 18's: an older or newer server may take it after all, so it must be
    /// relayed only where it cannot do harm (as a Parse, say).
    Grammar(String),
    /// It may well be valid, but cannot be analysed: nested too deep, or not in UTF-8.
    Beyond(String),
}

/// One statement.
#[derive(Debug)]
pub struct StatementFacts {
    /// Its tokens (without space and comments), without the semicolon.
    pub tokens: Range<usize>,
    /// What it is.
    pub kind: Kind,
    /// Uses of mapped tables, each (table, role) once.
    pub mapped: Vec<TableUse>,
    /// Views, children and writing functions through which mapped tables are reached.
    pub aliases: Vec<AliasUse>,
    /// A relation is named that is neither mapped nor a CTE nor of the system catalogs.
    pub other_tables: bool,
    /// A relation of the system catalogs is named.
    pub catalog_tables: bool,
    /// Functions called, by their last name, each once.
    pub functions: Vec<String>,
    /// Things that bind a statement to one store or one moment.
    pub traits: Traits,
    /// The greatest parameter number; 0 without parameters.
    pub params: u16,
    /// Mapped tables by the token of their name.
    pub(super) relations: BTreeMap<usize, TableId>,
    pub(super) tree: Node,
    /// WITH queries that write, in order.
    pub(super) parts: Vec<Part>,
    pub(super) plans: Plans,
}

/// A WITH query that writes, which PostgreSQL allows at the top of a statement only.
#[derive(Debug)]
pub(super) struct Part {
    /// Its name.
    pub(super) name: String,
    /// How many names its columns are given.
    pub(super) aliases: usize,
    /// Its tokens from the name to the bracket before the statement, that one included.
    pub(super) head: Range<usize>,
    /// The bracket behind the statement.
    pub(super) close: usize,
    /// The statement by itself. Of what it touches only the table that it writes is told.
    pub(super) statement: StatementFacts,
}

/// Things that bind a statement to one store or one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Traits {
    /// `nextval`, `currval`, `lastval`, `setval` (trap 32).
    pub sequences: bool,
    /// An advisory lock function (trap 32).
    pub advisory: bool,
    /// `set_config` (trap 32).
    pub set_config: bool,
    /// A function whose value differs from one moment, session or call to the next (trap 6).
    pub unstable: bool,
    /// FOR UPDATE and its kin (trap 23).
    pub locking: bool,
    /// A CTE that writes.
    pub modifying_cte: bool,
    /// A sub-select in an expression.
    pub sublink: bool,
    /// A temporary table is made.
    pub temporary: bool,
}

/// How a statement touches a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Rows are read.
    Read,
    /// Rows (or the table itself) are changed.
    Write,
}

/// One use of a mapped table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableUse {
    /// The table.
    pub table: TableId,
    /// How it is used.
    pub role: Role,
}

/// Something that reaches mapped tables without being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasUse {
    /// Its name as typed, folded.
    pub name: String,
    /// What it is.
    pub kind: AliasKind,
    /// How the statement uses it.
    pub role: Role,
    /// The mapped tables behind it.
    pub tables: Vec<TableId>,
}

/// What reaches a mapped table without being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasKind {
    /// A view or its kin.
    View,
    /// A partition, an inheritance child, or a parent of a mapped table.
    Child,
    /// A function whose body names a mapped table together with a word that writes.
    WritingFunction,
}

impl Facts {
    /// A text without any statement to analyse.
    pub(super) fn problem(problem: Problem) -> Facts {
        Facts {
            statements: Vec::new(),
            problem: Some(problem),
            script: Script::default(),
        }
    }
}

impl StatementFacts {
    /// Whether a mapped table is touched, by its own name or another.
    #[must_use]
    pub fn touches_mapped(&self) -> bool {
        !self.mapped.is_empty() || !self.aliases.is_empty()
    }

    /// Whether a mapped table is written, by its own name or another.
    #[must_use]
    pub fn writes_mapped(&self) -> bool {
        self.mapped.iter().any(|found| found.role == Role::Write)
            || self.aliases.iter().any(|found| found.role == Role::Write)
    }

    /// The mapped tables that it writes by INSERT, UPDATE or DELETE, each with the statement that does so: its WITH queries' first.
    pub fn rows_written(&self) -> impl Iterator<Item = (TableId, &Kind)> {
        let parts = self.parts.iter().map(|part| &part.statement.kind);
        parts
            .chain([&self.kind])
            .filter_map(|kind| Some((kind.written()?, kind)))
    }

    /// The mapped tables touched, each once, those behind views and the like among them.
    #[must_use]
    pub fn tables(&self) -> Vec<TableId> {
        let mut tables: Vec<_> = self.mapped.iter().map(|found| found.table).collect();
        tables.extend(
            self.aliases
                .iter()
                .flat_map(|found| found.tables.iter().copied()),
        );
        tables.sort_unstable();
        tables.dedup();
        tables
    }
}
