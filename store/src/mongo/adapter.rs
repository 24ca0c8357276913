//! The adapter: [`Store`] for MongoDB.

use std::{collections::BTreeMap, sync::Arc};

use crossfade_config::{QualifiedName, StoreConfig};
use crossfade_phase::Side;
use futures::{FutureExt as _, future::BoxFuture};

use super::{
    catalog,
    conn::{Conn, Deployment},
    document::Shape,
    findings, horizon, lock, read,
    secondary::MongoSecondary,
    sequences, unique, write,
};
use crate::{
    Alias, Change, Digest, Finding, Form, Horizon, Key, KeyRange, Life, LockedRow, Mapping,
    Relation, Row, Secondary, Store, StoreResult, TableMap,
};

/// Half of the connections for statements of sessions. A transaction holds none between two statements.
const SESSIONS: usize = 64;

/// One database of a MongoDB deployment as a store. Clones share the client.
#[derive(Debug, Clone)]
pub struct MongoStore {
    pub(super) conn: Arc<Conn>,
    pub(super) side: Side,
}

impl MongoStore {
    /// Describes the store; connects when it is first used.
    #[must_use]
    pub fn new(config: StoreConfig, side: Side) -> MongoStore {
        let purpose = config.url.database.clone();
        MongoStore::with(config, side, purpose)
    }

    fn with(config: StoreConfig, side: Side, purpose: String) -> MongoStore {
        MongoStore {
            conn: Arc::new(Conn::new(config, purpose)),
            side,
        }
    }

    /// As [`MongoStore::new`], with as many connections as there may be sessions at work at once.
    #[must_use]
    pub fn for_sessions(config: StoreConfig, side: Side) -> MongoStore {
        let config = StoreConfig {
            pool_size: SESSIONS,
            ..config
        };
        let purpose = format!("{}/sessions", config.url.database);
        MongoStore::with(config, side, purpose)
    }

    pub(super) fn shape(&self, table: &TableMap) -> Shape {
        Shape::of(table, self.side, &self.conn.url())
    }
}

impl Store for MongoStore {
    fn side(&self) -> Side {
        self.side
    }

    fn ping(&self) -> BoxFuture<'_, StoreResult<()>> {
        catalog::ping(self).boxed()
    }

    fn relation<'a>(
        &'a self,
        name: &'a QualifiedName,
    ) -> BoxFuture<'a, StoreResult<Option<Relation>>> {
        catalog::relation(self, name).boxed()
    }

    /// Views of MongoDB are read-only and have collections of their own name: none reaches a mapped one by writing.
    fn aliases<'a>(
        &'a self,
        _: &'a [QualifiedName],
    ) -> BoxFuture<'a, StoreResult<Vec<(QualifiedName, Alias)>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn findings<'a>(
        &'a self,
        table: &'a TableMap,
        _: &'a Mapping,
    ) -> BoxFuture<'a, StoreResult<Vec<Finding>>> {
        findings::findings(self, table).boxed()
    }

    fn estimate_rows<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<u64>> {
        catalog::estimate_rows(self, table).boxed()
    }

    fn scan<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
        limit: u32,
        _: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Row>>> {
        read::scan(self, table, range, limit).boxed()
    }

    fn fetch<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
        _: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Option<Row>>>> {
        read::fetch(self, table, keys).boxed()
    }

    fn digest<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
    ) -> BoxFuture<'a, StoreResult<Digest>> {
        read::digest(self, table, range).boxed()
    }

    fn nth_key<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
        nth: u32,
    ) -> BoxFuture<'a, StoreResult<Option<Key>>> {
        read::nth_key(self, table, range, nth).boxed()
    }

    fn insert_absent<'a>(
        &'a self,
        table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        write::insert_absent(self, table, rows).boxed()
    }

    fn apply<'a>(
        &'a self,
        table: &'a TableMap,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<()>> {
        write::apply(self, table, changes).boxed()
    }

    fn lock_row<'a>(
        &'a self,
        table: &'a TableMap,
        key: &'a Key,
    ) -> BoxFuture<'a, StoreResult<Box<dyn LockedRow>>> {
        lock::lock_row(self, table, key).boxed()
    }

    fn horizon(&self) -> BoxFuture<'_, StoreResult<Horizon>> {
        horizon::horizon(self).boxed()
    }

    fn has_passed(&self, horizon: Horizon) -> BoxFuture<'_, StoreResult<bool>> {
        horizon::has_passed(self, horizon).boxed()
    }

    fn sequence_positions<'a>(
        &'a self,
        table: &'a TableMap,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        sequences::positions(self, table).boxed()
    }

    fn advance_sequences<'a>(
        &'a self,
        table: &'a TableMap,
        floor: &'a BTreeMap<String, i64>,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        sequences::advance(self, table, floor).boxed()
    }

    fn takes_back(&self) -> Option<bool> {
        let known = self.conn.known_deployment();
        known.map(|deployment| deployment == Deployment::Transactions)
    }

    fn given_up_has_ended(&self) -> BoxFuture<'_, StoreResult<bool>> {
        self.conn.given_up_has_ended().boxed()
    }

    fn secondary(&self, mapping: Arc<Mapping>) -> BoxFuture<'_, StoreResult<Box<dyn Secondary>>> {
        let store = self.clone();
        async move { Ok(Box::new(MongoSecondary::open(store, mapping).await?) as Box<dyn Secondary>) }
            .boxed()
    }

    fn ensure_unique<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<()>> {
        unique::ensure_unique(self, table).boxed()
    }

    fn life(&self) -> BoxFuture<'_, StoreResult<Box<dyn Life>>> {
        let store = self.clone();
        async move {
            catalog::ping(&store).await?;
            Ok(Box::new(catalog::MajorityLife) as Box<dyn Life>)
        }
        .boxed()
    }
}
