//! Expressions as they are understood: names found, types known, operators and functions chosen.

use std::sync::Arc;

use crossfade_values::{
    Oid, Type, Value,
    cast::Context,
    oid,
    resolve::{Callable, Volatility},
};

use crate::plan::Query;

/// An expression.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// A value.
    Const(Value),
    /// A parameter, counted from 0.
    Param(usize),
    /// A column of the row at hand.
    Column(usize),
    /// A column of the row of a query further out, counted from 1 outwards.
    Outer(usize, usize),
    /// A function or an operator.
    Call(Box<Callable>, Vec<Expr>),
    /// A cast.
    Cast(Box<Expr>, Oid, Type, Context),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    /// `IS TRUE`, `IS FALSE`, `IS UNKNOWN` (`None`).
    IsBool(Box<Expr>, Option<bool>),
    /// `IS DISTINCT FROM`, by the operator of equality.
    Distinct(Box<Callable>, Box<[Expr; 2]>),
    /// `CASE`: conditions with their results, and the rest.
    Case(Vec<(Expr, Expr)>, Box<Expr>),
    Coalesce(Vec<Expr>),
    /// `NULLIF`, by the operator of equality.
    NullIf(Box<Callable>, Box<[Expr; 2]>),
    /// `GREATEST`, or `LEAST`.
    Extreme {
        greatest: bool,
        ty: Oid,
        items: Vec<Expr>,
    },
    /// `ARRAY[…]`; `nested`: of arrays.
    Array {
        element: Oid,
        nested: bool,
        items: Vec<Expr>,
    },
    Row(Vec<(Oid, Expr)>),
    /// `left op ANY (array)`, or ALL.
    AnyAll {
        op: Box<Callable>,
        all: bool,
        left: Box<Expr>,
        array: Box<Expr>,
        /// Cast of the elements.
        element: (Oid, Oid),
    },
    /// `array[i][j]`.
    Element(Box<Expr>, Vec<Expr>),
    /// A sub-query.
    Sub(Arc<Sub>),
    /// The next value of a counter.
    NextVal(Sequence),
    /// The value that this session took last.
    CurrVal(Option<Sequence>),
    /// An aggregate of the query at hand; gone once the query is understood.
    Agg(usize),
}

/// A counter: the table and the column that it feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sequence {
    pub(crate) table: usize,
    pub(crate) column: usize,
}

/// A sub-query in an expression.
#[derive(Debug)]
pub(crate) struct Sub {
    /// Number within the statement.
    pub(crate) id: usize,
    pub(crate) query: Query,
    /// It uses rows further out.
    pub(crate) correlated: bool,
    pub(crate) kind: SubKind,
}

impl Sub {
    /// Whether it, or what it is compared with, looks at rows outside of it.
    pub(crate) fn looks_outward(&self) -> bool {
        let compared: &[Expr] = match &self.kind {
            SubKind::AnyAll { left, .. } => left,
            SubKind::Exists | SubKind::Scalar | SubKind::Array(_) => &[],
        };
        let mut columns = false;
        for left in compared {
            left.columns(&mut |_| columns = true);
        }
        self.correlated || columns || compared.iter().any(Expr::looks_outward)
    }
}

/// What is asked of a sub-query's rows.
#[derive(Debug)]
pub(crate) enum SubKind {
    Exists,
    /// The one value of the one row.
    Scalar,
    /// All values as an array.
    Array(Oid),
    /// `left op ANY`, or ALL; by position where `left` is a row.
    AnyAll {
        left: Vec<Expr>,
        ops: Vec<Callable>,
        all: bool,
        /// Casts of the sub-query's columns.
        casts: Vec<(Oid, Type)>,
    },
}

/// An expression with its type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) ty: Type,
    /// Text of it sorts by its bytes.
    pub(crate) by_bytes: bool,
    /// Byte offset in the statement.
    pub(crate) at: usize,
}

impl Typed {
    pub(crate) fn is_unknown(&self) -> bool {
        self.ty.oid == oid::UNKNOWN
    }
}

/// Visits what is right below an expression, by `iter` or `iter_mut`; what is visited of a sub-query differs.
macro_rules! each_child {
    ($expr:expr, $visit:ident, $iter:ident, $sub:pat => $of_sub:block) => {
        match $expr {
            Expr::Const(_)
            | Expr::Param(_)
            | Expr::Column(_)
            | Expr::Outer(..)
            | Expr::NextVal(_)
            | Expr::CurrVal(_)
            | Expr::Agg(_) => {}
            Expr::Call(_, items)
            | Expr::And(items)
            | Expr::Or(items)
            | Expr::Coalesce(items)
            | Expr::Extreme { items, .. }
            | Expr::Array { items, .. } => items.$iter().for_each($visit),
            Expr::Cast(inner, ..)
            | Expr::Not(inner)
            | Expr::IsNull(inner)
            | Expr::IsBool(inner, _) => $visit(inner),
            Expr::Distinct(_, pair) => pair.$iter().for_each($visit),
            Expr::NullIf(_, all) => all.$iter().for_each($visit),
            Expr::Case(whens, rest) => {
                for (when, then) in whens {
                    $visit(when);
                    $visit(then);
                }
                $visit(rest);
            }
            Expr::Row(items) => items.$iter().for_each(|(_, item)| $visit(item)),
            Expr::AnyAll { left, array, .. } => {
                $visit(left);
                $visit(array);
            }
            Expr::Element(array, indexes) => {
                $visit(array);
                indexes.$iter().for_each($visit);
            }
            $sub => $of_sub,
        }
    };
}

impl Expr {
    pub(crate) fn null() -> Expr {
        Expr::Const(Value::Null)
    }

    /// Every expression right below this one.
    pub(crate) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        each_child!(self, visit, iter, Expr::Sub(sub) => {
            if let SubKind::AnyAll { left, .. } = &sub.kind {
                left.iter().for_each(visit);
            }
        });
    }

    /// As [`Expr::each`], to change them. Sub-queries are left alone: they have rows of their own.
    pub(crate) fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        each_child!(self, visit, iter_mut, Expr::Sub(_) => {});
    }

    /// Visits the expression and everything below it, within its own query.
    pub(crate) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        self.each(&mut |inner| inner.walk(visit));
    }

    /// Columns of the row at hand that it needs, those that its sub-queries take from it included.
    pub(crate) fn columns(&self, take: &mut dyn FnMut(usize)) {
        self.walk(&mut |expr| match expr {
            Expr::Column(slot) => take(*slot),
            Expr::Sub(sub) => sub.query.outer_columns(1, take),
            _ => {}
        });
    }

    /// Columns of the row `level` queries further out.
    pub(crate) fn outer_columns(&self, level: usize, take: &mut dyn FnMut(usize)) {
        self.walk(&mut |expr| match expr {
            Expr::Outer(out, slot) if *out == level => take(*slot),
            Expr::Sub(sub) => sub.query.outer_columns(level + 1, take),
            _ => {}
        });
    }

    /// Whether it is the same for every row of the query: no column, no sub-query, nothing that differs from call to call.
    pub(crate) fn is_fixed(&self) -> bool {
        let mut fixed = true;
        self.walk(&mut |expr| match expr {
            Expr::Column(_) | Expr::Sub(_) | Expr::NextVal(_) | Expr::CurrVal(_) | Expr::Agg(_) => {
                fixed = false;
            }
            Expr::Call(callable, _) if callable.volatility == Volatility::Volatile => fixed = false,
            _ => {}
        });
        fixed
    }

    /// Whether it looks at rows of queries further out.
    pub(crate) fn looks_outward(&self) -> bool {
        let mut outward = false;
        self.walk(&mut |expr| match expr {
            Expr::Outer(..) => outward = true,
            Expr::Sub(sub) => outward |= sub.correlated,
            _ => {}
        });
        outward
    }

    /// Whether both are written alike.
    pub(crate) fn is_same(&self, other: &Expr) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }

    pub(crate) fn subs<'a>(&'a self, found: &mut Vec<&'a Arc<Sub>>) {
        self.walk(&mut |expr| {
            if let Expr::Sub(sub) = expr {
                found.push(sub);
            }
        });
    }
}
