//! Rows of FROM.

use std::{collections::VecDeque, sync::Arc};

use crossfade_values::{Error, Oid, Value};
use futures::{FutureExt as _, future::BoxFuture};

use super::{
    Exec, Row, Subs,
    changes::Earlier,
    scan::{Found, Hints},
};
use crate::{
    eval::{Answers, Env},
    fail::Fail,
    plan::{From, FunctionScan, Query, RowsOf, Scan, SubQuery, SystemScan},
    system,
};

/// Rows as they come.
pub(crate) enum Source<'q> {
    Rows(VecDeque<Row>),
    Scan {
        scan: &'q Scan,
        found: Box<Found>,
        answers: Answers,
        /// What the filter let through has to be looked at again.
        again: bool,
        /// Documents that the statement itself has changed.
        earlier: Option<Earlier>,
    },
}

impl Exec<'_> {
    /// Begins to read a FROM. `width` is that of the query's rows.
    pub(crate) fn source<'s, 'q: 's>(
        &'s mut self,
        from: &'q From,
        width: usize,
        outer: Option<&'s Env<'s>>,
        hints: Hints,
    ) -> BoxFuture<'s, Result<Source<'q>, Fail>> {
        async move {
            Ok(match from {
                From::Nothing => Source::Rows([vec![Value::Null; width]].into()),
                From::Scan(scan) => {
                    let answers = self.scan_answers(scan, outer).await?;
                    let env = self.env(outer);
                    let env = env.with(&[], &answers);
                    let filter = self.filter_of(scan, &env, &hints)?;
                    let collection = &self.catalog.tables[scan.table].documents.collection;
                    let earlier = self.earlier(collection);
                    let again = !filter.exact || earlier.is_some();
                    let limit = hints.limit.filter(|_| !again);
                    let found = self.find(scan, filter, Hints { limit, ..hints }).await?;
                    Source::Scan {
                        scan,
                        found: Box::new(found),
                        answers,
                        again,
                        earlier,
                    }
                }
                From::System(scan) => Source::Rows(self.system(scan, width, outer).await?.into()),
                From::Query(sub) => {
                    Source::Rows(self.sub_rows(sub, width, outer, None).await?.into())
                }
                From::Function(function) => Source::Rows(
                    self.function_rows(function, width, outer, None)
                        .await?
                        .into(),
                ),
                From::Join(join) => {
                    Source::Rows(self.join(join, width, outer, &hints.narrow).await?.into())
                }
            })
        }
        .boxed()
    }

    /// The next row.
    pub(crate) async fn next(
        &mut self,
        source: &mut Source<'_>,
        width: usize,
        outer: Option<&Env<'_>>,
    ) -> Result<Option<Row>, Fail> {
        self.breathe().await;
        match source {
            Source::Rows(rows) => Ok(rows.pop_front()),
            Source::Scan {
                scan,
                found,
                answers,
                again,
                earlier,
            } => loop {
                let raw = match (self.next_document(found).await?, &mut *earlier) {
                    (Some(raw), Some(earlier)) if earlier.hides(&raw) => continue,
                    (Some(raw), _) => raw,
                    (None, earlier) => match earlier.as_mut().and_then(Earlier::next) {
                        Some(raw) => raw,
                        None => return Ok(None),
                    },
                };
                let mut row = vec![Value::Null; width];
                self.fill(scan, &raw, &mut row)?;
                let env = self.env(outer);
                if !*again || env.with(&row, answers).hold_all(&scan.filters)? {
                    return Ok(Some(row));
                }
            },
        }
    }

    /// All rows of a FROM.
    pub(crate) async fn all_rows(
        &mut self,
        from: &From,
        width: usize,
        outer: Option<&Env<'_>>,
        narrow: Vec<(usize, Oid, Vec<Value>)>,
    ) -> Result<Vec<Row>, Fail> {
        let hints = Hints {
            narrow,
            ..Hints::default()
        };
        let mut source = self.source(from, width, outer, hints).await?;
        let mut rows = Vec::new();
        while let Some(row) = self.next(&mut source, width, outer).await? {
            self.keep(&row)?;
            rows.push(row);
        }
        Ok(rows)
    }

    async fn system(
        &mut self,
        scan: &SystemScan,
        width: usize,
        outer: Option<&Env<'_>>,
    ) -> Result<Vec<Row>, Fail> {
        let subs = Subs::of(&scan.filters);
        let answers = self.fixed_answers(&subs, outer).await?;
        let mut rows = Vec::new();
        for values in system::rows(scan.name, self.catalog, self.around) {
            let mut row = vec![Value::Null; width];
            for (index, value) in values.into_iter().enumerate() {
                row[scan.base + index] = value;
            }
            let env = self.env(outer);
            if env.with(&row, &answers).hold_all(&scan.filters)? {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Rows of a sub-query in FROM; with LATERAL, beside a row of its left.
    pub(crate) async fn sub_rows(
        &mut self,
        sub: &SubQuery,
        width: usize,
        outer: Option<&Env<'_>>,
        left: Option<&Row>,
    ) -> Result<Vec<Row>, Fail> {
        let rows = match (&sub.query, sub.cte.and_then(|id| self.known.get(&id))) {
            (_, Some(rows)) => rows.clone(),
            (Query::Written(id), None) => self.part(*id).await?,
            (_, None) => {
                let env = self.env(outer);
                let env = env.with(left.map_or(&[][..], |row| row), env.answers);
                let rows = Arc::new(self.query(&sub.query, Some(&env)).await?);
                if let Some(id) = sub.cte {
                    self.known.insert(id, rows.clone());
                }
                rows
            }
        };
        let subs = Subs::of(&sub.filters);
        let answers = self.fixed_answers(&subs, outer).await?;
        let mut all = Vec::with_capacity(rows.len());
        for values in rows.iter() {
            let mut row = vec![Value::Null; width];
            for (index, value) in values.iter().take(sub.width).enumerate() {
                row[sub.base + index] = value.clone();
            }
            let env = self.env(outer);
            if env.with(&row, &answers).hold_all(&sub.filters)? {
                all.push(row);
            }
        }
        Ok(all)
    }

    /// Rows of a function in FROM.
    pub(crate) async fn function_rows(
        &mut self,
        function: &FunctionScan,
        width: usize,
        outer: Option<&Env<'_>>,
        left: Option<&Row>,
    ) -> Result<Vec<Row>, Fail> {
        let env = self.env(outer);
        let around = env.with(left.map_or(&[][..], |row| row), env.answers);
        let inside = self.env(Some(&around));
        let subs = Subs::of(&function.args);
        let fixed = self.fixed_answers(&subs, Some(&around)).await?;
        let answers = self.row_answers(&subs, &fixed, &inside).await?;
        let inside = inside.with(&[], &answers);
        let args = function
            .args
            .iter()
            .map(|arg| inside.eval(arg))
            .collect::<Result<Vec<_>, _>>()?;
        let values = match function.kind {
            RowsOf::Value => args,
            RowsOf::Channels => self
                .around
                .channels()
                .into_iter()
                .map(Value::text)
                .collect(),
            RowsOf::Unnest => match args.first() {
                Some(Value::Array(array)) => array.items.clone(),
                _ => Vec::new(),
            },
            RowsOf::Series => series(&args)?,
        };
        let subs = Subs::of(&function.filters);
        let answers = self.fixed_answers(&subs, outer).await?;
        let mut rows = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            let mut row = vec![Value::Null; width];
            row[function.base] = value;
            if function.ordinality {
                row[function.base + 1] = Value::Int(i64::try_from(index + 1).unwrap_or(i64::MAX));
            }
            if env.with(&row, &answers).hold_all(&function.filters)? {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

/// Most values of `generate_series`.
const MOST_VALUES: usize = 1_000_000;

fn series(args: &[Value]) -> Result<Vec<Value>, Fail> {
    let whole = |index: usize| match args.get(index) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    let (Some(start), Some(end)) = (whole(0), whole(1)) else {
        return Ok(Vec::new());
    };
    let step = if args.len() > 2 { whole(2) } else { Some(1) };
    let Some(step) = step else {
        return Ok(Vec::new());
    };
    if step == 0 {
        return Err(Error::new("22023", "step size cannot equal zero").into());
    }
    let mut values = Vec::new();
    let mut next = Some(start);
    while let Some(value) = next.filter(|value| {
        if step > 0 {
            *value <= end
        } else {
            *value >= end
        }
    }) {
        if values.len() >= MOST_VALUES {
            return Err(
                Error::unsupported("generate_series() of more than a million values").into(),
            );
        }
        values.push(Value::Int(value));
        next = value.checked_add(step);
    }
    Ok(values)
}
