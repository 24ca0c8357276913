//! Queries as they are understood.

use std::sync::Arc;

use crossfade_values::{Oid, aggregate::Aggregate};

use crate::expr::Expr;

/// A query.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    Select(Arc<Select>),
    /// `VALUES`.
    Values(Arc<Values>),
    /// `UNION` and its kin.
    Set(Arc<SetOperation>),
    /// What a WITH query that writes gives back, by its number.
    Written(usize),
}

#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) rows: Vec<Vec<Expr>>,
    pub(crate) tail: Tail,
}

#[derive(Debug)]
pub(crate) struct SetOperation {
    pub(crate) kind: SetKind,
    pub(crate) all: bool,
    pub(crate) left: Query,
    pub(crate) right: Query,
    /// Casts of the left's and the right's columns to the common types.
    pub(crate) casts: [Vec<Option<(Oid, Oid)>>; 2],
    pub(crate) types: Vec<Oid>,
    pub(crate) tail: Tail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetKind {
    Union,
    Intersect,
    Except,
}

/// What is done with finished rows: ORDER BY, OFFSET, LIMIT.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) order: Vec<Order>,
    pub(crate) limit: Option<Expr>,
    pub(crate) offset: Option<Expr>,
    pub(crate) with_ties: bool,
}

/// One part of an ORDER BY.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Index among the targets.
    pub(crate) target: usize,
    pub(crate) ty: Oid,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// A `SELECT`.
#[derive(Debug)]
pub(crate) struct Select {
    pub(crate) from: From,
    /// Slots of a row.
    pub(crate) width: usize,
    /// Conditions that are not asked of one source alone.
    pub(crate) filter: Vec<Expr>,
    pub(crate) group: Option<Group>,
    /// What is answered, then what is only sorted by.
    pub(crate) targets: Vec<Expr>,
    pub(crate) visible: usize,
    pub(crate) types: Vec<Oid>,
    pub(crate) distinct: Distinct,
    pub(crate) tail: Tail,
    pub(crate) locking: Option<Locking>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Distinct {
    No,
    All,
    /// `DISTINCT ON` these targets.
    On(Vec<usize>),
}

/// GROUP BY with its aggregates; targets and HAVING see a row of the keys, then the aggregates.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) keys: Vec<(Expr, Oid)>,
    pub(crate) aggregates: Vec<Agg>,
    pub(crate) having: Option<Expr>,
    /// There is no GROUP BY: one group, also of no rows.
    pub(crate) whole: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Agg {
    pub(crate) aggregate: Aggregate,
    pub(crate) args: Vec<Expr>,
    pub(crate) distinct: bool,
    pub(crate) filter: Option<Expr>,
    pub(crate) order: Vec<(Expr, Oid, bool, bool)>,
}

/// `FOR UPDATE` and its kin.
#[derive(Debug, Clone)]
pub(crate) struct Locking {
    /// Scans whose documents are locked, by their base.
    pub(crate) bases: Vec<usize>,
    pub(crate) wait: Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Block,
    Skip,
    Fail,
}

/// Where rows come from.
#[derive(Debug)]
pub(crate) enum From {
    /// One row without columns.
    Nothing,
    Scan(Scan),
    /// A table of the system's, by its name.
    System(SystemScan),
    Query(SubQuery),
    Function(FunctionScan),
    Join(Box<Join>),
}

/// A collection.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) table: usize,
    /// First slot of its columns.
    pub(crate) base: usize,
    /// Columns that anybody needs, by index of column.
    pub(crate) needed: Vec<usize>,
    /// Conditions on it alone.
    pub(crate) filters: Vec<Expr>,
    /// The slot behind the columns holds the document itself, for writes.
    pub(crate) whole: bool,
}

#[derive(Debug)]
pub(crate) struct SystemScan {
    pub(crate) name: &'static str,
    pub(crate) base: usize,
    pub(crate) filters: Vec<Expr>,
}

#[derive(Debug)]
pub(crate) struct SubQuery {
    pub(crate) query: Query,
    pub(crate) base: usize,
    pub(crate) width: usize,
    pub(crate) filters: Vec<Expr>,
    /// Number of a CTE that is run once.
    pub(crate) cte: Option<usize>,
}

/// A function that gives rows.
#[derive(Debug)]
pub(crate) struct FunctionScan {
    pub(crate) kind: RowsOf,
    pub(crate) args: Vec<Expr>,
    pub(crate) base: usize,
    pub(crate) ordinality: bool,
    pub(crate) filters: Vec<Expr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowsOf {
    /// `unnest(array)`.
    Unnest,
    /// `generate_series(int, int [, int])`.
    Series,
    /// `pg_listening_channels()`.
    Channels,
    /// Any function's one value.
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) kind: JoinKind,
    pub(crate) left: From,
    pub(crate) right: From,
    /// Slots of the left and the right side.
    pub(crate) left_slots: std::ops::Range<usize>,
    pub(crate) right_slots: std::ops::Range<usize>,
    /// Equal pairs: left, right, type.
    pub(crate) equal: Vec<(Expr, Expr, Oid)>,
    /// All other conditions.
    pub(crate) on: Vec<Expr>,
    /// The right side looks at rows of the left.
    pub(crate) lateral: bool,
}

impl From {
    /// Every expression in it.
    pub(crate) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            From::Nothing => {}
            From::Scan(scan) => scan.filters.iter().for_each(visit),
            From::System(scan) => scan.filters.iter().for_each(visit),
            From::Query(sub) => sub.filters.iter().for_each(visit),
            From::Function(function) => {
                function.args.iter().for_each(&mut *visit);
                function.filters.iter().for_each(visit);
            }
            From::Join(join) => {
                join.left.each(visit);
                join.right.each(visit);
                for (left, right, _) in &join.equal {
                    visit(left);
                    visit(right);
                }
                join.on.iter().for_each(visit);
            }
        }
    }

    /// Every query in it.
    fn queries<'a>(&'a self, visit: &mut dyn FnMut(&'a Query)) {
        match self {
            From::Nothing | From::Scan(_) | From::System(_) | From::Function(_) => {}
            From::Query(sub) => visit(&sub.query),
            From::Join(join) => {
                join.left.queries(visit);
                join.right.queries(visit);
            }
        }
    }
}

impl Select {
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        self.from.each(visit);
        self.filter.iter().for_each(&mut *visit);
        if let Some(group) = &self.group {
            group.keys.iter().for_each(|(key, _)| visit(key));
            for agg in &group.aggregates {
                agg.args.iter().for_each(&mut *visit);
                agg.filter.iter().for_each(&mut *visit);
                agg.order.iter().for_each(|(expr, ..)| visit(expr));
            }
            group.having.iter().for_each(&mut *visit);
        }
        self.targets.iter().for_each(&mut *visit);
        self.tail.each(visit);
    }
}

impl Tail {
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        self.limit.iter().for_each(&mut *visit);
        self.offset.iter().for_each(visit);
    }
}

impl Query {
    /// Slots that it takes from the row `level` queries further out.
    pub(crate) fn outer_columns(&self, level: usize, take: &mut dyn FnMut(usize)) {
        match self {
            Query::Select(select) => {
                select.each(&mut |expr| expr.outer_columns(level, take));
                // What a sub-query in FROM calls one query further out is the row around this one.
                select
                    .from
                    .queries(&mut |query| query.outer_columns(level + 1, take));
            }
            Query::Values(values) => {
                values
                    .rows
                    .iter()
                    .flatten()
                    .for_each(|expr| expr.outer_columns(level, take));
                values
                    .tail
                    .each(&mut |expr| expr.outer_columns(level, take));
            }
            Query::Set(set) => {
                set.left.outer_columns(level, take);
                set.right.outer_columns(level, take);
                set.tail.each(&mut |expr| expr.outer_columns(level, take));
            }
            Query::Written(_) => {}
        }
    }

    /// Whether it takes anything from a query further out.
    pub(crate) fn is_correlated(&self, most: usize) -> bool {
        let mut correlated = false;
        for level in 1..=most {
            self.outer_columns(level, &mut |_| correlated = true);
        }
        correlated
    }
}
