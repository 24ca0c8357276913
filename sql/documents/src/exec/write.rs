//! INSERT, UPDATE, DELETE.

mod conflict;
mod rules;

pub(super) use rules::named;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::PoisonError,
};

use crossfade_values::{Error, Value, cast};
use mongodb::bson::{Bson, Document, RawDocumentBuf};

use super::{
    Exec, Row, Subs,
    scan::Hints,
    select::{Out, raw},
};
use crate::{
    bind::{Delete, Insert, Source, Update},
    catalog::Table,
    codec,
    eval::Env,
    expr::{Expr, Sequence},
    fail::Fail,
    plan::Select,
    txn::{Entry, id_of},
};

impl Exec<'_> {
    /// How many rows it inserted, or changed by ON CONFLICT. `alone`: nothing else is in its transaction, and a commit follows.
    pub(crate) async fn insert(
        &mut self,
        insert: &Insert,
        alone: bool,
        out: &mut Out<'_>,
    ) -> Result<u64, Fail> {
        let rows = self.insert_rows(insert).await?;
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let table = &self.catalog.tables[insert.table];
        if let Some(conflict) = &insert.conflict {
            return self.insert_or(insert, conflict, rows, out).await;
        }
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            entries.push(self.insertion(table, row)?);
        }
        if let ([entry], true, true) = (
            &entries[..],
            alone && !self.txn.is_running(),
            self.is_free(insert.table),
        ) {
            let document = entry.after.clone().unwrap_or_default();
            let outcome = self.txn.insert_alone(&entry.collection, &document).await;
            self.told(table, &rows, outcome).await?;
        } else {
            self.check_parents(insert.table, &rows).await?;
            let outcome = self.txn.put(entries).await;
            self.told(table, &rows, outcome).await?;
        }
        for row in rows {
            self.returned(&insert.returning, row, out).await?;
        }
        Ok(count)
    }

    /// Values for every column of every row.
    async fn insert_rows(&mut self, insert: &Insert) -> Result<Vec<Row>, Fail> {
        let table = &self.catalog.tables[insert.table];
        let given = match &insert.source {
            Source::Rows(rows) => {
                self.take_counters(insert, rows.iter().map(Vec::as_slice))
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
                self.take_counters(insert, shape.iter().map(Vec::as_slice))
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

    /// Takes from the counters what the rows will use, in one trip each.
    async fn take_counters<'q>(
        &mut self,
        insert: &Insert,
        rows: impl Iterator<Item = &'q [Option<Expr>]>,
    ) -> Result<(), Fail> {
        let mut wanted: HashMap<Sequence, i64> = HashMap::new();
        let mut count = |expr: &Expr| {
            expr.walk(&mut |expr| {
                if let Expr::NextVal(sequence) = expr {
                    *wanted.entry(*sequence).or_default() += 1;
                }
            });
        };
        for row in rows {
            let given = |column: usize| {
                let place = insert.columns.iter().position(|known| *known == column);
                place.is_some_and(|place| row.get(place).is_some_and(Option::is_some))
            };
            row.iter().flatten().for_each(&mut count);
            for (column, default) in insert.defaults.iter().enumerate() {
                if !given(column) {
                    count(default);
                }
            }
        }
        for (sequence, count) in wanted {
            self.take_from(sequence, count, true).await?;
        }
        Ok(())
    }

    /// Takes from the counters what expressions use that are computed for so many rows.
    pub(crate) async fn take_for(
        &mut self,
        exprs: impl Iterator<Item = &Expr>,
        rows: usize,
    ) -> Result<(), Fail> {
        let mut wanted: HashMap<Sequence, i64> = HashMap::new();
        for expr in exprs {
            expr.walk(&mut |expr| {
                if let Expr::NextVal(sequence) = expr {
                    *wanted.entry(*sequence).or_default() += 1;
                }
            });
        }
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        for (sequence, count) in wanted {
            if rows > 0 {
                self.take_from(sequence, count * rows, true).await?;
            }
        }
        Ok(())
    }

    /// Takes `count` values of a counter.
    pub(crate) async fn take_from(
        &mut self,
        sequence: Sequence,
        count: i64,
        written_next: bool,
    ) -> Result<(), Fail> {
        let table = &self.catalog.tables[sequence.table];
        let column = &table.map.columns[sequence.column].old;
        let Some(sequence_name) = &column.sequence else {
            return Ok(());
        };
        let name = &sequence_name.name;
        let facts = column.sequence_facts.as_ref();
        let step = facts.map_or(1, |facts| facts.increment);
        let last = if self.txn.has_restarted(sequence_name) {
            let by = step * count;
            self.txn.move_counter(sequence_name, |at| at + by).await?
        } else {
            self.txn
                .store()
                .advance_counter(sequence_name, step * count, written_next)
                .await
                .map_err(|error| crate::fail::store_error(&error))?
        };
        let Some(last) = last else {
            return Err(Error::new(
                "55000",
                format!("the counter of sequence \"{name}\" is not there"),
            )
            .hint("the flip to phase 5 makes it; `crossfade check` says what is missing")
            .into());
        };
        let mut values = VecDeque::new();
        for back in (0..count).rev() {
            let value = last - back * step;
            let beyond = facts.filter(|facts| value > facts.max || value < facts.min);
            if let Some(facts) = beyond {
                let (word, end) = if step > 0 {
                    ("maximum", facts.max)
                } else {
                    ("minimum", facts.min)
                };
                if facts.cycle {
                    return Err(Error::unsupported(format!(
                        "sequence \"{name}\", which has come to its end and is to begin again,"
                    ))
                    .into());
                }
                return Err(Error::new(
                    "2200H",
                    format!("nextval: reached {word} value of sequence \"{name}\" ({end})"),
                )
                .into());
            }
            values.push_back(value);
        }
        let mut counters = self
            .run
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counters.taken.entry(sequence).or_default().extend(values);
        Ok(())
    }

    /// The document of a new row.
    pub(crate) fn insertion(&self, table: &Table, row: &Row) -> Result<Entry, Fail> {
        let (id, document) = self.document(table, row)?;
        Ok(Entry {
            collection: table.documents.collection.clone(),
            id,
            before: None,
            after: Some(document),
        })
    }

    /// `_id` and the document of a row.
    pub(crate) fn document(
        &self,
        table: &Table,
        row: &Row,
    ) -> Result<(Bson, RawDocumentBuf), Fail> {
        let bson = |column: usize| -> Result<Bson, Fail> {
            let field = &table.documents.fields[column];
            let column = &table.columns[column];
            let value = &row[table.column(&column.name).unwrap_or_default()];
            codec::to_bson(&field.kind, column.base, value, &self.catalog.types).map_err(|error| {
                Error {
                    message: format!("column \"{}\": {}", column.name, error.message),
                    ..error
                }
                .into()
            })
        };
        let parts = table
            .documents
            .key
            .iter()
            .map(|&column| bson(column))
            .collect::<Result<Vec<_>, Fail>>()?;
        let id = table.documents.id(parts);
        let mut document = Document::new();
        document.insert("_id", id.clone());
        for (column, field) in table.documents.fields.iter().enumerate() {
            if field.key.is_none() {
                put(&mut document, &field.path, bson(column)?);
            }
        }
        let raw = RawDocumentBuf::try_from(&document).map_err(|error| {
            Error::new("22P05", format!("a row that BSON does not take: {error}"))
        })?;
        Ok((id, raw))
    }

    async fn returned(
        &mut self,
        returning: &[Expr],
        row: Row,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        if returning.is_empty() {
            return Ok(());
        }
        let subs = Subs::of(returning);
        let fixed = self.fixed_answers(&subs, None).await?;
        let env = self.env(None);
        let answers = self
            .row_answers(&subs, &fixed, &env.with(&row, &fixed))
            .await?;
        let env = env.with(&row, &answers);
        let values = returning
            .iter()
            .map(|expr| env.eval(expr))
            .collect::<Result<Row, Error>>()?;
        let width = values.len();
        out.put(self, values, width).await
    }

    pub(crate) async fn update(&mut self, update: &Update, out: &mut Out<'_>) -> Result<u64, Fail> {
        let found = self.targets_of(&update.rows, update.table).await?;
        let table = &self.catalog.tables[update.table];
        let width = table.columns.len();
        let subs = Subs::of(update.set.iter().map(|(_, expr)| expr));
        let fixed = self.fixed_answers(&subs, None).await?;
        self.take_for(update.set.iter().map(|(_, expr)| expr), found.len())
            .await?;
        let sets_key = update
            .set
            .iter()
            .any(|(column, _)| table.documents.key.contains(column));
        let (mut entries, mut rows, mut before_rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut moved = 0;
        for (row, before) in found {
            let env = self.env(None);
            let answers = self
                .row_answers(&subs, &fixed, &env.with(&row, &fixed))
                .await?;
            let env = env.with(&row, &answers);
            let mut new: Row = row[..width].to_vec();
            for (column, expr) in &update.set {
                new[*column] = env.eval(expr)?;
            }
            self.obey(table, &update.rules, &mut new)?;
            let (id, after) = self.document(table, &new)?;
            let (old_id, collection) = (id_of(&before), table.documents.collection.clone());
            if sets_key && id != old_id {
                moved += 1;
                entries.push(Entry {
                    collection: collection.clone(),
                    id: old_id,
                    before: Some(before),
                    after: None,
                });
                entries.push(Entry {
                    collection,
                    id,
                    before: None,
                    after: Some(after),
                });
            } else {
                entries.push(Entry {
                    collection,
                    id: old_id,
                    before: Some(before),
                    after: Some(after),
                });
            }
            before_rows.push(row[..width].to_vec());
            let mut full = row;
            full[..width].clone_from_slice(&new);
            rows.push(full);
        }
        if moved > 0 && rows.len() > 1 {
            return Err(
                Error::unsupported("an UPDATE that gives several rows another key")
                    .hint("change the keys one by one")
                    .into(),
            );
        }
        let new: Vec<Row> = rows.iter().map(|row| row[..width].to_vec()).collect();
        self.check_children(update.table, &before_rows, Some(&new))
            .await?;
        self.check_changed_parents(update.table, &before_rows, &new)
            .await?;
        let outcome = self.txn.put(entries).await;
        self.told(table, &new, outcome).await?;
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        for row in rows {
            self.returned(&update.returning, row, out).await?;
        }
        Ok(count)
    }

    pub(crate) async fn delete(&mut self, delete: &Delete, out: &mut Out<'_>) -> Result<u64, Fail> {
        let found = self.targets_of(&delete.rows, delete.table).await?;
        let table = &self.catalog.tables[delete.table];
        let width = table.columns.len();
        let entries = found.iter().map(|(_, before)| Entry {
            collection: table.documents.collection.clone(),
            id: id_of(before),
            before: Some(before.clone()),
            after: None,
        });
        let entries: Vec<Entry> = entries.collect();
        let rows: Vec<Row> = found.iter().map(|(row, _)| row[..width].to_vec()).collect();
        // First the rows themselves, so that a row that points to itself is in nobody's way.
        self.txn.put(entries).await?;
        self.check_children(delete.table, &rows, None).await?;
        let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
        for (row, _) in found {
            self.returned(&delete.returning, row, out).await?;
        }
        Ok(count)
    }

    /// Rows that an UPDATE or DELETE is about, each with its document, and each once.
    async fn targets_of(
        &mut self,
        select: &Select,
        table: usize,
    ) -> Result<Vec<(Row, RawDocumentBuf)>, Fail> {
        let slot = self.catalog.tables[table].columns.len();
        let mut source = self
            .source(&select.from, select.width, None, Hints::default())
            .await?;
        let subs = Subs::of(&select.filter);
        let fixed = self.fixed_answers(&subs, None).await?;
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        while let Some(mut row) = self.next(&mut source, select.width, None).await? {
            if !self.hold(&select.filter, &subs, &fixed, &row, None).await? {
                continue;
            }
            let Value::Bytes(bytes) = std::mem::replace(&mut row[slot], Value::Null) else {
                continue;
            };
            let before = raw(&bytes)?;
            if seen.insert(format!("{:?}", id_of(&before))) {
                self.keep(&row)?;
                found.push((row, before));
            }
        }
        Ok(found)
    }

    /// A duplicate in PostgreSQL's own words.
    pub(crate) async fn told(
        &mut self,
        table: &Table,
        rows: &[Row],
        outcome: Result<(), Fail>,
    ) -> Result<(), Fail> {
        let Err(Fail::Duplicate(index, at)) = outcome else {
            return outcome;
        };
        let Some(unique) = table.unique(&index) else {
            return Err(Fail::Duplicate(index, at));
        };
        let taken = self.taken(table, unique, rows).await;
        Err(self.duplicate(table, unique, taken.as_ref()).into())
    }
}

impl Out<'_> {
    /// A row of RETURNING.
    pub(crate) async fn put(
        &mut self,
        exec: &mut Exec<'_>,
        row: Row,
        width: usize,
    ) -> Result<(), Fail> {
        self.push(exec, row, width).await
    }
}

fn put(document: &mut Document, path: &str, value: Bson) {
    match path.split_once('.') {
        None => {
            document.insert(path, value);
        }
        Some((name, rest)) => {
            if let Bson::Document(inner) = document
                .entry(name.to_owned())
                .or_insert_with(|| Document::new().into())
            {
                put(inner, rest, value);
            }
        }
    }
}
