//! TRUNCATE: every document that the transaction sees is deleted in it, one by one. Dropping the collection is no part of a transaction.

use std::time::{Duration, Instant};

use crossfade_sql_wire::{Column, Sink};
use crossfade_values::{Type, Value, oid};
use mongodb::bson::{RawDocumentBuf, doc};

use super::{Exec, Row, row_bytes, scan::Found};
use crate::{
    bind::{Images, Truncate},
    expr::Expr,
    fail::Fail,
    txn::{Entry, Hold, id_of},
};

/// Documents that are deleted at once.
const ROWS: usize = 1000;

/// Bytes of told rows that are held back. As long as nothing was told, the statement can run again from its beginning.
const HELD: usize = 16 << 20;

/// What is told of the rows.
#[derive(Default)]
struct Told {
    rows: Vec<Row>,
    bytes: usize,
    sent: bool,
}

impl Told {
    async fn hold(&mut self, rows: Vec<Row>, sink: &mut dyn Sink) -> Result<(), Fail> {
        self.bytes += rows.iter().map(|row| row_bytes(row)).sum::<usize>();
        self.rows.extend(rows);
        if self.bytes > HELD {
            self.send(sink).await?;
        }
        Ok(())
    }

    async fn send(&mut self, sink: &mut dyn Sink) -> Result<(), Fail> {
        self.sent |= !self.rows.is_empty();
        self.bytes = 0;
        for row in std::mem::take(&mut self.rows) {
            sink.push_image(&texts(row.len()), &row)?;
            if sink.is_full() {
                sink.drain().await?;
            }
        }
        Ok(())
    }
}

impl Exec<'_> {
    /// Empties the tables. Of each row `images` are told: their number, and what they say of the row.
    pub(crate) async fn truncate(
        &mut self,
        truncate: &Truncate,
        images: &[Images],
        lock_timeout: Option<Duration>,
        sink: &mut dyn Sink,
    ) -> Result<(), Fail> {
        let catalog = self.catalog;
        for &table in &truncate.tables[truncate.named..] {
            let name = catalog.tables[table].name();
            sink.notice(&format!("truncate cascades to table \"{name}\""));
        }
        let (began, first, mut attempt) = (Instant::now(), self.txn.mark(), 0);
        let mut told = Told::default();
        let mut at = 0;
        while let Some(&table) = truncate.tables.get(at) {
            match self
                .empty(table, truncate.restarts, images, &mut told, sink)
                .await
            {
                Err(Fail::Again) => {
                    // What was told stays: it is deleted once more, and the rest of the table is looked for anew.
                    let mark = if told.sent { self.txn.mark() } else { first };
                    if !told.sent {
                        (told, at) = (Told::default(), 0);
                    }
                    self.txn.renew(mark, began, attempt, lock_timeout).await?;
                    attempt += 1;
                }
                outcome => {
                    outcome?;
                    at += 1;
                }
            }
        }
        told.send(sink).await
    }

    async fn empty(
        &mut self,
        table: usize,
        restarts: bool,
        images: &[Images],
        told: &mut Told,
        sink: &mut dyn Sink,
    ) -> Result<(), Fail> {
        let of = &self.catalog.tables[table];
        let database = self.txn.database().await?;
        let collection = database.collection::<RawDocumentBuf>(&of.documents.collection);
        let find = collection.find(doc! {});
        let found = match self.txn.reader(false).await? {
            Some(session) => find.session(session).await.map(Found::Session),
            None => find.await.map(Found::Plain),
        };
        let mut found = found.map_err(|error| self.txn.failed(&error))?;
        loop {
            let mut entries = Vec::new();
            while entries.len() < ROWS
                && let Some(before) = self.next_document(&mut found).await?
            {
                entries.push(Entry {
                    collection: of.documents.collection.clone(),
                    id: id_of(&before),
                    before: Some(before),
                    after: None,
                    hold: Hold::Whole,
                });
            }
            if entries.is_empty() {
                break;
            }
            let rows = self.deleted(table, images, &entries)?;
            self.txn.put(entries).await?;
            told.hold(rows, sink).await?;
        }
        if restarts {
            self.restart(table).await?;
        }
        Ok(())
    }

    /// What is told of deleted documents.
    fn deleted(
        &self,
        table: usize,
        images: &[Images],
        entries: &[Entry],
    ) -> Result<Vec<Row>, Fail> {
        let of = &self.catalog.tables[table];
        let told = images.iter().position(|images| images.table == table);
        let Some(number) = told else {
            return Ok(Vec::new());
        };
        let widths = images.iter().map(|images| images.returning.len());
        let width = 1 + widths.max().unwrap_or_default();
        let mut slots = vec![false; of.columns.len()];
        let mut note = |slot: usize| slots[slot] = true;
        for expr in &images[number].returning {
            Expr::columns(expr, &mut note);
        }
        let mut rows = Vec::with_capacity(entries.len());
        for before in entries.iter().filter_map(|entry| entry.before.as_ref()) {
            let mut row = vec![Value::Null; of.columns.len()];
            for (slot, _) in slots.iter().enumerate().filter(|(_, is)| **is) {
                row[slot] = self.value_of(of, slot, before)?;
            }
            let mut image = vec![Value::text(number.to_string())];
            image.extend(self.image(&images[number], &row)?);
            image.resize(width, Value::Null);
            rows.push(image);
        }
        Ok(rows)
    }

    /// What is told of the rows that a MERGE has written: new ones by the first of `images`, those that are gone by the second.
    pub(crate) fn merged(&mut self, images: &[Images]) -> Result<Vec<Row>, Fail> {
        let [now, gone] = images else {
            return Ok(Vec::new());
        };
        let width = 1 + now.returning.len().max(gone.returning.len());
        let mut rows = Vec::new();
        for written in self.written.take().unwrap_or_default() {
            let parts = [("1", gone, written.before), ("0", now, written.after)];
            for (number, images, row) in parts {
                if let Some(row) = row {
                    let mut image = vec![Value::text(number)];
                    image.extend(self.image(images, &row)?);
                    image.resize(width, Value::Null);
                    rows.push(image);
                }
            }
        }
        Ok(rows)
    }

    /// RESTART IDENTITY, as a part of the transaction: of the sequences that the columns own. One that merely feeds a column may feed others as well.
    async fn restart(&mut self, table: usize) -> Result<(), Fail> {
        let catalog = self.catalog;
        for column in &catalog.tables[table].map.old.columns {
            for owned in &column.owns {
                let value = owned.start - owned.increment;
                self.txn.restart_counter(&owned.name, value).await?;
            }
        }
        Ok(())
    }
}

/// Columns of what is told.
pub(crate) fn texts(count: usize) -> Vec<Column> {
    let text = Type::of(oid::TEXT);
    let column = |_| Column {
        name: String::new(),
        table: 0,
        number: 0,
        declared: text,
        base: text,
    };
    (0..count).map(column).collect()
}
