//! The adapter: [`Store`] for PostgreSQL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crossfade_config::{QualifiedName, StoreConfig};
use crossfade_phase::Side;
use futures::{FutureExt as _, future::BoxFuture};

use super::{
    aliases, backends, catalog, conn::Endpoint, counters, findings, horizon, life::PostgresLife,
    lock, pool::Pool, read, secondary, sequences, write,
};
use crate::{
    Alias, Backend, Change, Digest, Exchanged, Finding, Form, Horizon, Key, KeyRange, LetGo, Life,
    LockedRow, Mapping, OwnChanges, Relation, Row, RowCounters, Secondary, Store, StoreResult,
    TableMap,
};

/// Longest wait for a question to the catalog, a ping, a sequence, a row.
pub(super) const SHORT: Duration = Duration::from_secs(10);
/// Longest wait for a chunk to be read or written: a lock that does not come included.
pub(super) const CHUNK: Duration = Duration::from_secs(60);
/// Longest wait of a secondary write for a lock unless told otherwise.
const SECONDARY_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// A PostgreSQL server, or one database of it, as a store.
#[derive(Debug)]
pub struct PostgresStore {
    config: StoreConfig,
    secondary_lock_timeout: Duration,
    pub(super) side: Side,
    pub(super) pool: Pool,
    pub(super) own: Arc<OwnChanges>,
}

impl PostgresStore {
    /// Describes the store; connects when it is first used.
    #[must_use]
    pub fn new(config: StoreConfig, side: Side) -> PostgresStore {
        PostgresStore {
            pool: Pool::new(config.clone()),
            config,
            side,
            secondary_lock_timeout: SECONDARY_LOCK_TIMEOUT,
            own: Arc::default(),
        }
    }

    /// Sets the longest wait of a secondary write for a lock: it should be below the configured `secondary_timeout`, so that the
    /// server says which lock it was.
    #[must_use]
    pub fn with_secondary_lock_timeout(mut self, timeout: Duration) -> PostgresStore {
        self.secondary_lock_timeout = timeout;
        self
    }

    async fn secondary_now(&self, mapping: Arc<Mapping>) -> StoreResult<Box<dyn Secondary>> {
        let endpoint = Endpoint::new(self.config.clone())?;
        let timeout_ms = u64::try_from(self.secondary_lock_timeout.as_millis()).unwrap_or(u64::MAX);
        Ok(Box::new(
            secondary::connect(&endpoint, self.side, mapping, timeout_ms, self.own.clone()).await?,
        ))
    }

    async fn ping_now(&self) -> StoreResult<()> {
        let lease = self.pool.lease().await?;
        lease.within(SHORT, lease.check_connection()).await?;
        lease.done();
        Ok(())
    }
}

impl Store for PostgresStore {
    fn side(&self) -> Side {
        self.side
    }

    fn ping(&self) -> BoxFuture<'_, StoreResult<()>> {
        self.ping_now().boxed()
    }

    fn relation<'a>(
        &'a self,
        name: &'a QualifiedName,
    ) -> BoxFuture<'a, StoreResult<Option<Relation>>> {
        catalog::relation(&self.pool, name).boxed()
    }

    fn aliases<'a>(
        &'a self,
        tables: &'a [QualifiedName],
    ) -> BoxFuture<'a, StoreResult<Vec<(QualifiedName, Alias)>>> {
        aliases::aliases(&self.pool, tables).boxed()
    }

    fn findings<'a>(
        &'a self,
        table: &'a TableMap,
        mapping: &'a Mapping,
    ) -> BoxFuture<'a, StoreResult<Vec<Finding>>> {
        findings::findings(self, table, mapping).boxed()
    }

    fn estimate_rows<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<u64>> {
        catalog::estimate_rows(&self.pool, &table.on(self.side).name).boxed()
    }

    fn scan<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
        limit: u32,
        form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Row>>> {
        read::scan(self, table, range, limit, form).boxed()
    }

    fn fetch<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
        form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Option<Row>>>> {
        read::fetch(self, table, keys, form).boxed()
    }

    fn digest<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
    ) -> BoxFuture<'a, StoreResult<Digest>> {
        read::digest(self, table, range).boxed()
    }

    fn insert_absent<'a>(
        &'a self,
        table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        write::insert_absent(self, table, rows).boxed()
    }

    fn copy_into_empty<'a>(
        &'a self,
        table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        write::copy_into_empty(self, table, rows).boxed()
    }

    fn nth_key<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
        nth: u32,
    ) -> BoxFuture<'a, StoreResult<Option<Key>>> {
        read::nth_key(self, table, range, nth).boxed()
    }

    fn apply<'a>(
        &'a self,
        table: &'a TableMap,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<()>> {
        write::apply(self, table, changes).boxed()
    }

    fn exchange<'a>(
        &'a self,
        table: &'a TableMap,
        way: &'a LetGo,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<Exchanged>> {
        write::exchange(self, table, way, changes).boxed()
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

    fn backends(&self) -> BoxFuture<'_, StoreResult<Vec<Backend>>> {
        backends::backends(self).boxed()
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

    fn own_changes(&self) -> Option<&Arc<OwnChanges>> {
        Some(&self.own)
    }

    fn row_counters<'a>(
        &'a self,
        tables: &'a [TableMap],
    ) -> BoxFuture<'a, StoreResult<Result<RowCounters, String>>> {
        counters::row_counters(self, tables).boxed()
    }

    fn side_effects<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<Vec<String>>> {
        counters::side_effects(self, table).boxed()
    }

    fn life(&self) -> BoxFuture<'_, StoreResult<Box<dyn Life>>> {
        async {
            let endpoint = Endpoint::new(self.config.clone())?;
            Ok(Box::new(PostgresLife::begin(endpoint).await?) as Box<dyn Life>)
        }
        .boxed()
    }

    fn secondary(&self, mapping: Arc<Mapping>) -> BoxFuture<'_, StoreResult<Box<dyn Secondary>>> {
        self.secondary_now(mapping).boxed()
    }
}
