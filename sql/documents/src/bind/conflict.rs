//! ON CONFLICT.

use crossfade_values::{Error, Result};
use pg_query::{
    NodeEnum,
    protobuf::{OnConflictAction, OnConflictClause},
};

use super::{Binder, inner, place};
use crate::expr::Expr;

/// `ON CONFLICT`.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// Unique indexes that count, by index in the table; all where none is named.
    pub(crate) arbiters: Vec<usize>,
    pub(crate) update: Option<ConflictUpdate>,
}

/// `DO UPDATE`: over a row of the document that is there, then of the one that was to be inserted.
#[derive(Debug)]
pub(crate) struct ConflictUpdate {
    pub(crate) set: Vec<(usize, Expr)>,
    pub(crate) filter: Vec<Expr>,
}

impl Binder<'_> {
    pub(super) fn conflict(&mut self, table: usize, clause: &OnConflictClause) -> Result<Conflict> {
        let at = place(clause.location);
        let arbiters = self.arbiters(table, clause)?;
        if clause.action() == OnConflictAction::OnconflictNothing {
            return Ok(Conflict {
                arbiters,
                update: None,
            });
        }
        if clause.infer.is_none() {
            return Err(Error::new(
                "42601",
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .hint("For example, ON CONFLICT (column_name).")
            .at(at));
        }
        let outputs = self.outputs_of(table);
        self.add_named("excluded", outputs)?;
        let set = self.set_list(table, &clause.target_list)?;
        let filter = match &clause.where_clause {
            Some(node) => {
                let typed = self.expr(inner(node)?)?;
                vec![self.condition(typed, "WHERE")?]
            }
            None => Vec::new(),
        };
        Ok(Conflict {
            arbiters,
            update: Some(ConflictUpdate { set, filter }),
        })
    }

    fn arbiters(&self, table: usize, clause: &OnConflictClause) -> Result<Vec<usize>> {
        let of = &self.catalog.tables[table];
        let Some(infer) = &clause.infer else {
            return Ok(Vec::new());
        };
        if !infer.conname.is_empty() {
            let found = of
                .uniques
                .iter()
                .position(|unique| unique.name == infer.conname);
            return found.map(|index| vec![index]).ok_or_else(|| {
                Error::new(
                    "42704",
                    format!(
                        "constraint \"{}\" for table \"{}\" does not exist",
                        infer.conname,
                        of.name()
                    ),
                )
            });
        }
        let mut columns = Vec::new();
        for node in &infer.index_elems {
            let NodeEnum::IndexElem(elem) = inner(node)? else {
                return Err(Error::unsupported("this form of ON CONFLICT"));
            };
            if elem.name.is_empty() {
                return Err(Error::unsupported("ON CONFLICT over an expression"));
            }
            let missing = || {
                Error::new("42703", format!("column \"{}\" does not exist", elem.name))
                    .at(place(infer.location))
            };
            columns.push(of.column(&elem.name).ok_or_else(missing)?);
        }
        columns.sort_unstable();
        columns.dedup();
        let same = |unique: &crate::catalog::Unique| {
            let mut of = unique.columns.clone();
            of.sort_unstable();
            of == columns
        };
        let found: Vec<usize> = (0..of.uniques.len())
            .filter(|index| same(&of.uniques[*index]))
            .collect();
        if found.is_empty() {
            return Err(Error::new(
                "42P10",
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            ));
        }
        Ok(found)
    }
}
