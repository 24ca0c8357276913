//! Statements that are understood, and those that were lately.

use std::{collections::HashMap, sync::Arc};

use crossfade_values::Oid;
use pg_query::NodeEnum;

use crate::{Column, Prepared, questions::Question, report::Report};

/// A statement.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Its own text: offsets in the tree count from its begin.
    pub(crate) text: Arc<str>,
    /// Where that begins in what the client sent.
    pub(crate) offset: usize,
    /// Parameter types as given, 0 for open.
    pub(crate) given: Vec<Oid>,
    /// Parameter types as found.
    pub(crate) params: Vec<Oid>,
    pub(crate) work: Work,
    /// For which settings that holds.
    pub(crate) generation: u64,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Work {
    /// An empty text.
    Nothing,
    /// The engine's, with what it is called.
    Engine(&'static str, Prepared),
    Question(Question, Vec<Column>),
    /// The session's own. Columns where they are known beforehand.
    Own(Box<NodeEnum>, Option<Vec<Column>>),
}

impl Statement {
    #[cfg(test)]
    pub(crate) fn nothing() -> Statement {
        Statement {
            text: "".into(),
            offset: 0,
            given: Vec::new(),
            params: Vec::new(),
            work: Work::Nothing,
            generation: 0,
        }
    }

    /// Whether it may run in a block that has failed: it ends the block or goes back in it.
    pub(crate) fn is_exit(&self) -> bool {
        match &self.work {
            Work::Own(node, _) => is_exit(node),
            Work::Nothing | Work::Engine(..) | Work::Question(..) => false,
        }
    }

    /// Whether its text is empty.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self.work, Work::Nothing)
    }

    /// An error with its place in what the client sent.
    pub(crate) fn locate(&self, report: Report, source: &str) -> Report {
        report.located(source, self.offset)
    }
}

/// Whether a statement may run in a block that has failed.
pub(crate) fn is_exit(node: &NodeEnum) -> bool {
    use pg_query::protobuf::TransactionStmtKind as Kind;
    match node {
        NodeEnum::TransactionStmt(statement) => matches!(
            statement.kind(),
            Kind::TransStmtCommit
                | Kind::TransStmtRollback
                | Kind::TransStmtRollbackTo
                | Kind::TransStmtPrepare
        ),
        _ => false,
    }
}

/// Texts longer than this are not remembered.
const LONGEST: usize = 8 * 1024;

/// So many texts are remembered.
const MOST: usize = 128;

/// Statements by their text and given types, the least lately used ones forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    known: HashMap<Key, (Arc<Statement>, u64)>,
    clock: u64,
}

type Key = (Arc<str>, Vec<Oid>);

impl Cache {
    /// The statement of a text, if it still means the same.
    pub(crate) fn get(
        &mut self,
        text: &Arc<str>,
        given: &[Oid],
        generation: u64,
    ) -> Option<Arc<Statement>> {
        if text.len() > LONGEST {
            return None;
        }
        self.clock += 1;
        let (statement, used) = self.known.get_mut(&(text.clone(), given.to_vec()))?;
        if statement.generation != generation {
            return None;
        }
        *used = self.clock;
        Some(statement.clone())
    }

    /// Remembers the only statement of a text.
    pub(crate) fn put(&mut self, text: &Arc<str>, statement: &Arc<Statement>) {
        if text.len() > LONGEST {
            return;
        }
        if self.known.len() >= MOST {
            self.forget_oldest();
        }
        let key = (text.clone(), statement.given.clone());
        self.known.insert(key, (statement.clone(), self.clock));
    }

    /// A quarter at a time, so that not every new text costs a search.
    fn forget_oldest(&mut self) {
        let mut used: Vec<u64> = self.known.values().map(|(_, used)| *used).collect();
        used.sort_unstable();
        let keep_from = used[used.len() / 4];
        self.known.retain(|_, (_, used)| *used > keep_from);
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}
