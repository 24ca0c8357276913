//! SELECT, VALUES, and set operations.

use std::collections::BTreeSet;

use crossfade_values::{Error, Result, Type};
use pg_query::{
    Node, NodeEnum,
    protobuf::{ResTarget, SelectStmt, SetOperation as Grammar},
};

use super::{
    Binder, Output, boxed, figure, inner, locking, names, offer, place, shared,
    sort::{self, Target},
};
use crate::{
    expr::{Expr, Typed},
    plan::{Distinct, From, Group, Order, Query, Select},
};

impl Binder<'_> {
    /// A query with its WITH.
    pub(super) fn query(&mut self, select: &SelectStmt) -> Result<(Query, Vec<Output>)> {
        let top = std::mem::take(&mut self.top);
        let known = self.ctes.len();
        let wanted = std::mem::take(&mut self.wanted);
        if let Some(with) = &select.with_clause {
            self.with(with, top)?;
        }
        let understood = self.bare_query(select, wanted);
        self.ctes.truncate(known);
        understood
    }

    fn bare_query(
        &mut self,
        select: &SelectStmt,
        wanted: Vec<(Type, String)>,
    ) -> Result<(Query, Vec<Output>)> {
        if select.into_clause.is_some() {
            return Err(Error::unsupported("SELECT INTO"));
        }
        if select.op() != Grammar::SetopNone && select.op() != Grammar::Undefined {
            return self.set_operation(select);
        }
        if !select.values_lists.is_empty() {
            return self.values(select);
        }
        self.push_frame();
        let understood = self.select(select, &wanted);
        self.pop_frame();
        understood
    }

    fn select(
        &mut self,
        select: &SelectStmt,
        wanted: &[(Type, String)],
    ) -> Result<(Query, Vec<Output>)> {
        if !select.window_clause.is_empty() {
            return Err(Error::unsupported("a window function"));
        }
        let mut from = self.from(&select.from_clause)?;
        self.frame().aggregates = Some(Vec::new());
        self.frame().clause = "SELECT";
        let mut targets = self.targets(&select.target_list, wanted)?;
        let visible = targets.len();
        let filter = self.filter(select.where_clause.as_deref(), &mut from)?;
        let keys = self.group_keys(&select.group_clause, &targets, visible)?;
        let having = match &select.having_clause {
            Some(having) => {
                let having = self.expr(inner(having)?)?;
                Some(self.condition(having, "HAVING")?)
            }
            None => None,
        };
        let distinct = self.distinct_clause(&select.distinct_clause, &mut targets, visible)?;
        let mut order = self.order(
            &select.sort_clause,
            &mut targets,
            visible,
            distinct == Distinct::All,
        )?;
        self.sort_distinct_on(&distinct, &select.distinct_clause, &targets, &mut order)?;
        let aggregates = self.frame().aggregates.take().unwrap_or_default();
        let group = if aggregates.is_empty() && keys.is_empty() && having.is_none() {
            None
        } else {
            let whole = select.group_clause.is_empty();
            let mut group = Group {
                keys,
                aggregates,
                having: None,
                whole,
            };
            self.over_groups(&mut group, &mut targets, having)?;
            Some(group)
        };
        let tail = self.tail(select, order)?;
        let locking = self.locking(&select.locking_clause, &mut from)?;
        if locking.is_some() {
            let what = match (&distinct, &group) {
                (Distinct::All | Distinct::On(_), _) => Some("DISTINCT clause"),
                (_, Some(group)) if !group.whole => Some("GROUP BY clause"),
                (_, Some(group)) if group.having.is_some() => Some("HAVING clause"),
                (_, Some(_)) => Some("aggregate functions"),
                _ => None,
            };
            if let Some(what) = what {
                return Err(Error::new(
                    "0A000",
                    format!(
                        "{} is not allowed with {what}",
                        locking::strength(&select.locking_clause)
                    ),
                ));
            }
        }
        let outputs = targets[..visible]
            .iter()
            .map(|target| target.output.clone())
            .collect();
        let types = targets.iter().map(|target| target.typed.ty.oid).collect();
        let mut made = Select {
            width: self.frame().width,
            from,
            filter,
            group,
            targets: targets
                .into_iter()
                .map(|target| target.typed.expr)
                .collect(),
            visible,
            types,
            distinct,
            tail,
            locking,
        };
        self.needs(&mut made);
        Ok((Query::Select(shared(made)), outputs))
    }

    /// WHERE: what can be asked of one source goes there, the rest stays.
    pub(super) fn filter(&mut self, clause: Option<&Node>, from: &mut From) -> Result<Vec<Expr>> {
        let Some(clause) = clause else {
            return Ok(Vec::new());
        };
        self.frame().clause = "WHERE";
        let saved = self.frame().aggregates.take();
        let understood = self.expr(inner(clause)?);
        self.frame().aggregates = saved;
        let understood = understood?;
        let condition = self.condition(understood, "WHERE")?;
        let mut conditions = Vec::new();
        offer::split(condition, &mut conditions);
        Ok(conditions
            .into_iter()
            .filter_map(|condition| offer::offer(from, condition))
            .collect())
    }

    pub(super) fn needs(&self, select: &mut Select) {
        let mut slots = BTreeSet::new();
        select
            .from
            .each(&mut |expr| expr.columns(&mut |slot| slots.extend([slot])));
        let mut look = |expr: &Expr| expr.columns(&mut |slot| slots.extend([slot]));
        select.filter.iter().for_each(&mut look);
        match &select.group {
            // Targets are over groups.
            Some(group) => {
                group.keys.iter().for_each(|(key, _)| look(key));
                for agg in &group.aggregates {
                    agg.args.iter().chain(&agg.filter).for_each(&mut look);
                    agg.order.iter().for_each(|(expr, ..)| look(expr));
                }
            }
            None => select.targets.iter().for_each(&mut look),
        }
        lateral_slots(&select.from, &mut slots);
        let catalog = self.catalog;
        offer::need(&mut select.from, &slots, &|table| {
            catalog.tables[table].columns.len()
        });
    }

    /// The select list; also that of RETURNING.
    pub(super) fn targets(
        &mut self,
        list: &[Node],
        wanted: &[(Type, String)],
    ) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for node in list {
            let NodeEnum::ResTarget(target) = inner(node)? else {
                return Err(Error::unsupported("this form of a target"));
            };
            let value = boxed(&target.val)?;
            if let NodeEnum::ColumnRef(column) = value
                && matches!(
                    column.fields.last().and_then(|node| node.node.as_ref()),
                    Some(NodeEnum::AStar(_))
                )
            {
                let relation = names(&column.fields).last().copied();
                let all = self.star(relation, place(column.location))?;
                targets.extend(all.into_iter().map(|(typed, output)| Target {
                    typed,
                    output,
                    collation: None,
                }));
                continue;
            }
            let mut typed = self.expr(value)?;
            if let (true, Some((ty, column))) = (typed.is_unknown(), wanted.get(targets.len())) {
                let (at, by_bytes) = (typed.at, typed.by_bytes);
                typed = Typed {
                    expr: self.assign(typed, *ty, column)?,
                    ty: *ty,
                    by_bytes,
                    at,
                };
            }
            targets.push(self.target_named(target, value, typed)?);
        }
        Ok(targets)
    }

    fn target_named(
        &mut self,
        target: &ResTarget,
        value: &NodeEnum,
        typed: Typed,
    ) -> Result<Target> {
        let literal = typed.is_unknown() && matches!(typed.expr, Expr::Const(_));
        let typed = self.settle(typed)?;
        let name = if target.name.is_empty() {
            figure::name(value)
        } else {
            target.name.clone()
        };
        let origin = match (&typed.expr, value) {
            (Expr::Column(slot), NodeEnum::ColumnRef(_)) => self.origin(*slot),
            _ => None,
        };
        let output = match origin {
            Some(origin) => Output {
                name,
                at: typed.at,
                ..origin
            },
            None => Output {
                literal,
                ..Output::plain(name, typed.ty, typed.by_bytes, typed.at)
            },
        };
        Ok(Target {
            typed,
            output,
            collation: sort::collation(value),
        })
    }

    /// The table's column that a slot holds.
    fn origin(&mut self, slot: usize) -> Option<Output> {
        let relations = self.frame().relations.iter();
        let mut columns = relations
            .filter(|relation| !relation.unnamed)
            .flat_map(|relation| &relation.columns);
        columns
            .find(|column| matches!(column.column.expr, Expr::Column(known) if known == slot))
            .map(|column| column.output.clone())
    }

    fn distinct_clause(
        &mut self,
        clause: &[Node],
        targets: &mut Vec<Target>,
        visible: usize,
    ) -> Result<Distinct> {
        match clause {
            [] => Ok(Distinct::No),
            // DISTINCT is a list of one empty node.
            [only] if only.node.is_none() => Ok(Distinct::All),
            list => {
                let mut on = Vec::new();
                for node in list {
                    let node = inner(node)?;
                    if let Some(target) =
                        self.named_target(node, targets, visible, "DISTINCT ON")?
                    {
                        on.push(target);
                        continue;
                    }
                    let collation = sort::collation(node);
                    let typed = self.expr(node)?;
                    let typed = self.settle(typed)?;
                    let same = targets.iter().position(|target| {
                        target.collation == collation && target.typed.expr.is_same(&typed.expr)
                    });
                    on.push(same.unwrap_or(targets.len()));
                    if same.is_none() {
                        let output = Output::plain("", typed.ty, typed.by_bytes, typed.at);
                        targets.push(Target {
                            typed,
                            output,
                            collation,
                        });
                    }
                }
                Ok(Distinct::On(on))
            }
        }
    }

    /// DISTINCT ON sorts by its expressions as well, those of ORDER BY first (`transformDistinctOnClause`).
    fn sort_distinct_on(
        &self,
        distinct: &Distinct,
        clause: &[Node],
        targets: &[Target],
        order: &mut Vec<Order>,
    ) -> Result<()> {
        let Distinct::On(on) = distinct else {
            return Ok(());
        };
        let wrong = |target: usize| {
            let index = on
                .iter()
                .position(|known| *known == target)
                .unwrap_or_default();
            let at = clause
                .get(index)
                .and_then(|node| node.node.as_ref())
                .map_or(0, place_of);
            Error::new(
                "42P10",
                "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
            )
            .at(at)
        };
        let mut skipped = false;
        for part in order.iter() {
            match (on.contains(&part.target), skipped) {
                (true, true) => return Err(wrong(part.target)),
                (true, false) => {}
                (false, _) => skipped = true,
            }
        }
        for &target in on {
            if order.iter().any(|part| part.target == target) {
                continue;
            }
            if skipped {
                return Err(wrong(target));
            }
            let typed = &targets[target].typed;
            self.sortable(typed.ty.oid, typed.by_bytes, typed.at)?;
            order.push(Order {
                target,
                ty: typed.ty.oid,
                descending: false,
                nulls_first: false,
            });
        }
        Ok(())
    }
}

/// What sources in FROM take from those to their left.
fn lateral_slots(from: &From, slots: &mut BTreeSet<usize>) {
    match from {
        From::Query(sub) => sub.query.outer_columns(1, &mut |slot| slots.extend([slot])),
        From::Function(function) => {
            for arg in &function.args {
                arg.outer_columns(1, &mut |slot| slots.extend([slot]));
            }
        }
        From::Join(join) => {
            lateral_slots(&join.left, slots);
            lateral_slots(&join.right, slots);
        }
        From::Nothing | From::Scan(_) | From::System(_) => {}
    }
}

/// Scans that are locked give their documents along.
pub(super) fn mark_whole(from: &mut From, bases: &[usize]) {
    match from {
        From::Scan(scan) => scan.whole |= bases.contains(&scan.base),
        From::Join(join) => {
            mark_whole(&mut join.left, bases);
            mark_whole(&mut join.right, bases);
        }
        From::Nothing | From::System(_) | From::Query(_) | From::Function(_) => {}
    }
}

/// Where a column or a number stands.
fn place_of(node: &NodeEnum) -> usize {
    match node {
        NodeEnum::ColumnRef(column) => place(column.location),
        NodeEnum::AConst(constant) => place(constant.location),
        NodeEnum::CollateClause(collate) => {
            let arg = collate.arg.as_ref().and_then(|arg| arg.node.as_ref());
            arg.map_or(0, place_of)
        }
        _ => 0,
    }
}
