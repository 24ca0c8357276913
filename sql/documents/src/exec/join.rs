//! Joins.
//!
//! The side that is narrowed down first is read first; of the other, only documents with the values found are asked for, by `$in` on an index where there is one.

use std::collections::HashMap;

use crossfade_values::{Oid, Value, order};
use futures::{FutureExt as _, future::BoxFuture};

use super::{Exec, Row, Subs};
use crate::{
    eval::Env,
    expr::Expr,
    fail::Fail,
    plan::{From, Join, JoinKind},
};

/// Most values that are sent along to narrow the other side down.
const MOST_VALUES: usize = 20_000;

type Narrow = Vec<(usize, Oid, Vec<Value>)>;

impl Exec<'_> {
    /// All rows of a join.
    pub(crate) fn join<'s>(
        &'s mut self,
        join: &'s Join,
        width: usize,
        outer: Option<&'s Env<'s>>,
        narrow: &'s [(usize, Oid, Vec<Value>)],
    ) -> BoxFuture<'s, Result<Vec<Row>, Fail>> {
        async move {
            self.several = true;
            if join.lateral {
                return self.lateral(join, width, outer).await;
            }
            let of = |range: &std::ops::Range<usize>| -> Narrow {
                narrow
                    .iter()
                    .filter(|(slot, ..)| range.contains(slot))
                    .cloned()
                    .collect()
            };
            let (mut left_narrow, mut right_narrow) = (of(&join.left_slots), of(&join.right_slots));
            // Rows that appear without a partner must not be missed.
            if matches!(join.kind, JoinKind::Left | JoinKind::Full) {
                right_narrow.clear();
            }
            if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
                left_narrow.clear();
            }
            let right_first = match join.kind {
                JoinKind::Inner if left_narrow.is_empty() != right_narrow.is_empty() => {
                    left_narrow.is_empty()
                }
                JoinKind::Inner => weight(&join.right) > weight(&join.left),
                JoinKind::Right => true,
                JoinKind::Left | JoinKind::Full => false,
            };
            let (left, right) = if right_first {
                let right = self
                    .all_rows(&join.right, width, outer, right_narrow)
                    .await?;
                if join.kind != JoinKind::Full {
                    left_narrow.extend(self.values_of(join, &right, false, outer)?);
                }
                (
                    self.all_rows(&join.left, width, outer, left_narrow).await?,
                    right,
                )
            } else {
                let left = self.all_rows(&join.left, width, outer, left_narrow).await?;
                if join.kind != JoinKind::Full {
                    right_narrow.extend(self.values_of(join, &left, true, outer)?);
                }
                let right = self
                    .all_rows(&join.right, width, outer, right_narrow)
                    .await?;
                (left, right)
            };
            self.pair_up(join, left, right, outer).await
        }
        .boxed()
    }

    /// Values that rows of one side want of a plain column of the other.
    fn values_of(
        &self,
        join: &Join,
        rows: &[Row],
        left: bool,
        outer: Option<&Env<'_>>,
    ) -> Result<Narrow, Fail> {
        let mut narrow = Vec::new();
        for (one, other, ty) in &join.equal {
            let (here, there) = if left { (one, other) } else { (other, one) };
            let Some(slot) = plain(there) else { continue };
            if !takes(if left { &join.right } else { &join.left }, slot) {
                continue;
            }
            let mut values: HashMap<Vec<u8>, Value> = HashMap::new();
            for row in rows {
                let env = self.env(outer);
                let value = env.with(row, env.answers).eval(here)?;
                if !value.is_null() {
                    let mut key = Vec::new();
                    order::hash_key(*ty, &value, &self.catalog.types, &mut key);
                    values.insert(key, value);
                }
                if values.len() > MOST_VALUES {
                    break;
                }
            }
            if values.len() <= MOST_VALUES {
                narrow.push((slot, *ty, values.into_values().collect()));
            }
        }
        Ok(narrow)
    }

    async fn pair_up(
        &mut self,
        join: &Join,
        left: Vec<Row>,
        right: Vec<Row>,
        outer: Option<&Env<'_>>,
    ) -> Result<Vec<Row>, Fail> {
        let subs = Subs::of(&join.on);
        let fixed = self.fixed_answers(&subs, outer).await?;
        let mut index: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (place, row) in right.iter().enumerate() {
            if let Some(key) = self.join_key(join, row, false, outer)? {
                index.entry(key).or_default().push(place);
            }
        }
        // `ON false` of a FULL JOIN: there are no pairs, and none is to be looked at.
        let pairs = !join.on.iter().any(is_never);
        let mut met = vec![false; right.len()];
        let mut rows = Vec::new();
        let none = Vec::new();
        for one in left {
            let mut alone = true;
            let partners = match self.join_key(join, &one, true, outer)? {
                Some(key) if pairs => index.get(&key).unwrap_or(&none),
                _ => &none,
            };
            for &place in partners {
                self.breathe().await;
                let mut row = one.clone();
                row[join.right_slots.clone()]
                    .clone_from_slice(&right[place][join.right_slots.clone()]);
                if self.hold(&join.on, &subs, &fixed, &row, outer).await? {
                    alone = false;
                    met[place] = true;
                    self.keep(&row)?;
                    rows.push(row);
                }
            }
            if alone && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
                rows.push(one);
            }
        }
        if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
            rows.extend(
                right
                    .into_iter()
                    .zip(met)
                    .filter(|(_, met)| !met)
                    .map(|(row, _)| row),
            );
        }
        Ok(rows)
    }

    /// Whether conditions hold for a row, their sub-queries included.
    pub(crate) async fn hold(
        &mut self,
        conditions: &[Expr],
        subs: &Subs<'_>,
        fixed: &crate::eval::Answers,
        row: &Row,
        outer: Option<&Env<'_>>,
    ) -> Result<bool, Fail> {
        if conditions.is_empty() {
            return Ok(true);
        }
        let env = self.env(outer);
        if !subs.move_with_rows() {
            return Ok(env.with(row, fixed).hold_all(conditions)?);
        }
        let answers = self.row_answers(subs, fixed, &env.with(row, fixed)).await?;
        Ok(env.with(row, &answers).hold_all(conditions)?)
    }

    /// `None` where a part is NULL, which is equal to nothing.
    fn join_key(
        &self,
        join: &Join,
        row: &Row,
        left: bool,
        outer: Option<&Env<'_>>,
    ) -> Result<Option<Vec<u8>>, Fail> {
        let mut key = Vec::new();
        let env = self.env(outer);
        let env = env.with(row, env.answers);
        for (one, other, ty) in &join.equal {
            let value = env.eval(if left { one } else { other })?;
            if value.is_null() {
                return Ok(None);
            }
            order::hash_key(*ty, &value, &self.catalog.types, &mut key);
        }
        Ok(Some(key))
    }

    async fn lateral(
        &mut self,
        join: &Join,
        width: usize,
        outer: Option<&Env<'_>>,
    ) -> Result<Vec<Row>, Fail> {
        let left = self.all_rows(&join.left, width, outer, Vec::new()).await?;
        if !matches!(join.kind, JoinKind::Inner | JoinKind::Left) {
            return Err(crossfade_values::Error::unsupported(
                "LATERAL on the outer side of a join",
            )
            .into());
        }
        let subs = Subs::of(&join.on);
        let fixed = self.fixed_answers(&subs, outer).await?;
        let mut rows = Vec::new();
        for one in left {
            let right = match &join.right {
                From::Query(sub) => self.sub_rows(sub, width, outer, Some(&one)).await?,
                From::Function(function) => {
                    self.function_rows(function, width, outer, Some(&one))
                        .await?
                }
                _ => {
                    return Err(crossfade_values::Error::unsupported("this form of LATERAL").into());
                }
            };
            let mut alone = true;
            for other in right {
                let mut row = one.clone();
                row[join.right_slots.clone()].clone_from_slice(&other[join.right_slots.clone()]);
                let env = self.env(outer);
                let env = env.with(&row, env.answers);
                let mut equal = true;
                for (a, b, ty) in &join.equal {
                    let (a, b) = (env.eval(a)?, env.eval(b)?);
                    equal &= !a.is_null()
                        && !b.is_null()
                        && order::compare(*ty, &a, &b, &self.catalog.types).is_eq();
                }
                if equal && self.hold(&join.on, &subs, &fixed, &row, outer).await? {
                    alone = false;
                    self.keep(&row)?;
                    rows.push(row);
                }
            }
            if alone && join.kind == JoinKind::Left {
                rows.push(one);
            }
        }
        Ok(rows)
    }
}

fn is_never(condition: &Expr) -> bool {
    matches!(condition, Expr::Const(Value::Bool(false) | Value::Null))
}

/// The slot of a plain column.
fn plain(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column(slot) => Some(*slot),
        _ => None,
    }
}

/// Whether a slot's collection can be narrowed down without missing rows that the join needs.
fn takes(from: &From, slot: usize) -> bool {
    match from {
        From::Scan(scan) => slot >= scan.base,
        From::Join(join) => match join.kind {
            JoinKind::Inner if join.left_slots.contains(&slot) => takes(&join.left, slot),
            JoinKind::Inner if join.right_slots.contains(&slot) => takes(&join.right, slot),
            JoinKind::Left if join.left_slots.contains(&slot) => takes(&join.left, slot),
            JoinKind::Right if join.right_slots.contains(&slot) => takes(&join.right, slot),
            _ => false,
        },
        From::Nothing | From::System(_) | From::Query(_) | From::Function(_) => false,
    }
}

/// How far conditions narrow a source down, by their number.
fn weight(from: &From) -> usize {
    match from {
        From::Scan(scan) => scan.filters.len(),
        From::System(scan) => scan.filters.len(),
        From::Query(sub) => 1 + sub.filters.len(),
        From::Function(_) | From::Nothing => 2,
        From::Join(join) => weight(&join.left) + weight(&join.right),
    }
}
