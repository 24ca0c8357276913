//! Foreign keys between mapped tables.
//!
//! A parent that is found is locked, so that nobody deletes it before this transaction has ended.

mod later;
mod many;

pub(super) use later::Check;
pub(super) use many::Parents;

use crossfade_config::QualifiedName;
use crossfade_store::{FkAction, ForeignKey};
use crossfade_values::Error;
use futures::{FutureExt as _, future::BoxFuture};
use mongodb::bson::{Document, RawDocumentBuf};

use super::{Exec, Row, scan::Found, write::named};
use crate::{
    catalog::Table,
    codec,
    fail::Fail,
    txn::{Entry, Hold, id_of},
};

impl Exec<'_> {
    fn table_named(&self, name: &QualifiedName) -> Option<usize> {
        self.catalog
            .tables
            .iter()
            .position(|table| table.map.old.name == *name)
    }

    /// Whether rows can come without looking at any other table.
    pub(crate) fn is_free(&self, table: usize) -> bool {
        self.catalog.tables[table].map.old.foreign_keys.is_empty()
    }

    /// Every row has its parents.
    pub(crate) async fn check_parents(&mut self, table: usize, rows: &[Row]) -> Result<(), Fail> {
        let catalog = self.catalog;
        for key in &catalog.tables[table].map.old.foreign_keys {
            for row in rows {
                self.check_parent(table, key, row, rows).await?;
            }
        }
        Ok(())
    }

    /// Rows whose foreign keys have changed have their new parents.
    pub(crate) async fn check_changed_parents(
        &mut self,
        table: usize,
        before: &[Row],
        after: &[Row],
    ) -> Result<(), Fail> {
        let catalog = self.catalog;
        let of = &catalog.tables[table];
        for key in &of.map.old.foreign_keys {
            let Some(columns) = places(of, &key.columns) else {
                continue;
            };
            for (old, new) in before.iter().zip(after) {
                if columns
                    .iter()
                    .any(|&column| self.differs(of, column, old, new))
                {
                    self.check_parent(table, key, new, after).await?;
                }
            }
        }
        Ok(())
    }

    /// How a change holds its row: others may come to point to it, as long as it keeps what they can point to.
    pub(super) fn hold_of(&self, table: &Table, before: &Row, after: &Row) -> Hold {
        let mut pointed = (table.map.old.referenced_by.iter()).flat_map(|key| &key.parent_columns);
        let moves = pointed.any(|name| {
            (table.column(name)).is_some_and(|column| self.differs(table, column, before, after))
        });
        if moves { Hold::Whole } else { Hold::Columns }
    }

    fn differs(&self, table: &Table, column: usize, old: &Row, new: &Row) -> bool {
        let (old, new) = (&old[column], &new[column]);
        match (old.is_null(), new.is_null()) {
            (true, true) => false,
            (false, false) => {
                let mut keys = (Vec::new(), Vec::new());
                let ty = table.columns[column].base.oid;
                crossfade_values::order::hash_key(ty, old, &self.catalog.types, &mut keys.0);
                crossfade_values::order::hash_key(ty, new, &self.catalog.types, &mut keys.1);
                keys.0 != keys.1
            }
            _ => true,
        }
    }

    async fn check_parent(
        &mut self,
        table: usize,
        key: &ForeignKey,
        row: &Row,
        siblings: &[Row],
    ) -> Result<(), Fail> {
        let catalog = self.catalog;
        let of = &catalog.tables[table];
        // A parent that is not mapped is in no collection.
        let Some(parent) = self.table_named(&key.parent) else {
            return Ok(());
        };
        let parent_of = &catalog.tables[parent];
        let (Some(columns), Some(parents)) = (
            places(of, &key.columns),
            places(parent_of, &key.parent_columns),
        ) else {
            return Err(Error::unsupported(format!(
                "the foreign key \"{}\" over a column that is not carried",
                key.name
            ))
            .into());
        };
        // MATCH SIMPLE: one NULL is enough.
        if columns.iter().any(|&column| row[column].is_null()) {
            return Ok(());
        }
        // A row may be its own parent, or that of another row of the same statement.
        let within = parent == table
            && siblings.iter().any(|other| {
                columns.iter().zip(&parents).all(|(&child, &parent)| {
                    let ty = of.columns[child].base.oid;
                    !other[parent].is_null()
                        && crossfade_values::order::compare(
                            ty,
                            &row[child],
                            &other[parent],
                            &catalog.types,
                        )
                        .is_eq()
                })
            });
        if within {
            return Ok(());
        }
        let mut as_parent = vec![crossfade_values::Value::Null; parent_of.columns.len()];
        for (&child, &parent) in columns.iter().zip(&parents) {
            as_parent[parent] = row[child].clone();
        }
        if let Some(filter) = self.same_unique(parent_of, &parents, &as_parent)?
            && let Some(found) = self.one(&parent_of.documents.collection, filter).await?
        {
            let entry = Entry {
                collection: parent_of.documents.collection.clone(),
                id: id_of(&found),
                before: Some(found.clone()),
                after: Some(found),
                hold: Hold::Pointed,
            };
            return self.txn.put(vec![entry]).await;
        }
        Err(self.orphan(of, key, &columns, row, parent_of).into())
    }

    /// A row without its parent.
    fn orphan(
        &self,
        of: &Table,
        key: &ForeignKey,
        columns: &[usize],
        row: &Row,
        parent_of: &Table,
    ) -> Error {
        let error = Error::new(
            "23503",
            format!(
                "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                of.name(),
                key.name
            ),
        )
        .detail(format!(
            "Key {} is not present in table \"{}\".",
            self.key_text(of, columns, row),
            parent_of.name()
        ));
        named(error, of, None, Some(&key.name))
    }

    /// Rows that are gone, or (`after`) have another key, have no children any more.
    pub(crate) fn check_children<'s>(
        &'s mut self,
        table: usize,
        before: &'s [Row],
        after: Option<&'s [Row]>,
    ) -> BoxFuture<'s, Result<(), Fail>> {
        async move {
            let catalog = self.catalog;
            let of = &catalog.tables[table];
            for key in &of.map.old.referenced_by {
                let Some(child) = self.table_named(&key.child) else {
                    continue;
                };
                let child_of = &catalog.tables[child];
                let (Some(columns), Some(parents)) = (
                    places(child_of, &key.columns),
                    places(of, &key.parent_columns),
                ) else {
                    continue;
                };
                for (index, row) in before.iter().enumerate() {
                    if let Some(after) = after
                        && !parents
                            .iter()
                            .any(|&column| self.differs(of, column, row, &after[index]))
                    {
                        continue;
                    }
                    if parents.iter().any(|&column| row[column].is_null()) {
                        continue;
                    }
                    self.check_child(key, (of, &parents, row), (child, &columns), after.is_some())
                        .await?;
                }
            }
            Ok(())
        }
        .boxed()
    }

    async fn check_child(
        &mut self,
        key: &ForeignKey,
        (of, parents, row): (&Table, &[usize], &Row),
        (child, columns): (usize, &[usize]),
        moved: bool,
    ) -> Result<(), Fail> {
        let catalog = self.catalog;
        let child_of = &catalog.tables[child];
        let mut filter = Document::new();
        for (&column, &parent) in columns.iter().zip(parents) {
            let field = &child_of.documents.fields[column];
            let value = codec::to_bson(
                &field.kind,
                child_of.columns[column].base,
                &row[parent],
                &catalog.types,
            )?;
            filter.insert(&field.path, value);
        }
        let action = if moved { key.on_update } else { key.on_delete };
        match action {
            FkAction::Refuse => {
                if self
                    .one(&child_of.documents.collection, filter)
                    .await?
                    .is_none()
                {
                    return Ok(());
                }
                self.not_back(key, of, parents, row).await?;
                let error = Error::new(
                    "23503",
                    format!(
                        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
                        of.name(),
                        key.name,
                        child_of.name()
                    ),
                )
                .detail(format!("Key {} is still referenced from table \"{}\".", self.key_text(of, parents, row), child_of.name()));
                Err(named(error, child_of, None, Some(&key.name)).into())
            }
            FkAction::Cascade if !moved => {
                if self.changes.is_some() {
                    let collection = &child_of.documents.collection;
                    if self.one(collection, filter.clone()).await?.is_none() {
                        return Ok(());
                    }
                    self.not_back(key, of, parents, row).await?;
                }
                self.cascade(child, filter).await
            }
            action => {
                if self
                    .one(&child_of.documents.collection, filter)
                    .await?
                    .is_none()
                {
                    return Ok(());
                }
                Err(Error::unsupported(format!(
                    "{} of the foreign key \"{}\" with rows that point here",
                    action.words(),
                    key.name
                ))
                .into())
            }
        }
    }

    /// A parent that is gone and is there again, by one statement, is none to NO ACTION; it is one to RESTRICT and CASCADE, which cannot be told to the other store.
    async fn not_back(
        &mut self,
        key: &ForeignKey,
        of: &Table,
        parents: &[usize],
        row: &Row,
    ) -> Result<(), Fail> {
        if self.changed(&of.documents.collection).is_some()
            && let Some(filter) = self.same_unique(of, parents, row)?
            && self.one(&of.documents.collection, filter).await?.is_some()
        {
            return Err(Error::unsupported(format!(
                "a statement that takes a row of \"{}\" away and puts it in again, to which rows point by the foreign key \"{}\",",
                of.name(),
                key.name
            ))
            .into());
        }
        Ok(())
    }

    /// ON DELETE CASCADE.
    async fn cascade(&mut self, child: usize, filter: Document) -> Result<(), Fail> {
        let catalog = self.catalog;
        let of = &catalog.tables[child];
        let found = self.all_documents(&of.documents.collection, filter).await?;
        let (mut entries, mut rows) = (Vec::new(), Vec::new());
        for before in found {
            let row = (0..of.columns.len()).map(|column| self.value_of(of, column, &before));
            rows.push(row.collect::<Result<Row, Fail>>()?);
            entries.push(Entry {
                collection: of.documents.collection.clone(),
                id: id_of(&before),
                before: Some(before),
                after: None,
                hold: Hold::Whole,
            });
        }
        if entries.is_empty() {
            return Ok(());
        }
        if !self.checks.is_empty() {
            let ids = entries.iter().map(|entry| format!("{:?}", entry.id));
            self.cascaded.extend(ids.map(|id| (child, id)));
        }
        self.txn.put(entries).await?;
        self.check_children(child, &rows, None).await
    }

    pub(super) async fn all_documents(
        &mut self,
        collection: &str,
        filter: Document,
    ) -> Result<Vec<RawDocumentBuf>, Fail> {
        let database = self.txn.database().await?;
        let collection = database.collection::<RawDocumentBuf>(collection);
        let find = collection.find(filter);
        let found = match self.txn.reader(true).await? {
            Some(session) => find.session(session).await.map(Found::Session),
            None => find.await.map(Found::Plain),
        };
        let mut found = found.map_err(|error| self.txn.failed(&error))?;
        let mut all = Vec::new();
        while let Some(raw) = self.next_document(&mut found).await? {
            all.push(raw);
        }
        Ok(all)
    }
}

pub(super) fn places(table: &Table, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| table.column(name)).collect()
}
