//! DELETE.

use crossfade_values::{Error, Result};
use pg_query::protobuf::DeleteStmt;

use super::{Binder, Output};
use crate::{expr::Expr, plan::Select};

/// `DELETE`.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) table: usize,
    pub(crate) rows: Select,
    pub(crate) returning: Vec<Expr>,
}

impl Binder<'_> {
    pub(super) fn delete(&mut self, delete: &DeleteStmt) -> Result<(Delete, Option<Vec<Output>>)> {
        let top = std::mem::take(&mut self.top);
        let known = self.ctes.len();
        if let Some(with) = &delete.with_clause {
            self.with(with, top)?;
        }
        self.push_frame();
        let understood = self.delete_parts(delete);
        self.pop_frame();
        self.ctes.truncate(known);
        understood
    }

    fn delete_parts(&mut self, delete: &DeleteStmt) -> Result<(Delete, Option<Vec<Output>>)> {
        let range = delete
            .relation
            .as_ref()
            .ok_or_else(|| Error::unsupported("this form of DELETE"))?;
        let (table, target) = self.target(range)?;
        if self.catalog.tables[table].map.old.row_security {
            return Err(Error::unsupported(
                "a write of a table with row-level security",
            ));
        }
        let mut source = self.joined(target, &delete.using_clause)?;
        let filter = self.filter(delete.where_clause.as_deref(), &mut source)?;
        let (returning, outputs) = self.returning(delete.returning_clause.as_ref())?;
        let rows = self.written(source, filter, returning.clone());
        Ok((
            Delete {
                table,
                rows,
                returning,
            },
            outputs,
        ))
    }
}
