//! UPDATE and DELETE.

use std::collections::HashSet;

use crossfade_values::{Error, Value};
use mongodb::bson::RawDocumentBuf;

use super::super::{
    Exec, Row, Subs,
    scan::Hints,
    select::{Out, raw},
};
use crate::{
    bind::{Delete, Update},
    fail::Fail,
    plan::Select,
    txn::{Entry, Hold, id_of},
};

impl Exec<'_> {
    pub(crate) async fn update(&mut self, update: &Update, out: &mut Out<'_>) -> Result<u64, Fail> {
        let found = self.targets_of(&update.rows, update.table).await?;
        let table = &self.catalog.tables[update.table];
        let width = table.columns.len();
        let subs = Subs::of(update.set.iter().map(|(_, expr)| expr));
        let fixed = self.fixed_answers(&subs, None).await?;
        self.take_for(update.set.iter().map(|(_, expr)| expr), found.len())
            .await?;
        // By the statement, or by what the table computes.
        let computed = update.rules.generated.iter().map(|(column, _)| *column);
        let sets_key = (update.set.iter().map(|(column, _)| *column))
            .chain(computed)
            .any(|column| table.documents.key.contains(&column));
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
            let hold = self.hold_of(table, &row, &new);
            if sets_key && id != old_id {
                moved += 1;
                entries.push(Entry {
                    collection: collection.clone(),
                    id: old_id,
                    before: Some(before),
                    after: None,
                    hold: Hold::Whole,
                });
                entries.push(Entry {
                    collection,
                    id,
                    before: None,
                    after: Some(after),
                    hold: Hold::Whole,
                });
            } else {
                entries.push(Entry {
                    collection,
                    id: old_id,
                    before: Some(before),
                    after: Some(after),
                    hold,
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
        let outcome = self.change(entries).await;
        self.told(table, (&new, false), outcome).await?;
        self.updated(update.table, &before_rows, &new);
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
            hold: Hold::Whole,
        });
        let entries: Vec<Entry> = entries.collect();
        let rows: Vec<Row> = found.iter().map(|(row, _)| row[..width].to_vec()).collect();
        self.change(entries).await?;
        self.deleted_rows(delete.table, rows);
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
            // Of two changes of one row by one statement, the first takes place.
            if self.has_changed(
                &self.catalog.tables[table].documents.collection,
                &id_of(&before),
            ) {
                continue;
            }
            if seen.insert(format!("{:?}", id_of(&before))) {
                self.keep(&row)?;
                found.push((row, before));
            }
        }
        Ok(found)
    }
}
