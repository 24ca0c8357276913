//! Orders that MongoDB can sort by itself.

use crossfade_store::mongo::Kind;
use crossfade_values::oid;
use mongodb::bson::{Bson, Document, doc};

use super::{Pusher, is_value};
use crate::{
    expr::Expr,
    plan::{Order, Scan},
};

impl Pusher<'_> {
    /// An order by the parts of a composite key is that of `_id`, whose index gives it; parts that are bound to one value may be left out.
    fn key_sort(&self, scan: &Scan, order: &[Order], targets: &[Expr]) -> Option<Sort> {
        let key = &self.table.documents.key;
        let descending = order.first()?.descending;
        let mut left = order.iter().peekable();
        for &column in key {
            let wanted = left.peek().is_some_and(|part| {
                targets
                    .get(part.target)
                    .and_then(|target| self.column(target))
                    == Some(column)
                    && part.descending == descending
            });
            if wanted && self.sorts_in_keys(column) {
                left.next();
            } else if !self.is_bound(scan, column) {
                break;
            }
        }
        if key.len() < 2 || left.next().is_some() {
            return None;
        }
        let direction = if descending { -1 } else { 1 };
        Some(Sort {
            keys: doc! { "_id": direction },
            computed: Document::new(),
        })
    }

    /// Types of which every value sorts in `_id` as it does in PostgreSQL.
    fn sorts_in_keys(&self, column: usize) -> bool {
        match self.kind(column) {
            Kind::Bool
            | Kind::Int2
            | Kind::Int4
            | Kind::Int8
            | Kind::Uuid
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp => true,
            Kind::Text => {
                let ty = self.table.columns[column].base.oid;
                matches!(ty, oid::TEXT | oid::VARCHAR | oid::BPCHAR)
            }
            _ => false,
        }
    }

    fn is_bound(&self, scan: &Scan, column: usize) -> bool {
        scan.filters.iter().any(|filter| match filter {
            Expr::Call(callable, args) if callable.name == "=" => match &args[..] {
                [left, right] => {
                    (self.column(left) == Some(column) && is_value(right))
                        || (self.column(right) == Some(column) && is_value(left))
                }
                _ => false,
            },
            _ => false,
        })
    }

    /// The order as MongoDB sorts by it, with fields that have to be computed first; `None` where it cannot.
    pub(crate) fn sort(&self, scan: &Scan, order: &[Order], targets: &[Expr]) -> Option<Sort> {
        if let Some(sort) = self.key_sort(scan, order, targets) {
            return Some(sort);
        }
        let mut sort = Sort::default();
        for (index, part) in order.iter().enumerate() {
            let Expr::Column(slot) = targets.get(part.target)? else {
                return None;
            };
            let column = self.column(&Expr::Column(*slot))?;
            let sorts = match self.kind(column) {
                Kind::Bool
                | Kind::Int2
                | Kind::Int4
                | Kind::Int8
                | Kind::Uuid
                | Kind::Date
                | Kind::Timestamp
                | Kind::Time => true,
                Kind::Numeric | Kind::Float4 | Kind::Float8 => true,
                Kind::Text => {
                    !self.is_enum(column)
                        && matches!(part.ty, oid::TEXT | oid::VARCHAR | oid::BPCHAR)
                }
                _ => false,
            };
            if !sorts {
                return None;
            }
            let direction = if part.descending { -1 } else { 1 };
            let path = self.path(column);
            let nullable = !self.table.columns[column].not_null;
            let has_nan = matches!(
                self.kind(column),
                Kind::Numeric | Kind::Float4 | Kind::Float8
            );
            // MongoDB has null below everything, and NaN below all numbers.
            let null_wrong = nullable && part.nulls_first == part.descending;
            // And -infinity, its MinKey, below null.
            let infinite = nullable && matches!(self.kind(column), Kind::Date | Kind::Timestamp);
            if null_wrong || has_nan || infinite {
                let name = format!("crossfade_rank{index}");
                let nulls = if part.nulls_first == part.descending {
                    2
                } else {
                    -1
                };
                let field = format!("${path}");
                sort.computed.insert(
                    &name,
                    doc! { "$switch": { "branches": [
                        { "case": { "$eq": [{ "$ifNull": [&field, Bson::Null] }, Bson::Null] }, "then": nulls },
                        { "case": { "$eq": [&field, f64::NAN] }, "then": 1 },
                    ], "default": 0 } },
                );
                sort.keys.insert(name, direction);
            }
            sort.keys.insert(path, direction);
        }
        Some(sort)
    }
}

/// How MongoDB is to sort.
#[derive(Debug, Default)]
pub(crate) struct Sort {
    pub(crate) keys: Document,
    /// Fields to be computed before.
    pub(crate) computed: Document,
}
