//! Sub-queries in expressions.

use crossfade_values::{Error, Result, Type, cast::Context, format};
use pg_query::{
    Node, NodeEnum,
    protobuf::{SelectStmt, SubLink, SubLinkType},
};

use super::{Binder, Output, boxed, inner, names, operator::truth, place, shared};
use crate::{
    expr::{Expr, Sub, SubKind, Typed},
    plan::Query,
};

impl Binder<'_> {
    pub(super) fn sub_link(&mut self, sub: &SubLink) -> Result<Typed> {
        let at = place(sub.location);
        let kind = sub.sub_link_type();
        if kind == SubLinkType::AnySublink || kind == SubLinkType::AllSublink {
            return self.any_sub(sub, kind == SubLinkType::AllSublink);
        }
        let (query, outputs) = self.sub_select(sub)?;
        match kind {
            SubLinkType::ExistsSublink => Ok(truth(self.sub(query, SubKind::Exists), at)),
            SubLinkType::ExprSublink => {
                let output = only(&outputs, at)?;
                Ok(typed(
                    self.sub(query, SubKind::Scalar),
                    output.ty,
                    output.by_bytes,
                    at,
                ))
            }
            SubLinkType::ArraySublink => {
                let output = only(&outputs, at)?;
                let (ty, modifier, by_bytes) = (output.ty.oid, output.ty.modifier, output.by_bytes);
                let list = format::array_of(ty, &self.catalog.types)
                    .ok_or_else(|| Error::unsupported("an array of this type").at(at))?;
                Ok(typed(
                    self.sub(query, SubKind::Array(ty)),
                    Type {
                        oid: list,
                        modifier,
                    },
                    by_bytes,
                    at,
                ))
            }
            _ => Err(Error::unsupported("this form of a sub-query").at(at)),
        }
    }

    fn sub_select(&mut self, sub: &SubLink) -> Result<(Query, Vec<Output>)> {
        let NodeEnum::SelectStmt(select) = boxed(&sub.subselect)? else {
            return Err(Error::unsupported("this form of a sub-query").at(place(sub.location)));
        };
        self.inner_query(select)
    }

    /// A query within an expression: it sees the names around it.
    fn inner_query(&mut self, select: &SelectStmt) -> Result<(Query, Vec<Output>)> {
        self.query(select)
    }

    fn sub(&mut self, query: Query, kind: SubKind) -> Expr {
        let correlated = query.is_correlated(self.scopes.len() + 1);
        Expr::Sub(shared(Sub {
            id: self.next_id(),
            query,
            correlated,
            kind,
        }))
    }

    /// `x IN (SELECT …)`, `x op ANY (SELECT …)`; `x` may be a row.
    fn any_sub(&mut self, sub: &SubLink, all: bool) -> Result<Typed> {
        let at = place(sub.location);
        let name = names(&sub.oper_name);
        let name = name.last().copied().unwrap_or("=");
        let left = match boxed(&sub.testexpr)? {
            NodeEnum::RowExpr(row) => self.exprs(&row.args)?,
            other => vec![self.expr(other)?],
        };
        let (query, outputs) = self.sub_select(sub)?;
        self.compared(name, left, query, &outputs, all, at)
    }

    fn compared(
        &mut self,
        name: &str,
        left: Vec<Typed>,
        query: Query,
        outputs: &[Output],
        all: bool,
        at: usize,
    ) -> Result<Typed> {
        if left.len() != outputs.len() {
            let few = if left.len() < outputs.len() {
                "many"
            } else {
                "few"
            };
            return Err(Error::new("42601", format!("subquery has too {few} columns")).at(at));
        }
        if left.len() > 1 && name != "=" {
            return Err(Error::unsupported("this comparison of rows with a sub-query").at(at));
        }
        let (mut exprs, mut ops, mut casts) = (Vec::new(), Vec::new(), Vec::new());
        for (left, output) in left.into_iter().zip(outputs) {
            let by_bytes = left.by_bytes && output.by_bytes;
            let op = self.op_between(
                name,
                &Typed {
                    by_bytes,
                    ..left.clone()
                },
                output.ty.oid,
                at,
            )?;
            let to = |index: usize, otherwise| {
                Type::of(op.args.get(index).copied().unwrap_or(otherwise))
            };
            let (first, second) = (to(0, left.ty.oid), to(1, output.ty.oid));
            exprs.push(self.coerce(left, first, Context::Implicit)?);
            casts.push((output.ty.oid, second));
            ops.push(op);
        }
        let kind = SubKind::AnyAll {
            left: exprs,
            ops,
            all,
            casts,
        };
        Ok(truth(self.sub(query, kind), at))
    }

    /// `(a, b) = (SELECT …)`.
    pub(super) fn row_sub(&mut self, name: &str, row: &[Node], sub: &SubLink) -> Result<Typed> {
        let at = place(sub.location);
        if name != "=" || sub.sub_link_type() != SubLinkType::ExprSublink {
            return Err(Error::unsupported("this comparison of a row with a sub-query").at(at));
        }
        let left = row
            .iter()
            .map(|node| self.expr(inner(node)?))
            .collect::<Result<Vec<_>>>()?;
        let (query, outputs) = self.sub_select(sub)?;
        self.compared(name, left, query, &outputs, false, at)
    }
}

fn typed(expr: Expr, ty: Type, by_bytes: bool, at: usize) -> Typed {
    Typed {
        expr,
        ty,
        by_bytes,
        at,
    }
}

fn only(outputs: &[Output], at: usize) -> Result<&Output> {
    match outputs {
        [output] => Ok(output),
        _ => Err(Error::new("42601", "subquery must return only one column").at(at)),
    }
}
