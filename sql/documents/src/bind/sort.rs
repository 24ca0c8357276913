//! ORDER BY, LIMIT, and what they may name.

use crossfade_values::{Error, Oid, Result, order};
use pg_query::{
    Node, NodeEnum,
    protobuf::{LimitOption, SelectStmt, SortBy, SortByDir, SortByNulls, a_const::Val},
};

use super::{Binder, Output, boxed, inner, names, operator, place};
use crate::{
    expr::{Expr, Typed},
    plan::{Order, Tail},
};

/// A target while its query is being understood.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) typed: Typed,
    pub(super) output: Output,
    /// The collation that is written behind it: with another one it is another expression.
    pub(super) collation: Option<String>,
}

/// The collation that is written behind an expression.
pub(super) fn collation(node: &NodeEnum) -> Option<String> {
    match node {
        NodeEnum::CollateClause(collate) => {
            names(&collate.collname).last().map(ToString::to_string)
        }
        _ => None,
    }
}

impl Binder<'_> {
    /// ORDER BY of a SELECT: targets, or expressions that are added behind them.
    pub(super) fn order(
        &mut self,
        clause: &[Node],
        targets: &mut Vec<Target>,
        visible: usize,
        distinct: bool,
    ) -> Result<Vec<Order>> {
        let mut all = Vec::new();
        for node in clause {
            let NodeEnum::SortBy(sort) = inner(node)? else {
                return Err(Error::unsupported("this form of ORDER BY"));
            };
            let node = boxed(&sort.node)?;
            let target = match self.named_target(node, targets, visible, "ORDER BY")? {
                Some(target) => target,
                None => {
                    self.frame().clause = "ORDER BY";
                    let typed = self.expr(node)?;
                    let typed = self.settle(typed)?;
                    self.target_of((typed, collation(node)), targets, visible, distinct)?
                }
            };
            all.push(self.ordered(sort, target, &targets[target].typed.clone())?);
        }
        Ok(all)
    }

    fn target_of(
        &mut self,
        (typed, collation): (Typed, Option<String>),
        targets: &mut Vec<Target>,
        visible: usize,
        distinct: bool,
    ) -> Result<usize> {
        let same = |target: &Target| {
            target.collation == collation && target.typed.expr.is_same(&typed.expr)
        };
        if let Some(known) = targets
            .iter()
            .position(same)
            .filter(|known| !distinct || *known < visible)
        {
            return Ok(known);
        }
        if distinct {
            return Err(Error::new(
                "42P10",
                "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
            )
            .at(typed.at));
        }
        let output = Output::plain("", typed.ty, typed.by_bytes, typed.at);
        targets.push(Target {
            typed,
            output,
            collation,
        });
        Ok(targets.len() - 1)
    }

    /// A number of a target, or the name of one.
    pub(super) fn named_target(
        &mut self,
        node: &NodeEnum,
        targets: &[Target],
        visible: usize,
        clause: &str,
    ) -> Result<Option<usize>> {
        match node {
            NodeEnum::ColumnRef(column) => {
                let name = names(&column.fields);
                let [name] = name[..] else { return Ok(None) };
                if name.is_empty() || column.fields.len() != 1 {
                    return Ok(None);
                }
                // GROUP BY takes a column of FROM first.
                if clause == "GROUP BY" && self.find_here(name) {
                    return Ok(None);
                }
                let mut found = (0..visible).filter(|index| targets[*index].output.name == name);
                let Some(first) = found.next() else {
                    return Ok(None);
                };
                let differs = |index: usize| {
                    !targets[index]
                        .typed
                        .expr
                        .is_same(&targets[first].typed.expr)
                };
                if found.any(differs) {
                    return Err(
                        Error::new("42702", format!("{clause} \"{name}\" is ambiguous"))
                            .at(place(column.location)),
                    );
                }
                Ok(Some(first))
            }
            NodeEnum::AConst(constant) if !constant.isnull => match &constant.val {
                Some(Val::Ival(number)) => {
                    let index = usize::try_from(number.ival)
                        .ok()
                        .filter(|index| (1..=visible).contains(index));
                    match index {
                        Some(index) => Ok(Some(index - 1)),
                        None => Err(Error::new(
                            "42P10",
                            format!("{clause} position {} is not in select list", number.ival),
                        )
                        .at(place(constant.location))),
                    }
                }
                _ => Err(
                    Error::new("42601", format!("non-integer constant in {clause}"))
                        .at(place(constant.location)),
                ),
            },
            _ => Ok(None),
        }
    }

    fn find_here(&mut self, name: &str) -> bool {
        let frame = self.frame();
        let mut columns = frame
            .relations
            .iter()
            .flat_map(|relation| &relation.columns);
        columns.any(|column| !column.merged && column.name == name)
    }

    /// ORDER BY of a UNION or of VALUES: by number or name alone.
    pub(super) fn order_outputs(
        &mut self,
        clause: &[Node],
        outputs: &[Output],
        others: &[Output],
    ) -> Result<Vec<Order>> {
        let targets: Vec<Target> = outputs
            .iter()
            .enumerate()
            .map(|(index, output)| Target {
                typed: Typed {
                    expr: Expr::Column(index),
                    ty: output.ty,
                    by_bytes: output.by_bytes,
                    at: 0,
                },
                output: output.clone(),
                collation: None,
            })
            .collect();
        let mut all = Vec::new();
        for node in clause {
            let NodeEnum::SortBy(sort) = inner(node)? else {
                return Err(Error::unsupported("this form of ORDER BY"));
            };
            let node = boxed(&sort.node)?;
            let Some(target) = self.named_target(node, &targets, outputs.len(), "ORDER BY")? else {
                return Err(not_an_output(node, others));
            };
            all.push(self.ordered(sort, target, &targets[target].typed)?);
        }
        Ok(all)
    }

    fn ordered(&self, sort: &SortBy, target: usize, typed: &Typed) -> Result<Order> {
        let (ty, at) = (typed.ty.oid, place(sort.location));
        self.sortable(ty, typed.by_bytes, typed.at)?;
        let descending = match sort.sortby_dir() {
            SortByDir::SortbyDesc => true,
            SortByDir::SortbyUsing => return Err(Error::unsupported("ORDER BY … USING").at(at)),
            _ => false,
        };
        let nulls_first = match sort.sortby_nulls() {
            SortByNulls::SortbyNullsFirst => true,
            SortByNulls::SortbyNullsLast => false,
            _ => descending,
        };
        Ok(Order {
            target,
            ty,
            descending,
            nulls_first,
        })
    }

    pub(super) fn sortable(&self, ty: Oid, by_bytes: bool, at: usize) -> Result<()> {
        if operator::is_text_only(ty) {
            return Err(Error::unsupported(format!(
                "the order of the type {}",
                self.type_name(ty)
            ))
            .at(at));
        }
        if !order::is_sortable(ty, &self.catalog.types) {
            return Err(Error::new(
                "42883",
                format!(
                    "could not identify an ordering operator for type {}",
                    self.type_name(ty)
                ),
            )
            .hint("Use an explicit ordering operator or modify the query.")
            .at(at));
        }
        if operator::is_collatable(ty) && !by_bytes {
            return Err(operator::collation("ORDER BY").at(at));
        }
        Ok(())
    }

    /// ORDER BY within an aggregate.
    pub(super) fn aggregate_order(
        &mut self,
        clause: &[Node],
    ) -> Result<Vec<(Expr, Oid, bool, bool)>> {
        let mut all = Vec::new();
        for node in clause {
            let NodeEnum::SortBy(sort) = inner(node)? else {
                return Err(Error::unsupported("this form of ORDER BY"));
            };
            let typed = self.expr(boxed(&sort.node)?)?;
            let typed = self.settle(typed)?;
            let order = self.ordered(sort, 0, &typed)?;
            all.push((typed.expr, order.ty, order.descending, order.nulls_first));
        }
        Ok(all)
    }

    pub(super) fn tail(&mut self, select: &SelectStmt, order: Vec<Order>) -> Result<Tail> {
        let mut count = |node: &Option<Box<Node>>, clause: &'static str| -> Result<Option<Expr>> {
            let Some(node) = node else { return Ok(None) };
            // LIMIT ALL.
            if matches!(inner(node)?, NodeEnum::AConst(constant) if constant.isnull) {
                return Ok(None);
            }
            self.push_frame();
            self.frame().clause = clause;
            let understood = self
                .expr(inner(node)?)
                .and_then(|typed| self.count(typed, clause));
            self.pop_frame();
            let understood = understood?;
            if understood.looks_outward() {
                return Err(Error::unsupported(format!("a column in {clause}")));
            }
            Ok(Some(understood))
        };
        let limit = count(&select.limit_count, "LIMIT")?;
        let offset = count(&select.limit_offset, "OFFSET")?;
        Ok(Tail {
            order,
            limit,
            offset,
            with_ties: select.limit_option() == LimitOption::WithTies,
        })
    }
}

/// ORDER BY behind a UNION names what is no column of its answer; `others` are the columns of its right side.
fn not_an_output(node: &NodeEnum, others: &[Output]) -> Error {
    let NodeEnum::ColumnRef(column) = node else {
        return Error::new("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
            .detail("Only result column names can be used, not expressions or functions.")
            .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.");
    };
    let name = names(&column.fields).join(".");
    let error =
        Error::new("42703", format!("column \"{name}\" does not exist")).at(place(column.location));
    if others.iter().any(|output| output.name == name) {
        return error.hint(format!(
            "There is a column named \"{name}\" in table \"*SELECT* 2\", but it cannot be referenced from this part of the query."
        ));
    }
    error
}
