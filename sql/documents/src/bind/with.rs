//! WITH.

use crossfade_values::{Error, Result};
use pg_query::{
    Node, NodeEnum,
    protobuf::{SelectStmt, WithClause},
};

use super::{Binder, Cte, Output, Statement, boxed, inner, names, place};
use crate::plan::Query;

/// A statement with WITH queries that write.
#[derive(Debug)]
pub(crate) struct With {
    /// In their order.
    pub(crate) parts: Vec<Part>,
    pub(crate) main: Statement,
    /// The parts that `main` reads, in this order.
    pub(crate) reads: Vec<usize>,
}

/// A WITH query that writes.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its number among the statement's queries.
    pub(crate) id: usize,
    pub(crate) statement: Statement,
    /// The parts that it reads, in this order.
    pub(crate) reads: Vec<usize>,
}

/// What a WITH query is.
struct Bound {
    id: usize,
    query: Query,
    outputs: Option<Vec<Output>>,
    reads: Vec<usize>,
}

impl Binder<'_> {
    /// `top`: nothing is around the statement that it belongs to.
    pub(super) fn with(&mut self, with: &WithClause, top: bool) -> Result<()> {
        if with.recursive {
            return Err(Error::unsupported("WITH RECURSIVE").at(place(with.location)));
        }
        for (index, cte) in with.ctes.iter().enumerate() {
            let NodeEnum::CommonTableExpr(cte) = inner(cte)? else {
                return Err(Error::unsupported("this form of WITH"));
            };
            let at = place(cte.location);
            let known = with.ctes[..index]
                .iter()
                .any(|other| cte_name(other) == Some(&cte.ctename));
            if known {
                let told = format!(
                    "WITH query name \"{}\" specified more than once",
                    cte.ctename
                );
                return Err(Error::new("42712", told).at(at));
            }
            let node = boxed(&cte.ctequery)?;
            if let NodeEnum::MergeStmt(_) = node {
                return Err(Error::new("0A000", "MERGE not supported in WITH query").at(at));
            }
            let mut bound = self.bound(node).map_err(|error| {
                let later = with.ctes[index..].iter().filter_map(cte_name);
                forward(error, later)
            })?;
            if !top && !matches!(node, NodeEnum::SelectStmt(_)) {
                let told =
                    "WITH clause containing a data-modifying statement must be at the top level";
                return Err(Error::new("0A000", told).at(at));
            }
            let outputs = bound.outputs.as_deref_mut().unwrap_or_default();
            let renamed = names(&cte.aliascolnames);
            if renamed.len() > outputs.len() {
                let told = format!(
                    "WITH query \"{}\" has {} columns available but {} columns specified",
                    cte.ctename,
                    outputs.len(),
                    renamed.len()
                );
                return Err(Error::new("42P10", told).at(at));
            }
            for (output, name) in outputs.iter_mut().zip(renamed) {
                output.name = name.to_owned();
            }
            self.ctes.push(Cte {
                id: bound.id,
                name: cte.ctename.clone(),
                query: bound.query,
                outputs: bound.outputs,
                reads: bound.reads,
            });
        }
        Ok(())
    }

    fn bound(&mut self, node: &NodeEnum) -> Result<Bound> {
        let around = std::mem::take(&mut self.reads);
        let bound = match node {
            NodeEnum::SelectStmt(select) => self
                .cte(select)
                .map(|(query, outputs)| (query, Some(outputs))),
            node => self.part(node),
        };
        let reads = std::mem::replace(&mut self.reads, around);
        let (query, outputs) = bound?;
        let (id, reads) = match query {
            Query::Written(id) => {
                if let Some(part) = self.parts.last_mut() {
                    part.reads = reads;
                }
                (id, vec![id])
            }
            _ => (self.next_id(), reads),
        };
        Ok(Bound {
            id,
            query,
            outputs,
            reads,
        })
    }

    /// A WITH query that writes.
    fn part(&mut self, node: &NodeEnum) -> Result<(Query, Option<Vec<Output>>)> {
        let scopes = std::mem::take(&mut self.scopes);
        let understood = self.understand(node);
        self.scopes = scopes;
        let (statement, outputs) = understood?;
        let id = self.next_id();
        self.parts.push(Part {
            id,
            statement,
            reads: Vec::new(),
        });
        Ok((Query::Written(id), outputs))
    }

    /// The statement with what its WITH queries write.
    pub(super) fn whole(&mut self, main: Statement) -> Statement {
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return main;
        }
        let reads = std::mem::take(&mut self.reads);
        let with = |main| Statement::With(Box::new(With { parts, main, reads }));
        match main {
            Statement::CopyTo(mut copy) => {
                copy.statement = with(copy.statement);
                Statement::CopyTo(copy)
            }
            main => with(main),
        }
    }

    /// It is run once, so it sees no row around it.
    fn cte(&mut self, select: &SelectStmt) -> Result<(Query, Vec<Output>)> {
        let scopes = std::mem::take(&mut self.scopes);
        let understood = self.query(select);
        self.scopes = scopes;
        if understood.is_err() && self.query(select).is_ok() {
            return Err(Error::unsupported(
                "a WITH query that looks at rows around it",
            ));
        }
        understood
    }
}

fn cte_name(node: &Node) -> Option<&String> {
    match node.node.as_ref() {
        Some(NodeEnum::CommonTableExpr(cte)) => Some(&cte.ctename),
        _ => None,
    }
}

/// A relation that is not there, where a later WITH query has its name.
fn forward<'n>(error: Error, mut later: impl Iterator<Item = &'n String>) -> Error {
    let of = |name: &String| format!("relation \"{name}\" does not exist") == error.message;
    match later.find(|name| of(name)) {
        Some(name) => error
            .clone()
            .detail(format!(
                "There is a WITH item named \"{name}\", but it cannot be referenced from this part of the query."
            ))
            .hint("Use WITH RECURSIVE, or re-order the WITH items to remove forward references."),
        None => error,
    }
}
