//! Joins, and the columns that they merge.

use std::ops::Range;

use crossfade_values::{Error, Result};
use pg_query::protobuf::{JoinExpr, JoinType};

use super::{
    Binder, Named, Relation, boxed,
    from::output,
    inner, names,
    offer::{offer_on, split},
};
use crate::{
    expr::{Expr, Typed},
    plan::{From, Join, JoinKind},
};

impl Binder<'_> {
    pub(super) fn join(&mut self, join: &JoinExpr) -> Result<From> {
        if join.alias.is_some() || join.join_using_alias.is_some() {
            return Err(Error::unsupported("an alias of a join"));
        }
        let kind = match join.jointype() {
            JoinType::JoinInner => JoinKind::Inner,
            JoinType::JoinLeft => JoinKind::Left,
            JoinType::JoinRight => JoinKind::Right,
            JoinType::JoinFull => JoinKind::Full,
            _ => return Err(Error::unsupported("this kind of join")),
        };
        let (first, start) = (self.frame().relations.len(), self.frame().width);
        let (left, _) = self.item_of_from(boxed(&join.larg)?)?;
        let (middle, between) = (self.frame().relations.len(), self.frame().width);
        let (right, lateral) = self.item_of_from(boxed(&join.rarg)?)?;
        let end = self.frame().width;
        let mut made = Join {
            kind,
            left,
            right,
            left_slots: start..between,
            right_slots: between..end,
            equal: Vec::new(),
            on: Vec::new(),
            lateral,
        };
        let using: Vec<String> = if join.is_natural {
            self.natural(first, middle)
        } else {
            names(&join.using_clause)
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let mut conditions = Vec::new();
        if !using.is_empty() {
            conditions = self.using(kind, &using, first, middle)?;
        } else if let Some(quals) = &join.quals {
            self.frame().clause = "JOIN conditions";
            let condition = self.expr(inner(quals)?)?;
            split(self.condition(condition, "JOIN/ON")?, &mut conditions);
        }
        for condition in conditions {
            offer_on(&mut made, condition);
        }
        Ok(From::Join(Box::new(made)))
    }

    /// Names that both sides of a NATURAL join have.
    fn natural(&mut self, first: usize, middle: usize) -> Vec<String> {
        let frame = self.frame();
        let visible = |relations: &[Relation]| -> Vec<String> {
            let columns = relations.iter().flat_map(|relation| &relation.columns);
            columns
                .filter(|column| !column.merged)
                .map(|column| column.name.clone())
                .collect()
        };
        let right = visible(&frame.relations[middle..]);
        let left = visible(&frame.relations[first..middle]);
        left.into_iter()
            .filter(|name| right.contains(name))
            .collect()
    }

    /// USING: conditions, and the merged columns as a relation of their own in front.
    fn using(
        &mut self,
        kind: JoinKind,
        names: &[String],
        first: usize,
        middle: usize,
    ) -> Result<Vec<Expr>> {
        let (mut conditions, mut merged) = (Vec::new(), Vec::new());
        for name in names {
            let end = self.frame().relations.len();
            let left = self.take_merged(name, first..middle, "left")?;
            let right = self.take_merged(name, middle..end, "right")?;
            let equal = self.op("=", left.column.clone(), right.column.clone(), 0)?;
            conditions.push(equal.expr);
            let (items, ty, by_bytes) = self.common(
                vec![left.column.clone(), right.column.clone()],
                "JOIN/USING",
            )?;
            // An inner join takes the side that needs no cast (`buildMergedJoinVar`).
            let takes_right = match kind {
                JoinKind::Inner => left.column.ty.oid != ty.oid && right.column.ty.oid == ty.oid,
                JoinKind::Right => true,
                JoinKind::Left | JoinKind::Full => false,
            };
            let whose = if takes_right { right } else { left };
            let same = whose.column.ty.oid == ty.oid;
            let typed = |expr| Typed {
                expr,
                ty,
                by_bytes,
                at: 0,
            };
            let mut items = items;
            let (column, output) = match kind {
                JoinKind::Full => (typed(Expr::Coalesce(items)), output(name, ty, by_bytes)),
                _ if same => (whose.column, whose.output),
                _ => (
                    typed(items.swap_remove(usize::from(takes_right))),
                    output(name, ty, by_bytes),
                ),
            };
            merged.push(Named {
                name: name.clone(),
                column,
                output,
                merged: false,
            });
        }
        let relation = Relation {
            name: String::new(),
            schema: None,
            columns: merged,
            table: None,
            base: 0,
            unnamed: true,
            system: false,
        };
        self.frame().relations.insert(first, relation);
        Ok(conditions)
    }

    fn take_merged(&mut self, name: &str, relations: Range<usize>, side: &str) -> Result<Named> {
        let mut found = None;
        for relation in &mut self.frame().relations[relations] {
            for column in relation
                .columns
                .iter_mut()
                .filter(|column| !column.merged && column.name == name)
            {
                if found.is_some() {
                    return Err(Error::new(
                        "42702",
                        format!(
                            "common column name \"{name}\" appears more than once in {side} table"
                        ),
                    ));
                }
                found = Some(column.clone());
                column.merged = true;
            }
        }
        found.ok_or_else(|| {
            Error::new(
                "42703",
                format!(
                    "column \"{name}\" specified in USING clause does not exist in {side} table"
                ),
            )
        })
    }
}
