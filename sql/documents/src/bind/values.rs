//! VALUES, and set operations.

use crossfade_values::{Error, Result, Type, cast, oid, resolve};
use pg_query::{
    NodeEnum,
    protobuf::{SelectStmt, SetOperation as Grammar},
};

use super::{Binder, Output, inner, shared};
use crate::{
    expr::{Expr, Typed},
    plan::{Query, SetKind, SetOperation, Values},
};

impl Binder<'_> {
    pub(super) fn values(&mut self, select: &SelectStmt) -> Result<(Query, Vec<Output>)> {
        self.push_frame();
        self.frame().clause = "VALUES";
        let understood = self.value_rows(select);
        self.pop_frame();
        let (rows, outputs) = understood?;
        let order = self.order_outputs(&select.sort_clause, &outputs, &[])?;
        let tail = self.tail(select, order)?;
        Ok((Query::Values(shared(Values { rows, tail })), outputs))
    }

    fn value_rows(&mut self, select: &SelectStmt) -> Result<(Vec<Vec<Expr>>, Vec<Output>)> {
        let mut columns: Vec<Vec<Typed>> = Vec::new();
        for row in &select.values_lists {
            let NodeEnum::List(row) = inner(row)? else {
                return Err(Error::unsupported("this form of VALUES"));
            };
            let row = self.exprs(&row.items)?;
            if columns.is_empty() {
                columns = vec![Vec::new(); row.len()];
            }
            if row.len() != columns.len() {
                return Err(uneven(&row));
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let mut rows = vec![Vec::new(); select.values_lists.len()];
        let mut outputs = Vec::new();
        let exprs_at: Vec<usize> = columns
            .iter()
            .map(|column| column.first().map_or(0, |typed| typed.at))
            .collect();
        for (index, column) in columns.into_iter().enumerate() {
            let (exprs, ty, by_bytes) = self.common(column, "VALUES")?;
            let at = exprs_at.get(index).copied().unwrap_or_default();
            outputs.push(Output::plain(
                format!("column{}", index + 1),
                ty,
                by_bytes,
                at,
            ));
            for (row, expr) in rows.iter_mut().zip(exprs) {
                row.push(expr);
            }
        }
        Ok((rows, outputs))
    }

    pub(super) fn set_operation(&mut self, select: &SelectStmt) -> Result<(Query, Vec<Output>)> {
        let missing = || Error::unsupported("this form of UNION");
        let (left, left_outputs) = self.query(select.larg.as_deref().ok_or_else(missing)?)?;
        let (right, right_outputs) = self.query(select.rarg.as_deref().ok_or_else(missing)?)?;
        let (kind, word) = match select.op() {
            Grammar::SetopUnion => (SetKind::Union, "UNION"),
            Grammar::SetopIntersect => (SetKind::Intersect, "INTERSECT"),
            _ => (SetKind::Except, "EXCEPT"),
        };
        if left_outputs.len() != right_outputs.len() {
            let at = right_outputs.first().map_or(0, |output| output.at);
            return Err(Error::new(
                "42601",
                format!("each {word} query must have the same number of columns"),
            )
            .at(at));
        }
        let others = right_outputs.clone();
        let (mut casts, mut types, mut outputs) =
            ([Vec::new(), Vec::new()], Vec::new(), Vec::new());
        for (one, other) in left_outputs.into_iter().zip(right_outputs) {
            let type_of = |output: &Output| {
                if output.literal {
                    oid::UNKNOWN
                } else {
                    output.ty.oid
                }
            };
            let from = [type_of(&one), type_of(&other)];
            let common = resolve::common_type(&from, word, &self.catalog.types)
                .map_err(|error| error.at(other.at))?;
            for (side, from) in casts.iter_mut().zip(from) {
                side.push((from != common).then_some((from, common)));
                if !cast::can_cast(from, common, cast::Context::Implicit, &self.catalog.types)
                    && from != common
                {
                    return Err(Error::unsupported(format!("{word} of these types")));
                }
            }
            let ty = if one.ty == other.ty && one.ty.oid == common {
                one.ty
            } else {
                Type::of(common)
            };
            types.push(common);
            outputs.push(Output::plain(
                one.name,
                ty,
                one.by_bytes && other.by_bytes,
                one.at,
            ));
        }
        let order = self.order_outputs(&select.sort_clause, &outputs, &others)?;
        let tail = self.tail(select, order)?;
        let set = SetOperation {
            kind,
            all: select.all,
            left,
            right,
            casts,
            types,
            tail,
        };
        Ok((Query::Set(shared(set)), outputs))
    }
}

/// A row of VALUES of another length than those before it.
pub(super) fn uneven(row: &[Typed]) -> Error {
    let error = Error::new("42601", "VALUES lists must all be the same length");
    row.iter().fold(error, |error, first| error.at(first.at))
}
