//! GROUP BY and aggregates: targets over groups instead of rows.

use crossfade_values::{Error, Oid, Result};
use pg_query::{Node, NodeEnum};

use super::{Binder, inner, sort::Target};
use crate::{expr::Expr, plan::Group};

impl Binder<'_> {
    /// The expressions of GROUP BY.
    pub(super) fn group_keys(
        &mut self,
        clause: &[Node],
        targets: &[Target],
        visible: usize,
    ) -> Result<Vec<(Expr, Oid)>> {
        let mut keys = Vec::new();
        for node in clause {
            let node = inner(node)?;
            if let NodeEnum::GroupingSet(_) = node {
                return Err(Error::unsupported("GROUPING SETS, ROLLUP and CUBE"));
            }
            let typed = match self.named_target(node, targets, visible, "GROUP BY")? {
                Some(target) => targets[target].typed.clone(),
                None => {
                    self.frame().clause = "GROUP BY";
                    let saved = self.frame().aggregates.take();
                    let typed = self.expr(node);
                    self.frame().aggregates = saved;
                    let typed = typed?;
                    self.settle(typed)?
                }
            };
            keys.push((typed.expr, typed.ty.oid));
        }
        Ok(keys)
    }

    /// Rewrites what is computed over groups: a key is a column of the group, an aggregate one behind the keys. Columns that depend on a key are keys
    /// themselves.
    pub(super) fn over_groups(
        &mut self,
        group: &mut Group,
        targets: &mut [Target],
        having: Option<Expr>,
    ) -> Result<()> {
        let dependent = self.dependent(group);
        let mut used = Vec::new();
        let mut look = |expr: &Expr| expr.columns(&mut |slot| used.push(slot));
        targets.iter().for_each(|target| look(&target.typed.expr));
        having.iter().for_each(look);
        used.sort_unstable();
        used.dedup();
        for (slot, ty) in dependent {
            let known = group
                .keys
                .iter()
                .any(|(key, _)| matches!(key, Expr::Column(known) if *known == slot));
            if used.contains(&slot) && !known {
                group.keys.push((Expr::Column(slot), ty));
            }
        }
        for target in targets {
            let at = target.typed.at;
            self.lift(&mut target.typed.expr, group)
                .map_err(|error| error.at(at))?;
        }
        if let Some(mut having) = having {
            self.lift(&mut having, group)?;
            group.having = Some(having);
        }
        Ok(())
    }

    /// Columns of tables whose whole primary key is grouped by.
    fn dependent(&mut self, group: &Group) -> Vec<(usize, Oid)> {
        let grouped = |slot: usize| {
            group
                .keys
                .iter()
                .any(|(key, _)| matches!(key, Expr::Column(known) if *known == slot))
        };
        let catalog = self.catalog;
        let mut all = Vec::new();
        for relation in &self.frame().relations {
            let Some(table) = relation.table else {
                continue;
            };
            let table = &catalog.tables[table];
            if table
                .map
                .key
                .iter()
                .all(|column| grouped(relation.base + column))
            {
                let columns = table.columns.iter().enumerate();
                all.extend(columns.map(|(index, column)| (relation.base + index, column.base.oid)));
            }
        }
        all
    }

    fn lift(&mut self, expr: &mut Expr, group: &Group) -> Result<()> {
        if let Some(key) = group.keys.iter().position(|(key, _)| key.is_same(expr)) {
            *expr = Expr::Column(key);
            return Ok(());
        }
        match expr {
            Expr::Agg(index) => {
                *expr = Expr::Column(group.keys.len() + *index);
                Ok(())
            }
            Expr::Column(slot) => Err(self.ungrouped(*slot)),
            Expr::Sub(sub) => {
                let mut columns = Vec::new();
                expr_columns(&Expr::Sub(sub.clone()), &mut columns);
                if columns.is_empty() {
                    Ok(())
                } else {
                    Err(Error::unsupported(
                        "a sub-query over columns of a query with GROUP BY",
                    ))
                }
            }
            other => {
                let mut outcome = Ok(());
                other.each_mut(&mut |inner| {
                    if outcome.is_ok() {
                        outcome = self.lift(inner, group);
                    }
                });
                outcome
            }
        }
    }

    fn ungrouped(&mut self, slot: usize) -> Error {
        let mut name = String::from("?");
        for relation in &self.frame().relations {
            for column in &relation.columns {
                if matches!(column.column.expr, Expr::Column(known) if known == slot)
                    && !relation.unnamed
                {
                    name = format!("{}.{}", relation.name, column.name);
                }
            }
        }
        Error::new(
            "42803",
            format!(
                "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
            ),
        )
    }
}

fn expr_columns(expr: &Expr, out: &mut Vec<usize>) {
    expr.columns(&mut |slot| out.push(slot));
}
