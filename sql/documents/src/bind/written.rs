//! What the statements that write have in common: the table, its rows, RETURNING.

use crossfade_values::{Error, Result};
use pg_query::{
    Node,
    protobuf::{ResTarget, ReturningClause},
};

use super::{Binder, Output, place};
use crate::{
    expr::Expr,
    plan::{Distinct, From, JoinKind, Select, Tail},
};

type Returned = (Vec<Expr>, Option<Vec<Output>>);

impl Binder<'_> {
    pub(super) fn column_of(&self, table: usize, target: &ResTarget) -> Result<usize> {
        let of = &self.catalog.tables[table];
        if !target.indirection.is_empty() && of.column(&target.name).is_some() {
            return Err(
                Error::unsupported("a part of a column as a target").at(place(target.location))
            );
        }
        of.column(&target.name).ok_or_else(|| {
            if of.has_dropped(&target.name) {
                return Error::new(
                    "0A000",
                    format!("column \"{}\" is not carried to the documents", target.name),
                )
                .at(place(target.location));
            }
            Error::new(
                "42703",
                format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    target.name,
                    of.name()
                ),
            )
            .at(place(target.location))
        })
    }

    pub(super) fn returning(&mut self, clause: Option<&ReturningClause>) -> Result<Returned> {
        let Some(clause) = clause else {
            return Ok((Vec::new(), None));
        };
        if !clause.options.is_empty() {
            return Err(Error::unsupported("RETURNING WITH"));
        }
        self.frame().clause = "RETURNING";
        let targets = self.targets(&clause.exprs, &[])?;
        let outputs = targets.iter().map(|target| target.output.clone()).collect();
        let exprs = targets
            .into_iter()
            .map(|target| target.typed.expr)
            .collect();
        Ok((exprs, Some(outputs)))
    }

    /// The written table beside what FROM or USING adds.
    pub(super) fn joined(&mut self, target: From, others: &[Node]) -> Result<From> {
        if others.is_empty() {
            return Ok(target);
        }
        let between = self.frame().width;
        let right = self.from(others)?;
        let end = self.frame().width;
        Ok(From::Join(Box::new(crate::plan::Join {
            kind: JoinKind::Inner,
            left: target,
            right,
            left_slots: 0..between,
            right_slots: between..end,
            equal: Vec::new(),
            on: Vec::new(),
            lateral: false,
        })))
    }

    /// The rows of an UPDATE or DELETE, whole, with the document of the table at slot 0.
    pub(super) fn written(
        &mut self,
        mut from: From,
        filter: Vec<Expr>,
        targets: Vec<Expr>,
    ) -> Select {
        super::select::mark_whole(&mut from, &[0]);
        let mut select = Select {
            width: self.frame().width,
            from,
            filter,
            group: None,
            visible: 0,
            types: Vec::new(),
            targets,
            distinct: Distinct::No,
            tail: Tail::default(),
            locking: None,
        };
        self.needs(&mut select);
        need_all(&mut select.from, self);
        select
    }
}

/// Of the written table every column is needed: the rules look at the whole row.
fn need_all(from: &mut From, binder: &Binder<'_>) {
    match from {
        From::Scan(scan) if scan.base == 0 => {
            scan.needed = (0..binder.catalog.tables[scan.table].columns.len()).collect();
        }
        From::Join(join) => {
            need_all(&mut join.left, binder);
        }
        From::Nothing | From::Scan(_) | From::System(_) | From::Query(_) | From::Function(_) => {}
    }
}
