//! UPDATE.

use crossfade_values::{Error, Result};
use pg_query::{Node, NodeEnum, protobuf::UpdateStmt};

use super::{Binder, Output, Rules, boxed, inner, place};
use crate::{expr::Expr, plan::Select};

/// `UPDATE`.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) table: usize,
    /// Its rows, each with the document to be changed at the table's first slots.
    pub(crate) rows: Select,
    pub(crate) set: Vec<(usize, Expr)>,
    pub(crate) rules: Rules,
    pub(crate) returning: Vec<Expr>,
}

impl Binder<'_> {
    pub(super) fn update(&mut self, update: &UpdateStmt) -> Result<(Update, Option<Vec<Output>>)> {
        let top = std::mem::take(&mut self.top);
        let known = self.ctes.len();
        if let Some(with) = &update.with_clause {
            self.with(with, top)?;
        }
        self.push_frame();
        let understood = self.update_parts(update);
        self.pop_frame();
        self.ctes.truncate(known);
        understood
    }

    fn update_parts(&mut self, update: &UpdateStmt) -> Result<(Update, Option<Vec<Output>>)> {
        let range = update
            .relation
            .as_ref()
            .ok_or_else(|| Error::unsupported("this form of UPDATE"))?;
        let (table, target) = self.target(range)?;
        self.writable(table)?;
        let mut source = self.joined(target, &update.from_clause)?;
        let set = self.set_list(table, &update.target_list)?;
        let filter = self.filter(update.where_clause.as_deref(), &mut source)?;
        let rules = self.rules(table)?;
        let (returning, outputs) = self.returning(update.returning_clause.as_ref())?;
        let used = set.iter().map(|(_, expr)| expr).chain(&returning);
        let rows = self.written(source, filter, used.cloned().collect());
        Ok((
            Update {
                table,
                rows,
                set,
                rules,
                returning,
            },
            outputs,
        ))
    }

    pub(super) fn set_list(&mut self, table: usize, list: &[Node]) -> Result<Vec<(usize, Expr)>> {
        let mut set: Vec<(usize, Expr)> = Vec::new();
        self.frame().clause = "UPDATE";
        for node in list {
            let NodeEnum::ResTarget(target) = inner(node)? else {
                return Err(Error::unsupported("this form of SET"));
            };
            let column = self.column_of(table, target)?;
            if set.iter().any(|(known, _)| *known == column) {
                return Err(Error::new(
                    "42601",
                    format!("multiple assignments to same column \"{}\"", target.name),
                ));
            }
            let value = self.set_value(table, column, boxed(&target.val)?)?;
            set.push((column, value));
        }
        Ok(set)
    }

    fn set_value(&mut self, table: usize, column: usize, value: &NodeEnum) -> Result<Expr> {
        let value = match value {
            // `(a, b) = (1, 2)` and `(a, b) = ROW(1, 2)`.
            NodeEnum::MultiAssignRef(multi) => {
                let row = match boxed(&multi.source)? {
                    NodeEnum::RowExpr(row) => row,
                    NodeEnum::SubLink(sub) => {
                        return Err(Error::unsupported("several columns set from a sub-query")
                            .at(place(sub.location)));
                    }
                    NodeEnum::AConst(constant) => {
                        return Err(several().at(place(constant.location)));
                    }
                    _ => return Err(several()),
                };
                let wrong =
                    || Error::new("42601", "number of columns does not match number of values");
                if usize::try_from(multi.ncolumns).ok() != Some(row.args.len()) {
                    return Err(wrong());
                }
                let index = usize::try_from(multi.colno - 1).map_err(|_| wrong())?;
                inner(row.args.get(index).ok_or_else(wrong)?)?
            }
            value => value,
        };
        let old = &self.catalog.tables[table].map.columns[column].old;
        if matches!(value, NodeEnum::SetToDefault(_)) {
            return self.default_of(table, column);
        }
        if old.generated || old.identity_always {
            let what = if old.generated {
                "is a generated column."
            } else {
                "is an identity column defined as GENERATED ALWAYS."
            };
            return Err(Error::new(
                "428C9",
                format!("column \"{}\" can only be updated to DEFAULT", old.name),
            )
            .detail(format!("Column \"{}\" {what}", old.name)));
        }
        let (base, name) = (
            self.catalog.tables[table].columns[column].base,
            old.name.clone(),
        );
        let typed = self.expr(value)?;
        self.assign(typed, base, &name)
    }
}

fn several() -> Error {
    Error::new(
        "0A000",
        "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
    )
}
