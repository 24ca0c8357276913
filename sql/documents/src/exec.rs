//! Running a statement.

mod changes;
mod copy;
mod finish;
mod foreign;
mod group;
mod join;
mod scan;
mod select;
mod source;
mod truncate;
mod write;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use crossfade_sql_wire::Surroundings;
use crossfade_values::{Error, Result as SqlResult, Value};
use futures::{FutureExt as _, future::BoxFuture};

use crate::{
    bind::Part,
    catalog::Catalog,
    eval::{Answers, Env, Run},
    expr::{Expr, Sub},
    fail::Fail,
    plan::Query,
    txn::Txn,
};

pub(crate) use select::Out;
pub(crate) use truncate::texts;

pub(crate) type Row = Vec<Value>;

/// Bytes that the rows in between may take.
const MOST_BYTES: usize = 256 << 20;

static NO_ANSWERS: std::sync::LazyLock<Answers> = std::sync::LazyLock::new(Answers::new);

/// One run of a statement.
pub(crate) struct Exec<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) txn: &'a mut Txn,
    pub(crate) run: &'a Run<'a>,
    pub(crate) around: &'a dyn Surroundings,
    /// Answers of sub-queries that are the same for every row, and of CTEs, by their number.
    pub(crate) known: HashMap<usize, Arc<Vec<Row>>>,
    /// Documents that others hold (SKIP LOCKED).
    pub(crate) skipped: HashSet<String>,
    /// Rows looked at so far.
    pub(crate) steps: u64,
    /// Bytes of rows that are kept.
    pub(crate) kept_bytes: usize,
    /// More than one collection is read, or one more than once: by one snapshot.
    pub(crate) several: bool,
    /// WITH queries that write.
    pub(crate) parts: &'a [Part],
    /// What the statement has written, where it looks back.
    pub(crate) changes: Option<changes::Changes>,
    /// Foreign keys that are still to be looked at.
    pub(crate) checks: VecDeque<foreign::Check>,
    /// Rows that cascades have taken away before their own foreign keys are looked at, by table and `_id`.
    pub(crate) cascaded: HashSet<(usize, String)>,
    /// What a MERGE has written, where that is to be told.
    pub(crate) written: Option<Vec<write::Written>>,
}

/// Sub-queries of some expressions.
#[derive(Default)]
pub(crate) struct Subs<'q> {
    fixed: Vec<&'q Arc<Sub>>,
    moving: Vec<&'q Arc<Sub>>,
}

impl<'q> Subs<'q> {
    pub(crate) fn of(exprs: impl IntoIterator<Item = &'q Expr>) -> Subs<'q> {
        let mut all = Vec::new();
        exprs.into_iter().for_each(|expr| expr.subs(&mut all));
        let (moving, fixed) = all.into_iter().partition(|sub| sub.correlated);
        Subs { fixed, moving }
    }

    pub(crate) fn move_with_rows(&self) -> bool {
        !self.moving.is_empty()
    }
}

impl<'a> Exec<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        txn: &'a mut Txn,
        run: &'a Run<'a>,
        around: &'a dyn Surroundings,
        several: bool,
    ) -> Exec<'a> {
        Exec {
            catalog,
            txn,
            run,
            around,
            known: HashMap::new(),
            skipped: HashSet::new(),
            steps: 0,
            kept_bytes: 0,
            several,
            parts: &[],
            changes: None,
            checks: VecDeque::new(),
            cascaded: HashSet::new(),
            written: None,
        }
    }

    /// The environment of a query: no row of its own yet.
    pub(crate) fn env<'e>(&self, outer: Option<&'e Env<'e>>) -> Env<'e>
    where
        'a: 'e,
    {
        Env {
            run: self.run,
            row: &[],
            outer,
            answers: &NO_ANSWERS,
        }
    }

    /// Answers of the sub-queries that do not look at the row.
    pub(crate) async fn fixed_answers(
        &mut self,
        subs: &Subs<'_>,
        outer: Option<&Env<'_>>,
    ) -> Result<Answers, Fail> {
        let mut answers = Answers::new();
        for sub in &subs.fixed {
            let rows = match self.known.get(&sub.id) {
                Some(rows) => rows.clone(),
                None => {
                    let env = self.env(outer);
                    let rows = Arc::new(self.query(&sub.query, Some(&env)).await?);
                    self.known.insert(sub.id, rows.clone());
                    rows
                }
            };
            answers.insert(sub.id, rows);
        }
        Ok(answers)
    }

    /// And of those that do.
    pub(crate) async fn row_answers(
        &mut self,
        subs: &Subs<'_>,
        fixed: &Answers,
        env: &Env<'_>,
    ) -> Result<Answers, Fail> {
        let mut answers = fixed.clone();
        for sub in &subs.moving {
            let rows = self.query(&sub.query, Some(env)).await?;
            answers.insert(sub.id, Arc::new(rows));
        }
        Ok(answers)
    }

    /// All rows of a query.
    pub(crate) fn query<'s>(
        &'s mut self,
        query: &'s Query,
        outer: Option<&'s Env<'s>>,
    ) -> BoxFuture<'s, Result<Vec<Row>, Fail>> {
        async move {
            let mut rows = Vec::new();
            self.query_into(query, outer, &mut Out::Rows(&mut rows))
                .await?;
            Ok(rows)
        }
        .boxed()
    }

    /// The rows of a query, one after the other.
    pub(crate) fn query_into<'s>(
        &'s mut self,
        query: &'s Query,
        outer: Option<&'s Env<'s>>,
        out: &'s mut Out<'_>,
    ) -> BoxFuture<'s, Result<(), Fail>> {
        async move {
            match query {
                Query::Select(select) => self.select(select, outer, out).await,
                Query::Values(values) => self.values(values, outer, out).await,
                Query::Set(set) => self.set_operation(set, outer, out).await,
                Query::Written(id) => {
                    let rows = self.part(*id).await?;
                    for row in rows.iter() {
                        out.push(self, row.clone(), row.len()).await?;
                    }
                    Ok(())
                }
            }
        }
        .boxed()
    }

    /// Lets others work, and a cancel or a timeout take effect, every some hundred rows.
    pub(crate) async fn breathe(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(256) {
            tokio::task::yield_now().await;
        }
    }

    /// Counts rows that are kept in memory.
    pub(crate) fn keep(&mut self, row: &Row) -> SqlResult<()> {
        self.keep_bytes(row_bytes(row))
    }

    pub(crate) fn keep_bytes(&mut self, bytes: usize) -> SqlResult<()> {
        self.kept_bytes += bytes;
        if self.kept_bytes > MOST_BYTES {
            return Err(Error::new("53200", "out of memory").detail(format!(
                "The rows that this statement keeps while it runs take more than {} MB.",
                MOST_BYTES >> 20
            )));
        }
        Ok(())
    }
}

fn row_bytes(row: &[Value]) -> usize {
    let extra = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(array) => row_bytes(&array.items),
        Value::Json(_) | Value::Numeric(_) => 64,
        _ => 0,
    };
    row.iter()
        .map(|value| size_of::<Value>() + extra(value))
        .sum::<usize>()
        + 24
}
