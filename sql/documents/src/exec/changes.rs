//! What a statement has written so far. PostgreSQL's statements see what was there before them, and MongoDB's transactions see what they have written: where a statement
//! reads behind its own writes, they are hidden from it here.

use std::{collections::HashMap, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use mongodb::bson::{Bson, RawDocumentBuf};

use super::{Exec, Out, Row};
use crate::{
    bind::{Insert, Statement, With},
    expr::Expr,
    fail::Fail,
    txn::{Entry, id_of},
};

/// Documents of one collection, as they were before the statement; `None` for those that were not there.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changed {
    places: HashMap<String, usize>,
    before: Vec<Option<RawDocumentBuf>>,
}

/// By collection.
#[derive(Debug, Default)]
pub(crate) struct Changes(HashMap<String, Arc<Changed>>);

impl Changed {
    pub(crate) fn has(&self, id: &Bson) -> bool {
        self.places.contains_key(&name(id))
    }
}

impl Changes {
    /// Notes a write; what it takes of memory.
    fn note(&mut self, entry: &Entry) -> usize {
        let of = self.0.entry(entry.collection.clone()).or_default();
        let of = Arc::make_mut(of);
        let id = name(&entry.id);
        if of.places.contains_key(&id) {
            return 0;
        }
        let before = entry.before.as_ref().map_or(0, |raw| raw.as_bytes().len());
        let bytes = before + id.len() + 64;
        of.places.insert(id, of.before.len());
        of.before.push(entry.before.clone());
        bytes
    }
}

/// The documents of a collection that the statement has changed, for a scan of it.
#[derive(Debug)]
pub(crate) struct Earlier {
    of: Arc<Changed>,
    next: usize,
}

impl Earlier {
    /// Whether a document that is there now is none of those that were there.
    pub(crate) fn hides(&self, raw: &RawDocumentBuf) -> bool {
        self.of.has(&id_of(raw))
    }

    /// The next of those that were.
    pub(crate) fn next(&mut self) -> Option<RawDocumentBuf> {
        while let Some(before) = self.of.before.get(self.next) {
            self.next += 1;
            if let Some(raw) = before {
                return Some(raw.clone());
            }
        }
        None
    }
}

fn name(id: &Bson) -> String {
    format!("{id:?}")
}

impl<'a> Exec<'a> {
    /// Runs a statement; how many rows it wrote.
    pub(crate) async fn statement(
        &mut self,
        statement: &'a Statement,
        alone: bool,
        out: &mut Out<'_>,
    ) -> Result<u64, Fail> {
        if looks_back(statement) {
            self.changes = Some(Changes::default());
        }
        let count = match statement {
            Statement::With(with) => self.with(with, out).await?,
            single => self.single(single, alone, out).await?,
        };
        self.check_keys().await?;
        Ok(count)
    }

    /// The parts that the statement itself does not read come behind it, the last one first, as they do in PostgreSQL (`ExecPostprocessPlan`).
    async fn with(&mut self, with: &'a With, out: &mut Out<'_>) -> Result<u64, Fail> {
        self.parts = &with.parts;
        self.parts_of(&with.reads).await?;
        let count = self.single(&with.main, false, out).await?;
        for part in with.parts.iter().rev() {
            self.part(part.id).await?;
        }
        Ok(count)
    }

    async fn parts_of(&mut self, ids: &[usize]) -> Result<(), Fail> {
        for id in ids {
            self.part(*id).await?;
        }
        Ok(())
    }

    /// What a WITH query that writes gives back. It is run once, whole, behind those that it reads.
    pub(crate) fn part(&mut self, id: usize) -> BoxFuture<'_, Result<Arc<Vec<Row>>, Fail>> {
        async move {
            if let Some(rows) = self.known.get(&id) {
                return Ok(rows.clone());
            }
            let mut rows = Vec::new();
            if let Some(part) = self.parts.iter().find(|part| part.id == id) {
                self.parts_of(&part.reads).await?;
                self.single(&part.statement, false, &mut Out::Rows(&mut rows))
                    .await?;
            }
            let rows = Arc::new(rows);
            self.known.insert(id, rows.clone());
            Ok(rows)
        }
        .boxed()
    }

    /// Makes writes that the rest of the statement is not to see.
    pub(crate) async fn change(&mut self, entries: Vec<Entry>) -> Result<(), Fail> {
        self.note(&entries)?;
        self.txn.put(entries).await
    }

    /// Notes writes that the rest of the statement is not to see.
    pub(crate) fn note(&mut self, entries: &[Entry]) -> Result<(), Fail> {
        if let Some(changes) = &mut self.changes {
            let bytes = entries.iter().map(|entry| changes.note(entry)).sum();
            self.keep_bytes(bytes)?;
        }
        Ok(())
    }

    /// What the statement has changed of a collection.
    pub(crate) fn changed(&self, collection: &str) -> Option<&Arc<Changed>> {
        self.changes.as_ref()?.0.get(collection)
    }

    pub(crate) fn earlier(&self, collection: &str) -> Option<Earlier> {
        let of = self.changed(collection)?.clone();
        Some(Earlier { of, next: 0 })
    }

    /// Whether the statement itself has written a document.
    pub(crate) fn has_changed(&self, collection: &str, id: &Bson) -> bool {
        self.changed(collection).is_some_and(|of| of.has(id))
    }
}

/// Whether a statement may read behind its own writes.
fn looks_back(statement: &Statement) -> bool {
    let asks = |returning: &[Expr]| {
        let mut subs = Vec::new();
        returning.iter().for_each(|expr| expr.subs(&mut subs));
        !subs.is_empty()
    };
    match statement {
        Statement::With(_) | Statement::Merge(_) => true,
        Statement::Insert(insert) => updates(insert) || asks(&insert.returning),
        Statement::Update(update) => asks(&update.returning),
        Statement::Delete(delete) => asks(&delete.returning),
        _ => false,
    }
}

fn updates(insert: &Insert) -> bool {
    let conflict = insert.conflict.as_ref();
    conflict.is_some_and(|conflict| conflict.update.is_some())
}
