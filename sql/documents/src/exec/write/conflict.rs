//! `INSERT … ON CONFLICT`.

use crossfade_values::{Error, Value};
use mongodb::bson::RawDocumentBuf;

use super::super::{Exec, Row, Subs, select::Out};
use crate::{
    bind::{Conflict, ConflictUpdate, Insert},
    catalog::Table,
    fail::Fail,
    txn::{Entry, Hold, id_of},
};

impl Exec<'_> {
    /// One row after the other: a later one sees what an earlier one did.
    pub(super) async fn insert_or(
        &mut self,
        insert: &Insert,
        conflict: &Conflict,
        rows: Vec<Row>,
        out: &mut Out<'_>,
    ) -> Result<u64, Fail> {
        let table = &self.catalog.tables[insert.table];
        let mut count = 0;
        for row in rows {
            let there = self.there(table, conflict, &row).await?;
            let written = match (there, &conflict.update) {
                (None, _) => {
                    let entry = self.insertion(table, &row)?;
                    let outcome = self.change(vec![entry]).await;
                    self.told(table, (std::slice::from_ref(&row), true), outcome)
                        .await?;
                    self.inserted(insert.table, std::slice::from_ref(&row));
                    Some(row)
                }
                (Some(_), None) => None,
                (Some(before), Some(update)) => {
                    if self.has_changed(&table.documents.collection, &id_of(&before)) {
                        return Err(Error::new("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
                            .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
                            .into());
                    }
                    self.update_there(insert, update, before, row).await?
                }
            };
            if let Some(row) = written {
                count += 1;
                self.returned(&insert.returning, row, out).await?;
            }
        }
        Ok(count)
    }

    /// The document that a row conflicts with.
    async fn there(
        &mut self,
        table: &Table,
        conflict: &Conflict,
        row: &Row,
    ) -> Result<Option<RawDocumentBuf>, Fail> {
        let all: Vec<usize> = (0..table.uniques.len()).collect();
        let arbiters = if conflict.arbiters.is_empty() {
            &all
        } else {
            &conflict.arbiters
        };
        for &arbiter in arbiters {
            let Some(filter) = self.same_unique(table, &table.uniques[arbiter].columns, row)?
            else {
                continue;
            };
            if let Some(found) = self.one(&table.documents.collection, filter).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// One document, as the transaction sees it.
    pub(crate) async fn one(
        &mut self,
        collection: &str,
        filter: mongodb::bson::Document,
    ) -> Result<Option<RawDocumentBuf>, Fail> {
        let database = self.txn.database().await?;
        let collection = database.collection::<RawDocumentBuf>(collection);
        let find = collection.find_one(filter);
        let session = self.txn.reader(false).await?;
        let found = match session {
            Some(session) => find.session(session).await,
            None => find.await,
        };
        found.map_err(|error| self.txn.failed(&error))
    }

    async fn update_there(
        &mut self,
        insert: &Insert,
        update: &ConflictUpdate,
        before: RawDocumentBuf,
        row: Row,
    ) -> Result<Option<Row>, Fail> {
        let table = &self.catalog.tables[insert.table];
        let width = table.columns.len();
        // The row that is there, its document's slot, then EXCLUDED.
        let mut both = Vec::with_capacity(2 * width + 1);
        for column in 0..width {
            both.push(self.value_of(table, column, &before)?);
        }
        both.push(Value::Null);
        both.extend(row);
        let collection = table.documents.collection.clone();
        let subs = Subs::of(
            update
                .set
                .iter()
                .map(|(_, expr)| expr)
                .chain(&update.filter),
        );
        let fixed = self.fixed_answers(&subs, None).await?;
        self.take_for(update.set.iter().map(|(_, expr)| expr), 1)
            .await?;
        let env = self.env(None);
        let answers = self
            .row_answers(&subs, &fixed, &env.with(&both, &fixed))
            .await?;
        let env = env.with(&both, &answers);
        if !env.hold_all(&update.filter)? {
            // Locked all the same.
            let id = id_of(&before);
            self.txn
                .put(vec![Entry {
                    collection,
                    id,
                    before: Some(before.clone()),
                    after: Some(before),
                    hold: Hold::Whole,
                }])
                .await?;
            return Ok(None);
        }
        let old: Row = both[..width].to_vec();
        let mut new = old.clone();
        for (column, expr) in &update.set {
            new[*column] = env.eval(expr)?;
        }
        self.obey(table, &insert.rules, &mut new)?;
        let (id, after) = self.document(table, &new)?;
        let old_id = id_of(&before);
        let entries = if id == old_id {
            vec![Entry {
                collection,
                id,
                before: Some(before),
                after: Some(after),
                hold: self.hold_of(table, &old, &new),
            }]
        } else {
            vec![
                Entry {
                    collection: collection.clone(),
                    id: old_id,
                    before: Some(before),
                    after: None,
                    hold: Hold::Whole,
                },
                Entry {
                    collection,
                    id,
                    before: None,
                    after: Some(after),
                    hold: Hold::Whole,
                },
            ]
        };
        let outcome = self.change(entries).await;
        self.told(table, (std::slice::from_ref(&new), false), outcome)
            .await?;
        self.updated(
            insert.table,
            std::slice::from_ref(&old),
            std::slice::from_ref(&new),
        );
        Ok(Some(new))
    }
}
