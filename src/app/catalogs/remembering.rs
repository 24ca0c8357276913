//! A store whose answers about its catalog are remembered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crossfade_config::QualifiedName;
use crossfade_phase::Side;
use crossfade_store::{
    Alias, Backend, Change, Digest, Finding, Form, Horizon, Key, KeyRange, Life, LockedRow,
    Mapping, Relation, Row, Secondary, Store, StoreResult, TableMap,
};
use futures::future::BoxFuture;

use super::{Memory, Trust};

/// Lives for one making of the mapping. Everything but the catalog is the store's own.
pub(in crate::app) struct Remembering {
    memory: Memory,
    store: Arc<dyn Store>,
    trust: Trust,
    /// It did not answer: asking it for every further table would only take time.
    down: AtomicBool,
}

impl Remembering {
    pub(super) fn new(memory: Memory, store: Arc<dyn Store>, trust: Trust) -> Remembering {
        Remembering {
            memory,
            store,
            trust,
            down: AtomicBool::new(false),
        }
    }

    fn believes_memory(&self) -> bool {
        self.trust == Trust::AsItWas || self.down.load(Ordering::Relaxed)
    }

    async fn relation_now(&self, name: &QualifiedName) -> StoreResult<Option<Relation>> {
        let side = self.store.side();
        let known = || self.memory.relation(side, name);
        if self.believes_memory()
            && let Some(known) = known()
        {
            return Ok(Some(known));
        }
        match (self.store.relation(name).await, self.trust) {
            (Ok(found), _) => {
                if let Some(found) = &found {
                    self.memory.note_relation(side, name, found);
                }
                Ok(found)
            }
            (Err(error), Trust::AskOrAsItWas) if error.may_pass() => {
                tracing::warn!(%error, %side, "the store's tables are taken to be as they were");
                self.down.store(true, Ordering::Relaxed);
                known().map(Some).ok_or(error)
            }
            (Err(error), Trust::Ask | Trust::AskOrAsItWas | Trust::AsItWas) => Err(error),
        }
    }

    async fn aliases_now(
        &self,
        tables: &[QualifiedName],
    ) -> StoreResult<Vec<(QualifiedName, Alias)>> {
        let side = self.store.side();
        let known = || self.memory.aliases(side, tables);
        if self.believes_memory()
            && let Some(known) = known()
        {
            return Ok(known);
        }
        match (self.store.aliases(tables).await, self.trust) {
            (Ok(found), _) => {
                self.memory.note_aliases(side, tables, &found);
                Ok(found)
            }
            (Err(error), Trust::AskOrAsItWas) if error.may_pass() => known().ok_or(error),
            (Err(error), Trust::Ask | Trust::AskOrAsItWas | Trust::AsItWas) => Err(error),
        }
    }
}

impl Store for Remembering {
    fn side(&self) -> Side {
        self.store.side()
    }

    fn ping(&self) -> BoxFuture<'_, StoreResult<()>> {
        self.store.ping()
    }

    fn relation<'a>(
        &'a self,
        name: &'a QualifiedName,
    ) -> BoxFuture<'a, StoreResult<Option<Relation>>> {
        Box::pin(self.relation_now(name))
    }

    fn aliases<'a>(
        &'a self,
        tables: &'a [QualifiedName],
    ) -> BoxFuture<'a, StoreResult<Vec<(QualifiedName, Alias)>>> {
        Box::pin(self.aliases_now(tables))
    }

    fn findings<'a>(
        &'a self,
        table: &'a TableMap,
        mapping: &'a Mapping,
    ) -> BoxFuture<'a, StoreResult<Vec<Finding>>> {
        self.store.findings(table, mapping)
    }

    fn estimate_rows<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<u64>> {
        self.store.estimate_rows(table)
    }

    fn scan<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
        limit: u32,
        form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Row>>> {
        self.store.scan(table, range, limit, form)
    }

    fn fetch<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
        form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Option<Row>>>> {
        self.store.fetch(table, keys, form)
    }

    fn digest<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
    ) -> BoxFuture<'a, StoreResult<Digest>> {
        self.store.digest(table, range)
    }

    fn insert_absent<'a>(
        &'a self,
        table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        self.store.insert_absent(table, rows)
    }

    fn apply<'a>(
        &'a self,
        table: &'a TableMap,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<()>> {
        self.store.apply(table, changes)
    }

    fn lock_row<'a>(
        &'a self,
        table: &'a TableMap,
        key: &'a Key,
    ) -> BoxFuture<'a, StoreResult<Box<dyn LockedRow>>> {
        self.store.lock_row(table, key)
    }

    fn horizon(&self) -> BoxFuture<'_, StoreResult<Horizon>> {
        self.store.horizon()
    }

    fn has_passed(&self, horizon: Horizon) -> BoxFuture<'_, StoreResult<bool>> {
        self.store.has_passed(horizon)
    }

    fn backends(&self) -> BoxFuture<'_, StoreResult<Vec<Backend>>> {
        self.store.backends()
    }

    fn sequence_positions<'a>(
        &'a self,
        table: &'a TableMap,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        self.store.sequence_positions(table)
    }

    fn advance_sequences<'a>(
        &'a self,
        table: &'a TableMap,
        floor: &'a BTreeMap<String, i64>,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        self.store.advance_sequences(table, floor)
    }

    fn life(&self) -> BoxFuture<'_, StoreResult<Box<dyn Life>>> {
        self.store.life()
    }

    fn given_up_has_ended(&self) -> BoxFuture<'_, StoreResult<bool>> {
        self.store.given_up_has_ended()
    }

    fn takes_back(&self) -> Option<bool> {
        self.store.takes_back()
    }

    fn secondary(&self, mapping: Arc<Mapping>) -> BoxFuture<'_, StoreResult<Box<dyn Secondary>>> {
        self.store.secondary(mapping)
    }
}
