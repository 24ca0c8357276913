//! Operators.

use crossfade_values::{
    Error, Oid, Result, Type, Value,
    cast::Context,
    format, oid,
    resolve::{self, Callable},
};
use pg_query::{
    Node, NodeEnum,
    protobuf::{AExpr, AExprKind},
};

use super::{Binder, boxed, inner, names, place};
use crate::expr::{Expr, Typed};

/// Types that sort by a collation.
const COLLATABLE: [Oid; 6] = [
    oid::TEXT,
    oid::VARCHAR,
    oid::BPCHAR,
    oid::TEXT_ARRAY,
    oid::VARCHAR_ARRAY,
    oid::BPCHAR_ARRAY,
];

/// Types that PostgreSQL compares and of which only the text is known here: addresses, bits, ranges, documents of full-text search.
const TEXT_ONLY: [Oid; 20] = [
    650, 774, 829, 869, 1560, 1562, 3614, 3615, 3904, 3906, 3908, 3910, 3912, 3926, 4451, 4532,
    4533, 4534, 4535, 4536,
];

pub(super) fn is_text_only(ty: Oid) -> bool {
    TEXT_ONLY.contains(&ty)
}

pub(super) fn is_collatable(ty: Oid) -> bool {
    COLLATABLE.contains(&ty)
}

/// What is said where text would have to be sorted by a collation.
pub(super) fn collation(what: &str) -> Error {
    Error::unsupported(format!("{what} of text by a collation other than C"))
        .hint("write COLLATE \"C\" behind the expression if the order of bytes will do")
}

impl Binder<'_> {
    pub(super) fn a_expr(&mut self, expr: &AExpr) -> Result<Typed> {
        let at = place(expr.location);
        let name = names(&expr.name);
        let name = name.last().copied().unwrap_or_default();
        match expr.kind() {
            AExprKind::AexprOp => match &expr.lexpr {
                None => {
                    let right = self.expr(boxed(&expr.rexpr)?)?;
                    self.prefix(name, right, at)
                }
                Some(left) => self.rows_or_op(name, inner(left)?, boxed(&expr.rexpr)?, at),
            },
            AExprKind::AexprOpAny => self.any_all(name, expr, false),
            AExprKind::AexprOpAll => self.any_all(name, expr, true),
            AExprKind::AexprDistinct => self.distinct(expr, false),
            AExprKind::AexprNotDistinct => self.distinct(expr, true),
            AExprKind::AexprNullif => self.null_if(expr),
            AExprKind::AexprIn => self.in_list(name, expr),
            AExprKind::AexprLike | AExprKind::AexprIlike => {
                let left = self.expr(boxed(&expr.lexpr)?)?;
                let right = self.expr(boxed(&expr.rexpr)?)?;
                self.op(name, left, right, at)
            }
            AExprKind::AexprBetween => self.between(expr, false, false),
            AExprKind::AexprNotBetween => self.between(expr, true, false),
            AExprKind::AexprBetweenSym => self.between(expr, false, true),
            AExprKind::AexprNotBetweenSym => self.between(expr, true, true),
            AExprKind::AexprSimilar => Err(Error::unsupported("SIMILAR TO").at(at)),
            AExprKind::Undefined => Err(Error::unsupported("this expression").at(at)),
        }
    }

    fn prefix(&mut self, name: &str, right: Typed, at: usize) -> Result<Typed> {
        let found = resolve::operator(name, None, right.ty.oid, &self.catalog.types)
            .map_err(|error| error.at(at))?;
        let ty = found.args.first().copied().unwrap_or(right.ty.oid);
        let right = self.coerce(right, Type::of(ty), Context::Implicit)?;
        Ok(self.called(found, vec![right], true, at))
    }

    fn called(&self, callable: Callable, args: Vec<Expr>, by_bytes: bool, at: usize) -> Typed {
        Typed {
            ty: Type::of(callable.result),
            expr: Expr::Call(Box::new(callable), args),
            by_bytes,
            at,
        }
    }

    /// An operator over two operands.
    pub(super) fn op(&mut self, name: &str, left: Typed, right: Typed, at: usize) -> Result<Typed> {
        let by_bytes = left.by_bytes && right.by_bytes;
        // An expression stands where its leftmost part does; an operator that is not found, where it is itself.
        let start = leftmost([at, left.at, right.at]);
        let (callable, args) = self.resolve_op(name, left, right, at)?;
        Ok(self.called(callable, args.into(), by_bytes, start))
    }

    fn resolve_op(
        &mut self,
        name: &str,
        left: Typed,
        right: Typed,
        at: usize,
    ) -> Result<(Callable, [Expr; 2])> {
        let found = resolve::operator(name, Some(left.ty.oid), right.ty.oid, &self.catalog.types)
            .map_err(|error| self.honest(error, &[left.ty.oid, right.ty.oid]).at(at))?;
        let sorts = matches!(name, "<" | "<=" | ">" | ">=");
        if sorts
            && found.args.iter().any(|ty| is_collatable(*ty))
            && !(left.by_bytes && right.by_bytes)
        {
            return Err(collation("comparison").at(at));
        }
        let to = |index: usize| Type::of(found.args.get(index).copied().unwrap_or(oid::TEXT));
        let left = self.coerce(left, to(0), Context::Implicit)?;
        let right = self.coerce(right, to(1), Context::Implicit)?;
        Ok((found, [left, right]))
    }

    /// That an operator is not found among those served says nothing against the statement where PostgreSQL has more of them.
    fn honest(&self, error: Error, types: &[Oid]) -> Error {
        match types.iter().find(|ty| is_text_only(**ty)) {
            Some(ty) if matches!(error.sqlstate, "42883" | "42725") => {
                Error::unsupported(format!("an operator of the type {}", self.type_name(*ty)))
            }
            _ => error,
        }
    }

    /// The operator alone, for operands that are compared later.
    pub(super) fn op_between(
        &mut self,
        name: &str,
        left: &Typed,
        right: Oid,
        at: usize,
    ) -> Result<Callable> {
        let found = resolve::operator(name, Some(left.ty.oid), right, &self.catalog.types)
            .map_err(|error| error.at(at))?;
        let sorts = matches!(name, "<" | "<=" | ">" | ">=");
        if sorts && found.args.iter().any(|ty| is_collatable(*ty)) && !left.by_bytes {
            return Err(collation("comparison").at(at));
        }
        Ok(found)
    }

    /// `a op b`, where both may be rows.
    fn rows_or_op(
        &mut self,
        name: &str,
        left: &NodeEnum,
        right: &NodeEnum,
        at: usize,
    ) -> Result<Typed> {
        if let (NodeEnum::RowExpr(left), NodeEnum::RowExpr(right)) = (left, right) {
            return self.rows(name, &left.args, &right.args, at);
        }
        if let (NodeEnum::RowExpr(row), NodeEnum::SubLink(sub)) = (left, right) {
            return self.row_sub(name, &row.args, sub);
        }
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        self.op(name, left, right, at)
    }

    fn rows(&mut self, name: &str, left: &[Node], right: &[Node], at: usize) -> Result<Typed> {
        if left.len() != right.len() {
            return Err(Error::new("42601", "unequal number of entries in row expressions").at(at));
        }
        let left = self.exprs(left)?;
        let right = self.exprs(right)?;
        let pairs: Vec<(Typed, Typed)> = left.into_iter().zip(right).collect();
        let expr = match name {
            "=" => Expr::And(self.pairwise("=", &pairs, at)?),
            "<>" => Expr::Or(self.pairwise("<>", &pairs, at)?),
            "<" | "<=" | ">" | ">=" => self.lexical(name, &pairs, at)?,
            _ => return Err(Error::unsupported(format!("the operator {name} over rows")).at(at)),
        };
        Ok(truth(expr, at))
    }

    fn pairwise(&mut self, name: &str, pairs: &[(Typed, Typed)], at: usize) -> Result<Vec<Expr>> {
        let mut all = Vec::with_capacity(pairs.len());
        for (left, right) in pairs {
            all.push(self.op(name, left.clone(), right.clone(), at)?.expr);
        }
        Ok(all)
    }

    /// `(a, b) < (c, d)` is `a < c OR a = c AND b < d`.
    fn lexical(&mut self, name: &str, pairs: &[(Typed, Typed)], at: usize) -> Result<Expr> {
        let strict = &name[..1];
        let Some(((left, right), rest)) = pairs.split_first() else {
            return Err(Error::new("0A000", "cannot compare rows of zero length").at(at));
        };
        if rest.is_empty() {
            return Ok(self.op(name, left.clone(), right.clone(), at)?.expr);
        }
        let first = self.op(strict, left.clone(), right.clone(), at)?.expr;
        let equal = self.op("=", left.clone(), right.clone(), at)?.expr;
        let rest = self.lexical(name, rest, at)?;
        Ok(Expr::Or(vec![first, Expr::And(vec![equal, rest])]))
    }

    fn any_all(&mut self, name: &str, expr: &AExpr, all: bool) -> Result<Typed> {
        let at = place(expr.location);
        let left = self.expr(boxed(&expr.lexpr)?)?;
        let right = self.expr(boxed(&expr.rexpr)?)?;
        let word = if all { "ALL" } else { "ANY" };
        let (right, element) = if right.is_unknown() {
            let element = if left.is_unknown() {
                oid::TEXT
            } else {
                left.ty.oid
            };
            let list = format::array_of(element, &self.catalog.types)
                .ok_or_else(|| Error::unsupported("an array of this type").at(at))?;
            let at = right.at;
            let expr = self.coerce(right, Type::of(list), Context::Implicit)?;
            (
                Typed {
                    expr,
                    ty: Type::of(list),
                    by_bytes: true,
                    at,
                },
                element,
            )
        } else {
            let element =
                format::element_of(right.ty.oid, &self.catalog.types).ok_or_else(|| {
                    Error::new(
                        "42809",
                        format!("op {word} (array) requires array on right side"),
                    )
                    .at(at)
                })?;
            (right, element)
        };
        let by_bytes = left.by_bytes && right.by_bytes;
        let op = self.op_between(
            name,
            &Typed {
                by_bytes,
                ..left.clone()
            },
            element,
            at,
        )?;
        if op.result != oid::BOOL {
            return Err(Error::new(
                "42809",
                format!("op {word} (array) requires operator to yield boolean"),
            )
            .at(at));
        }
        let to = op.args.first().copied().unwrap_or(element);
        let left = self.coerce(left, Type::of(to), Context::Implicit)?;
        let wanted = op.args.get(1).copied().unwrap_or(element);
        Ok(truth(
            Expr::AnyAll {
                op: Box::new(op),
                all,
                left: Box::new(left),
                array: Box::new(right.expr),
                element: (element, wanted),
            },
            at,
        ))
    }

    fn distinct(&mut self, expr: &AExpr, not: bool) -> Result<Typed> {
        let at = place(expr.location);
        let (left, right) = (boxed(&expr.lexpr)?, boxed(&expr.rexpr)?);
        if let (NodeEnum::RowExpr(left), NodeEnum::RowExpr(right)) = (left, right) {
            let pairs: Vec<_> = self
                .exprs(&left.args)?
                .into_iter()
                .zip(self.exprs(&right.args)?)
                .collect();
            let mut any = Vec::new();
            for (left, right) in pairs {
                let (equal, pair) = self.resolve_op("=", left, right, at)?;
                any.push(Expr::Distinct(Box::new(equal), Box::new(pair)));
            }
            let any = Expr::Or(any);
            return Ok(truth(if not { Expr::Not(Box::new(any)) } else { any }, at));
        }
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        // A NULL written out needs no operator.
        let null = |typed: &Typed| matches!(typed.expr, Expr::Const(Value::Null));
        let test = if null(&right) || null(&left) {
            let tested = if null(&right) { left } else { right };
            let tested = self.settle(tested)?;
            Expr::Not(Box::new(Expr::IsNull(Box::new(tested.expr))))
        } else {
            let (equal, pair) = self.resolve_op("=", left, right, at)?;
            Expr::Distinct(Box::new(equal), Box::new(pair))
        };
        Ok(truth(
            if not { Expr::Not(Box::new(test)) } else { test },
            at,
        ))
    }

    fn null_if(&mut self, expr: &AExpr) -> Result<Typed> {
        let at = place(expr.location);
        let left = self.expr(boxed(&expr.lexpr)?)?;
        let right = self.expr(boxed(&expr.rexpr)?)?;
        let (by_bytes, own) = (left.by_bytes, left.ty);
        let (equal, pair) = self.resolve_op("=", left, right, at)?;
        let compared = equal.args.first().copied().unwrap_or(own.oid);
        Ok(Typed {
            ty: if compared == own.oid {
                own
            } else {
                Type::of(compared)
            },
            expr: Expr::NullIf(Box::new(equal), Box::new(pair)),
            by_bytes,
            at,
        })
    }

    /// `x IN (…)`: `x = ANY (ARRAY[…])`, of the type that all have in common (`transformAExprIn`).
    fn in_list(&mut self, name: &str, expr: &AExpr) -> Result<Typed> {
        let at = place(expr.location);
        let not = name == "<>";
        let left = boxed(&expr.lexpr)?;
        let NodeEnum::List(list) = boxed(&expr.rexpr)? else {
            return Err(Error::unsupported("this form of IN").at(at));
        };
        if let NodeEnum::RowExpr(row) = left {
            let mut any = Vec::new();
            for item in &list.items {
                let NodeEnum::RowExpr(item) = inner(item)? else {
                    return Err(Error::unsupported("IN over a row and something else").at(at));
                };
                any.push(self.rows("=", &row.args, &item.args, at)?.expr);
            }
            let any = Expr::Or(any);
            return Ok(truth(if not { Expr::Not(Box::new(any)) } else { any }, at));
        }
        let left = self.expr(left)?;
        let items = self.exprs(&list.items)?;
        let types: Vec<Oid> = std::iter::once(&left)
            .chain(&items)
            .map(|item| item.ty.oid)
            .collect();
        let Ok(common) = resolve::common_type(&types, "IN", &self.catalog.types) else {
            return self.in_one_by_one(left, items, not, at);
        };
        let op = self.op_between(if not { "<>" } else { "=" }, &left, common, at)?;
        let to = op.args.first().copied().unwrap_or(common);
        let wanted = op.args.get(1).copied().unwrap_or(common);
        let left = self.coerce(left, Type::of(to), Context::Implicit)?;
        let items = items
            .into_iter()
            .map(|item| self.coerce(item, Type::of(common), Context::Implicit))
            .collect::<Result<Vec<_>>>()?;
        Ok(truth(
            Expr::AnyAll {
                op: Box::new(op),
                all: not,
                left: Box::new(left),
                array: Box::new(Expr::Array {
                    element: common,
                    nested: false,
                    items,
                }),
                element: (common, wanted),
            },
            at,
        ))
    }

    fn in_one_by_one(
        &mut self,
        left: Typed,
        items: Vec<Typed>,
        not: bool,
        at: usize,
    ) -> Result<Typed> {
        let pairs: Vec<_> = items.into_iter().map(|item| (left.clone(), item)).collect();
        let expr = if not {
            Expr::And(self.pairwise("<>", &pairs, at)?)
        } else {
            Expr::Or(self.pairwise("=", &pairs, at)?)
        };
        Ok(truth(expr, at))
    }

    fn between(&mut self, expr: &AExpr, not: bool, symmetric: bool) -> Result<Typed> {
        let at = place(expr.location);
        let NodeEnum::List(ends) = boxed(&expr.rexpr)? else {
            return Err(Error::unsupported("this form of BETWEEN").at(at));
        };
        let [low, high] = &self.exprs(&ends.items)?[..] else {
            return Err(Error::unsupported("this form of BETWEEN").at(at));
        };
        let value = self.expr(boxed(&expr.lexpr)?)?;
        let mut within = |low: &Typed, high: &Typed| -> Result<Expr> {
            let low = self.op(">=", value.clone(), low.clone(), at)?.expr;
            let high = self.op("<=", value.clone(), high.clone(), at)?.expr;
            Ok(Expr::And(vec![low, high]))
        };
        let mut test = within(low, high)?;
        if symmetric {
            test = Expr::Or(vec![test, within(high, low)?]);
        }
        Ok(truth(
            if not { Expr::Not(Box::new(test)) } else { test },
            at,
        ))
    }
}

/// The first of some places; 0 is none.
pub(super) fn leftmost<const N: usize>(places: [usize; N]) -> usize {
    places
        .into_iter()
        .filter(|place| *place > 0)
        .min()
        .unwrap_or_default()
}

/// A condition.
pub(super) fn truth(expr: Expr, at: usize) -> Typed {
    Typed {
        expr,
        ty: Type::of(oid::BOOL),
        by_bytes: true,
        at,
    }
}
