//! Portals: statements with their parameters, running or about to.

use std::sync::Arc;

use crossfade_values::Value;

use crate::{
    Column, Prepared,
    protocol::backend::Formats,
    sink::Kept,
    statement::{Statement, Work},
};

/// A portal.
#[derive(Debug)]
pub(crate) struct Portal {
    pub(crate) what: What,
    /// Savepoints there were when it was made.
    pub(crate) level: usize,
}

/// Where it came from.
#[derive(Debug)]
pub(crate) enum What {
    /// By Bind.
    Bound(Bound),
    /// By DECLARE.
    Cursor(Cursor),
}

/// A statement with its parameters.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) statement: Arc<Statement>,
    pub(crate) source: Arc<str>,
    pub(crate) params: Vec<Value>,
    pub(crate) results: Formats,
    pub(crate) progress: Progress,
}

/// How far it has run.
#[derive(Debug)]
pub(crate) enum Progress {
    Fresh,
    /// It ran; these rows are left.
    Portioned {
        kept: Kept,
        tag: String,
    },
    /// It ran, and its rows are gone.
    Done {
        tag: String,
    },
}

/// A cursor: all its rows, and the place in them.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) statement: Arc<Statement>,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Box<[Value]>>,
    /// 0 before the first row, n on the n-th, past the last one more than there are.
    pub(crate) at: usize,
    pub(crate) scrolls: bool,
}

impl Portal {
    /// What it is the answer of; `None` for what is not the engine's.
    pub(crate) fn prepared(&self) -> Option<&Prepared> {
        let statement = match &self.what {
            What::Bound(bound) => &bound.statement,
            What::Cursor(cursor) => &cursor.statement,
        };
        match &statement.work {
            Work::Engine(_, prepared) => Some(prepared),
            Work::Nothing | Work::Question(..) | Work::Own(..) => None,
        }
    }
}

impl Bound {
    /// The columns of its answer, where they are known from the statement alone.
    pub(crate) fn columns(&self) -> Option<&[Column]> {
        columns(&self.statement)
    }
}

/// The columns of a statement's answer, where they are known from the statement alone.
pub(crate) fn columns(statement: &Statement) -> Option<&[Column]> {
    match &statement.work {
        Work::Nothing => None,
        Work::Engine(_, prepared) => prepared.columns.as_deref(),
        Work::Question(_, columns) => Some(columns),
        Work::Own(_, columns) => columns.as_deref(),
    }
}
