//! From the grammar's tree to plans: names found, types known, everything that cannot be served refused.

mod call;
mod coerce;
mod conflict;
mod copy;
mod delete;
mod expr;
mod figure;
mod find;
mod from;
mod function;
mod group;
mod insert;
mod join;
mod locking;
mod merge;
mod offer;
mod operator;
mod rules;
mod select;
mod sort;
mod subquery;
mod truncate;
mod update;
mod values;
mod with;
mod written;

use std::{collections::BTreeSet, sync::Arc};

use crossfade_values::{Error, Oid, Result, Session, Type, oid};
use pg_query::{Node, NodeEnum};

pub(crate) use conflict::{Conflict, ConflictUpdate};
pub(crate) use copy::{CopyFrom, CopyTo, Images};
pub(crate) use delete::Delete;
pub(crate) use insert::{Insert, Source};
pub(crate) use merge::{Action, Merge};
pub(crate) use rules::{DomainRule, Rules};
pub(crate) use truncate::Truncate;
pub(crate) use update::Update;
pub(crate) use with::{Part, With};

use crate::{
    catalog::Catalog,
    expr::Typed,
    plan::{Agg, Query},
};

/// A statement as it is understood.
#[derive(Debug)]
pub(crate) enum Statement {
    Query(Query),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Merge(Box<Merge>),
    CopyFrom(Box<CopyFrom>),
    CopyTo(Box<CopyTo>),
    Images(Images),
    Truncate(Truncate),
    With(Box<With>),
}

/// A column of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// As the catalog has it, where it is a table's column.
    pub(crate) declared: Type,
    pub(crate) table: Oid,
    pub(crate) number: i16,
    pub(crate) by_bytes: bool,
    /// Byte offset in the statement of what it is computed by; 0 where it has none.
    pub(crate) at: usize,
    /// A literal without a type, which is text unless something else is wanted.
    pub(crate) literal: bool,
}

impl Output {
    /// Of no table.
    fn plain(name: impl Into<String>, ty: Type, by_bytes: bool, at: usize) -> Output {
        Output {
            name: name.into(),
            ty,
            declared: ty,
            table: 0,
            number: 0,
            by_bytes,
            at,
            literal: false,
        }
    }
}

/// Finds out what a statement means.
pub(crate) struct Binder<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) session: &'a Session,
    /// Types of the parameters; 0 while open.
    pub(crate) params: Vec<Oid>,
    /// Innermost last.
    scopes: Vec<Frame>,
    ctes: Vec<Cte>,
    /// WITH queries that write.
    parts: Vec<Part>,
    /// Which of them the query at hand reads, in this order.
    reads: Vec<usize>,
    /// Nothing is around the next statement: it may have such queries.
    top: bool,
    subs: usize,
    /// Tables that queries read.
    pub(crate) scanned: BTreeSet<usize>,
    /// Columns that take the next SELECT's targets: literals and parameters without a type take theirs.
    wanted: Vec<(Type, String)>,
}

/// The names of one query.
#[derive(Debug, Default)]
struct Frame {
    relations: Vec<Relation>,
    /// Slots given out.
    width: usize,
    /// A sub-query in FROM does not see what stands beside it.
    hidden: bool,
    /// Names that were there and are not to be seen here.
    gone: Vec<String>,
    /// Aggregates found, where there may be any.
    aggregates: Option<Vec<Agg>>,
    /// Within an aggregate's arguments.
    within: bool,
    clause: &'static str,
}

/// Something in FROM.
#[derive(Debug, Clone)]
struct Relation {
    /// Its alias, or its name.
    name: String,
    /// Where it can be named with its schema.
    schema: Option<String>,
    columns: Vec<Named>,
    /// A mapped table.
    table: Option<usize>,
    base: usize,
    /// Only columns of it can be named: what USING merged is to be found first.
    unnamed: bool,
    /// A table of the system's, with the columns that drivers ask for.
    system: bool,
}

/// A column of a relation.
#[derive(Debug, Clone)]
struct Named {
    name: String,
    /// What it is.
    column: Typed,
    output: Output,
    /// Merged by USING: not to be found without its relation's name, and not in `*`.
    merged: bool,
}

#[derive(Debug, Clone)]
struct Cte {
    id: usize,
    name: String,
    query: Query,
    /// `None` where it writes, and gives nothing back.
    outputs: Option<Vec<Output>>,
    /// WITH queries that write which it reads, or is.
    reads: Vec<usize>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(catalog: &'a Catalog, session: &'a Session, params: &[Oid]) -> Binder<'a> {
        Binder {
            catalog,
            session,
            params: params.to_vec(),
            scopes: Vec::new(),
            ctes: Vec::new(),
            parts: Vec::new(),
            reads: Vec::new(),
            top: true,
            subs: 0,
            scanned: BTreeSet::new(),
            wanted: Vec::new(),
        }
    }

    /// The statement and its answer's columns.
    ///
    /// # Errors
    /// What PostgreSQL says of a wrong statement; 0A000 for one that cannot be served.
    pub(crate) fn statement(
        &mut self,
        node: &NodeEnum,
    ) -> Result<(Statement, Option<Vec<Output>>)> {
        // No expression begins a statement: what is said to be there has no place.
        let understood = self.understand(node).map_err(|error| Error {
            at: error.at.filter(|at| *at > 0),
            ..error
        })?;
        let understood = (self.whole(understood.0), understood.1);
        // Its text is a name, which only the catalog knows.
        let named = |output: &Output| output.ty.oid == oid::REGCLASS;
        if understood.1.iter().flatten().any(named) {
            return Err(
                Error::unsupported("a value of the type regclass in an answer")
                    .hint("cast it to oid"),
            );
        }
        for (index, param) in self.params.iter().enumerate() {
            if *param == 0 {
                return Err(Error::new(
                    "42P18",
                    format!("could not determine data type of parameter ${}", index + 1),
                ));
            }
        }
        Ok(understood)
    }

    fn understand(&mut self, node: &NodeEnum) -> Result<(Statement, Option<Vec<Output>>)> {
        Ok(match node {
            NodeEnum::SelectStmt(select) => {
                let (query, outputs) = self.query(select)?;
                (Statement::Query(query), Some(outputs))
            }
            NodeEnum::InsertStmt(insert) => {
                let (insert, outputs) = self.insert(insert)?;
                (Statement::Insert(Box::new(insert)), outputs)
            }
            NodeEnum::UpdateStmt(update) => {
                let (update, outputs) = self.update(update)?;
                (Statement::Update(Box::new(update)), outputs)
            }
            NodeEnum::DeleteStmt(delete) => {
                let (delete, outputs) = self.delete(delete)?;
                (Statement::Delete(Box::new(delete)), outputs)
            }
            NodeEnum::MergeStmt(merge) => (Statement::Merge(Box::new(self.merge(merge)?)), None),
            NodeEnum::CopyStmt(copy) => (self.copy(copy)?, None),
            NodeEnum::TruncateStmt(truncate) => {
                (Statement::Truncate(self.truncate(truncate)?), None)
            }
            other => return Err(Error::unsupported(kind_of(other))),
        })
    }

    fn frame(&mut self) -> &mut Frame {
        if self.scopes.is_empty() {
            self.scopes.push(Frame::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn push_frame(&mut self) {
        self.scopes.push(Frame::default());
    }

    fn pop_frame(&mut self) -> Frame {
        self.scopes.pop().unwrap_or_default()
    }

    fn next_id(&mut self) -> usize {
        self.subs += 1;
        self.subs
    }
}

/// The node inside, which the grammar always gives.
fn inner(node: &Node) -> Result<&NodeEnum> {
    node.node
        .as_ref()
        .ok_or_else(|| Error::new("XX000", "crossfade: an empty node"))
}

fn boxed(node: &Option<Box<Node>>) -> Result<&NodeEnum> {
    match node {
        Some(node) => inner(node),
        None => Err(Error::new("XX000", "crossfade: a missing node")),
    }
}

/// A list of names: `schema.name`.
fn names(nodes: &[Node]) -> Vec<&str> {
    nodes
        .iter()
        .filter_map(|node| match node.node.as_ref() {
            Some(NodeEnum::String(text)) => Some(text.sval.as_str()),
            _ => None,
        })
        .collect()
}

/// The byte at which a node stands.
fn place(location: i32) -> usize {
    usize::try_from(location).unwrap_or_default()
}

fn kind_of(node: &NodeEnum) -> String {
    let text = format!("{node:?}");
    let kind: String = text
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    match kind.trim_end_matches("Stmt") {
        "Explain" => "EXPLAIN".to_owned(),
        kind => format!("a statement of the kind {kind}"),
    }
}

/// A shared sub-query.
fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
