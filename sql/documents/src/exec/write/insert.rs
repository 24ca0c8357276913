//! INSERT.

use crossfade_values::{Error, Value, cast};

use super::super::{Exec, Row, Subs, select::Out};
use crate::{
    bind::{Insert, Source},
    eval::Env,
    expr::Expr,
    fail::Fail,
};

impl Exec<'_> {
    /// How many rows it inserted, or changed by ON CONFLICT. `alone`: nothing else is in its transaction, and a commit follows.
    pub(crate) async fn insert(
        &mut self,
        insert: &Insert,
        alone: bool,
        out: &mut Out<'_>,
    ) -> Result<u64, Fail> {
        let alone = alone && !self.txn.is_running();
        let rows = self.insert_rows(insert, alone).await?;
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let table = &self.catalog.tables[insert.table];
        if let Some(conflict) = &insert.conflict {
            return self.insert_or(insert, conflict, rows, out).await;
        }
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            entries.push(self.insertion(table, row)?);
        }
        if let ([entry], true) = (&entries[..], alone) {
            self.note(&entries)?;
            let document = entry.after.clone().unwrap_or_default();
            let outcome = self.txn.insert_alone(&entry.collection, &document).await;
            self.told(table, (&rows, true), outcome).await?;
        } else {
            let outcome = self.change(entries).await;
            self.told(table, (&rows, true), outcome).await?;
            self.inserted(insert.table, &rows);
        }
        for row in rows {
            self.returned(&insert.returning, row, out).await?;
        }
        Ok(count)
    }

    /// Values for every column of every row.
    async fn insert_rows(&mut self, insert: &Insert, alone: bool) -> Result<Vec<Row>, Fail> {
        let table = &self.catalog.tables[insert.table];
        let given = match &insert.source {
            Source::Rows(rows) => {
                self.take_counters(insert, rows.iter().map(Vec::as_slice), alone)
                    .await?;
                return self.given_rows(insert, rows).await;
            }
            Source::Query(query, casts) => {
                self.several = true;
                let rows = self.query(query, None).await?;
                let casted = |row: Row| {
                    let values = row.into_iter().zip(casts).map(|(value, (from, to))| {
                        cast::cast(
                            value,
                            *from,
                            *to,
                            cast::Context::Assignment,
                            &self.catalog.types,
                            self.run.session,
                        )
                    });
                    values.collect::<Result<Vec<_>, Error>>()
                };
                let given = rows
                    .into_iter()
                    .map(casted)
                    .collect::<Result<Vec<_>, Error>>()?;
                let shape: Vec<Vec<Option<Expr>>> =
                    vec![vec![Some(Expr::null()); insert.columns.len()]; given.len()];
                self.take_counters(insert, shape.iter().map(Vec::as_slice), false)
                    .await?;
                given
            }
        };
        let env = self.env(None);
        let mut rows = Vec::with_capacity(given.len());
        for values in given {
            let mut row: Vec<Option<Value>> = vec![None; table.columns.len()];
            for (&column, value) in insert.columns.iter().zip(values) {
                row[column] = Some(value);
            }
            rows.push(self.full_row(insert, row, &env)?);
        }
        Ok(rows)
    }

    /// Rows of VALUES. A single one is computed column by column, defaults among what is given; of several each is computed first.
    async fn given_rows(
        &mut self,
        insert: &Insert,
        rows: &[Vec<Option<Expr>>],
    ) -> Result<Vec<Row>, Fail> {
        let table = &self.catalog.tables[insert.table];
        let subs = Subs::of(rows.iter().flatten().flatten());
        let fixed = self.fixed_answers(&subs, None).await?;
        let env = self.env(None);
        let env = env.with(&[], &fixed);
        let mut all = Vec::with_capacity(rows.len());
        for given in rows {
            let mut row: Vec<Option<Value>> = vec![None; table.columns.len()];
            let mut exprs: Vec<(usize, &Expr)> = insert
                .columns
                .iter()
                .zip(given)
                .filter_map(|(&column, expr)| Some((column, expr.as_ref()?)))
                .collect();
            if rows.len() == 1 {
                let missing = (0..row.len())
                    .filter(|column| exprs.iter().all(|(known, _)| known != column))
                    .collect::<Vec<_>>();
                exprs.extend(
                    missing
                        .into_iter()
                        .map(|column| (column, &insert.defaults[column])),
                );
                exprs.sort_by_key(|(column, _)| *column);
            }
            for (column, expr) in exprs {
                row[column] = Some(env.eval(expr)?);
            }
            all.push(self.full_row(insert, row, &env)?);
        }
        Ok(all)
    }

    /// What is missing is made by defaults, and all of it is checked.
    fn full_row(
        &self,
        insert: &Insert,
        row: Vec<Option<Value>>,
        env: &Env<'_>,
    ) -> Result<Row, Error> {
        let mut full = Vec::with_capacity(row.len());
        for (value, default) in row.into_iter().zip(&insert.defaults) {
            full.push(match value {
                Some(value) => value,
                None => env.eval(default)?,
            });
        }
        self.obey(&self.catalog.tables[insert.table], &insert.rules, &mut full)?;
        Ok(full)
    }
}
