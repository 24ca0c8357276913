//! What is done with rows at the end: DISTINCT, ORDER BY, OFFSET, LIMIT.

use std::{cmp::Ordering, collections::HashSet};

use crossfade_values::{Error, Oid, Types, Value, order};

use super::{Exec, Row, Subs};
use crate::{
    eval::Env,
    expr::Expr,
    fail::Fail,
    plan::{Distinct, Order, Tail},
};

/// OFFSET and LIMIT of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) skip: u64,
    pub(crate) take: Option<u64>,
}

impl Exec<'_> {
    pub(crate) async fn window(
        &mut self,
        tail: &Tail,
        outer: Option<&Env<'_>>,
    ) -> Result<Window, Fail> {
        // Neither looks at any row: see `Binder::tail`.
        let subs = Subs::of(tail.limit.iter().chain(&tail.offset));
        let answers = self.fixed_answers(&subs, outer).await?;
        let env = self.env(outer);
        let env = env.with(&[], &answers);
        let count = |expr: &Option<Expr>, word: &str| -> Result<Option<u64>, Fail> {
            let Some(expr) = expr else { return Ok(None) };
            match env.eval(expr)? {
                Value::Int(number) => u64::try_from(number).map(Some).map_err(|_| {
                    Error::new(
                        if word == "LIMIT" { "2201W" } else { "2201X" },
                        format!("{word} must not be negative"),
                    )
                    .into()
                }),
                _ => Ok(None),
            }
        };
        Ok(Window {
            skip: count(&tail.offset, "OFFSET")?.unwrap_or_default(),
            take: count(&tail.limit, "LIMIT")?,
        })
    }
}

impl Window {
    /// Most rows that matter.
    pub(crate) fn end(self) -> Option<u64> {
        self.take.map(|take| take.saturating_add(self.skip))
    }
}

/// Sorts rows, as PostgreSQL's own sort does: stable where nothing tells two rows apart.
pub(crate) fn sort(rows: &mut [Row], by: &[Order], types: &Types) {
    if !by.is_empty() {
        rows.sort_by(|one, other| compare(one, other, by, types));
    }
}

pub(crate) fn compare(one: &Row, other: &Row, by: &[Order], types: &Types) -> Ordering {
    for part in by {
        let (a, b) = (&one[part.target], &other[part.target]);
        let ordering = compare_values(part.ty, a, b, part.descending, part.nulls_first, types);
        if ordering.is_ne() {
            return ordering;
        }
    }
    Ordering::Equal
}

pub(crate) fn compare_values(
    ty: Oid,
    a: &Value,
    b: &Value,
    descending: bool,
    nulls_first: bool,
    types: &Types,
) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let ordering = order::compare(ty, a, b, types);
            if descending {
                ordering.reverse()
            } else {
                ordering
            }
        }
    }
}

/// Rows that DISTINCT leaves.
pub(crate) fn distinct(
    rows: Vec<Row>,
    how: &Distinct,
    visible: usize,
    of: &[Oid],
    types: &Types,
) -> Vec<Row> {
    let all: Vec<usize>;
    let columns = match how {
        Distinct::No => return rows,
        Distinct::All => {
            all = (0..visible).collect();
            &all
        }
        Distinct::On(columns) => columns,
    };
    let mut seen = HashSet::new();
    let mut left = rows;
    left.retain(|row| seen.insert(key(row, columns, of, types)));
    left
}

/// Bytes that are the same for equal values; NULLs are the same here.
pub(crate) fn key(row: &Row, columns: &[usize], of: &[Oid], types: &Types) -> Vec<u8> {
    let mut key = Vec::new();
    for &column in columns {
        append(of[column], &row[column], types, &mut key);
    }
    key
}

pub(crate) fn append(ty: Oid, value: &Value, types: &Types, out: &mut Vec<u8>) {
    if value.is_null() {
        out.push(0);
        return;
    }
    out.push(1);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    order::hash_key(ty, value, types, out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Rows within the window; with WITH TIES, those that are level with the last.
pub(crate) fn cut(mut rows: Vec<Row>, window: Window, tail: &Tail, types: &Types) -> Vec<Row> {
    let skip = usize::try_from(window.skip)
        .unwrap_or(usize::MAX)
        .min(rows.len());
    rows.drain(..skip);
    let Some(take) = window.take else { return rows };
    let take = usize::try_from(take).unwrap_or(usize::MAX).min(rows.len());
    let mut end = take;
    if tail.with_ties && take > 0 {
        while end < rows.len() && compare(&rows[take - 1], &rows[end], &tail.order, types).is_eq() {
            end += 1;
        }
    }
    rows.truncate(end);
    rows
}
