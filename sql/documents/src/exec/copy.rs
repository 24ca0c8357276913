//! COPY FROM STDIN: rows as they come, in portions of PostgreSQL's own size, within one transaction.

use std::time::{Duration, Instant};

use bytes::Bytes;
use crossfade_sql_wire::{Column, CopyShape, Sink};
use crossfade_values::{Error, Value};

use super::{Exec, Row, foreign::Parents};
use crate::{
    bind::{CopyFrom, Images},
    catalog::Table,
    copy::{Input, Next, Record, context},
    fail::Fail,
    txn::Entry,
};

/// Rows and bytes of data that are inserted at once (`MAX_BUFFERED_TUPLES`, `MAX_BUFFERED_BYTES`). Which error of two comes first depends on it.
const ROWS: usize = 1000;
const BYTES: usize = 65535;

/// What a COPY FROM has read and not inserted.
#[derive(Default)]
struct Portion {
    rows: Vec<Row>,
    /// Number and line of each.
    lines: Vec<(u64, Option<Bytes>)>,
    bytes: usize,
}

/// A COPY FROM under way.
struct Copying<'c> {
    copy: &'c CopyFrom,
    images: Option<(&'c Images, Vec<Column>)>,
    lock_timeout: Option<Duration>,
    sink: &'c mut dyn Sink,
    portion: Portion,
    parents: Parents,
    count: u64,
}

impl Exec<'_> {
    /// How many rows it inserted.
    pub(crate) async fn copy_from(
        &mut self,
        copy: &CopyFrom,
        images: Option<&Images>,
        lock_timeout: Option<Duration>,
        sink: &mut dyn Sink,
    ) -> Result<u64, Fail> {
        let table = &self.catalog.tables[copy.table];
        let mut copying = Copying {
            copy,
            images: images.map(|images| (images, images.columns())),
            lock_timeout,
            sink,
            portion: Portion::default(),
            parents: Parents::default(),
            count: 0,
        };
        copying.sink.copy_in(CopyShape {
            columns: copy.columns.len(),
            binary: copy.options.is_binary(),
        })?;
        let mut input = Input::new(copy, table, self.run.types, self.run.session);
        loop {
            let (records, ended) = self.read(&mut input, &mut copying).await;
            self.take_records(records, &mut copying).await?;
            match ended {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => {
                    self.before_error(&mut copying).await?;
                    return Err(error.into());
                }
            }
        }
        self.insert_portion(&mut copying).await?;
        let Copying { parents, count, .. } = copying;
        self.last_parents(copy.table, parents, lock_timeout).await?;
        Ok(count)
    }

    /// Some rows, and whether that were all, or why there are no more.
    async fn read(
        &mut self,
        input: &mut Input<'_>,
        copying: &mut Copying<'_>,
    ) -> (Vec<Record>, Result<bool, Error>) {
        let mut records = Vec::new();
        let mut bytes = 0;
        loop {
            let next = {
                let domains = &copying.copy.rules.domains;
                input.next(&|column, value| {
                    let mut of = domains.iter().filter(|domain| domain.column == column);
                    of.try_for_each(|domain| self.obey_domain(domain, value))
                })
            };
            match next {
                Ok(Next::One(record)) => {
                    bytes += record.length;
                    records.push(record);
                    if records.len() >= ROWS || bytes >= BYTES {
                        return (records, Ok(false));
                    }
                }
                Ok(Next::End) => return (records, Ok(true)),
                Ok(Next::More) => match copying.sink.receive().await {
                    Ok(piece) => input.feed(piece.as_deref()),
                    Err(error) => return (records, Err(input.here(error))),
                },
                Err(error) => return (records, Err(error)),
            }
        }
    }

    /// Makes whole rows of what was read.
    async fn take_records(
        &mut self,
        records: Vec<Record>,
        copying: &mut Copying<'_>,
    ) -> Result<(), Fail> {
        let copy = copying.copy;
        let table = &self.catalog.tables[copy.table];
        let missing = |column: &usize| !copy.columns.contains(column);
        let missing: Vec<usize> = (0..table.columns.len()).filter(missing).collect();
        let defaults = missing.iter().map(|&column| &copy.defaults[column]);
        self.take_for(defaults, records.len()).await?;
        for (index, record) in records.into_iter().enumerate() {
            if index % 64 == 63 {
                self.breathe().await;
            }
            match self.whole_row(copy, table, &missing, &record) {
                Ok(None) => {}
                Ok(Some(row)) => {
                    let Portion { rows, lines, bytes } = &mut copying.portion;
                    rows.push(row);
                    lines.push((record.number, record.line));
                    *bytes += record.length;
                    if rows.len() >= ROWS || *bytes >= BYTES {
                        self.insert_portion(copying).await?;
                    }
                }
                Err(error) => {
                    self.before_error(copying).await?;
                    return Err(placed(error, table, record.number, record.line.as_ref()).into());
                }
            }
        }
        Ok(())
    }

    /// `None` for a row that WHERE leaves out.
    fn whole_row(
        &self,
        copy: &CopyFrom,
        table: &Table,
        missing: &[usize],
        record: &Record,
    ) -> Result<Option<Row>, Error> {
        let env = self.env(None);
        let mut row = vec![Value::Null; table.columns.len()];
        for (&column, value) in copy.columns.iter().zip(&record.values) {
            row[column] = value.clone();
        }
        for &column in missing {
            row[column] = env.eval(&copy.defaults[column])?;
        }
        if let Some(filter) = &copy.filter
            && !matches!(env.with(&row, env.answers).eval(filter)?, Value::Bool(true))
        {
            return Ok(None);
        }
        self.obey_row(table, &copy.rules, &mut row)?;
        Ok(Some(row))
    }

    /// Rows that PostgreSQL would have inserted before it came to an error.
    async fn before_error(&mut self, copying: &mut Copying<'_>) -> Result<(), Fail> {
        if copying.copy.single {
            self.insert_portion(copying).await?;
        }
        Ok(())
    }

    async fn insert_portion(&mut self, copying: &mut Copying<'_>) -> Result<(), Fail> {
        let Portion { rows, lines, .. } = std::mem::take(&mut copying.portion);
        if rows.is_empty() {
            return Ok(());
        }
        let table = &self.catalog.tables[copying.copy.table];
        let mut entries = Vec::with_capacity(rows.len());
        for (row, (number, _)) in rows.iter().zip(&lines) {
            let entry = self.insertion(table, row);
            entries.push(entry.map_err(|fail| match fail {
                Fail::Sql(error) => placed(*error, table, *number, None).into(),
                other => other,
            })?);
        }
        let put = self.put_all(entries, copying.lock_timeout).await;
        match put {
            Err(Fail::Duplicate(index, at)) => {
                let Some(unique) = table.unique(&index) else {
                    return Err(Fail::Duplicate(index, at));
                };
                let error = self.duplicate(table, unique, at.and_then(|at| rows.get(at)));
                let Some((number, line)) = at.and_then(|at| lines.get(at)) else {
                    return Err(error.into());
                };
                let line = line.as_ref().filter(|_| copying.copy.single);
                return Err(placed(error, table, *number, line).into());
            }
            outcome => outcome?,
        }
        copying.count += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let (parents, most) = (&mut copying.parents, copying.lock_timeout);
        self.find_parents(copying.copy.table, &rows, parents, most)
            .await?;
        let Some((images, columns)) = &copying.images else {
            return Ok(());
        };
        for row in &rows {
            let image = self.image(images, row)?;
            copying.sink.push_image(columns, &image)?;
            if copying.sink.is_full() {
                copying.sink.drain().await?;
            }
        }
        Ok(())
    }

    /// What is told of a row.
    pub(crate) fn image(&self, images: &Images, row: &Row) -> Result<Row, Error> {
        let env = self.env(None);
        let env = env.with(row, env.answers);
        images.returning.iter().map(|expr| env.eval(expr)).collect()
    }

    /// Makes writes, as often as others get in their way.
    pub(crate) async fn put_all(
        &mut self,
        mut entries: Vec<Entry>,
        lock_timeout: Option<Duration>,
    ) -> Result<(), Fail> {
        let (began, mark, mut attempt) = (Instant::now(), self.txn.mark(), 0);
        loop {
            match self.txn.try_put(entries).await {
                Err((Fail::Again, back)) => {
                    self.txn.renew(mark, began, attempt, lock_timeout).await?;
                    entries = back;
                    attempt += 1;
                }
                outcome => return outcome.map_err(|(fail, _)| fail),
            }
        }
    }
}

/// An error at a line.
fn placed(error: Error, table: &Table, number: u64, line: Option<&Bytes>) -> Error {
    error.context(|| {
        let line = line.map(|line| String::from_utf8_lossy(line));
        context(table.name(), number, line.as_deref())
    })
}
