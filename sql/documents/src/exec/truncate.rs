//! TRUNCATE: every document that the transaction sees is deleted in it, one by one. Dropping the collection is no part of a transaction.

use std::time::{Duration, Instant};

use crossfade_sql_wire::{Column, Sink};
use crossfade_values::{Type, Value, oid};
use mongodb::bson::{RawDocumentBuf, doc};

use super::{Exec, Row, scan::Found};
use crate::{
    bind::{Images, Truncate},
    expr::Expr,
    fail::Fail,
    txn::{Entry, id_of},
};

/// Documents that are deleted at once.
const ROWS: usize = 1000;

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
        for &table in &truncate.tables {
            let (began, mut attempt) = (Instant::now(), 0);
            loop {
                match self.empty(table, images, sink).await {
                    // What is deleted is deleted again, and the rest is looked for anew.
                    Err(Fail::Again) => {
                        let mark = self.txn.mark();
                        self.txn.renew(mark, began, attempt, lock_timeout).await?;
                        attempt += 1;
                    }
                    outcome => break outcome?,
                }
            }
            if truncate.restarts {
                self.restart(table, lock_timeout).await?;
            }
        }
        Ok(())
    }

    async fn empty(
        &mut self,
        table: usize,
        images: &[Images],
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
                });
            }
            if entries.is_empty() {
                return Ok(());
            }
            let rows = self.deleted(table, images, &entries)?;
            self.txn.put(entries).await?;
            for row in rows {
                sink.push_image(&texts(row.len()), &row)?;
                if sink.is_full() {
                    sink.drain().await?;
                }
            }
        }
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

    /// RESTART IDENTITY, as a part of the transaction.
    async fn restart(&mut self, table: usize, lock_timeout: Option<Duration>) -> Result<(), Fail> {
        let catalog = self.catalog;
        for column in &catalog.tables[table].map.columns {
            let (Some(sequence), Some(facts)) = (&column.old.sequence, &column.old.sequence_facts)
            else {
                continue;
            };
            let (began, mark, mut attempt) = (Instant::now(), self.txn.mark(), 0);
            let value = facts.start - facts.increment;
            loop {
                match self.txn.move_counter(sequence, |_| value).await {
                    Err(Fail::Again) => {
                        self.txn.renew(mark, began, attempt, lock_timeout).await?;
                        attempt += 1;
                    }
                    outcome => {
                        outcome?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

fn texts(count: usize) -> Vec<Column> {
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
