//! The adapter: [`Store`] for PostgreSQL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use crossfade_config::{QualifiedName, StoreConfig};
use crossfade_phase::Side;
use futures::{FutureExt as _, future::BoxFuture};

use super::{aliases, catalog, conn::Endpoint, findings, lock, secondary, pool::{Lease, Pool}, rows, sequences, sql, write};
use crate::{
    Alias, Change, Digest, Finding, Form, Key, KeyRange, LockedRow, Mapping, Relation, Row, Secondary, Store, StoreResult, TableMap,
};

/// Longest wait for a question to the catalog, a ping, a sequence, a row.
pub(super) const SHORT: Duration = Duration::from_secs(10);
/// Longest wait for a chunk to be read or written: a lock that does not come included.
pub(super) const CHUNK: Duration = Duration::from_secs(60);
/// Longest wait for a checksum, which may read a large part of a table.
const DIGEST: Duration = Duration::from_secs(600);
/// Longest wait of a secondary write for a lock unless told otherwise.
const SECONDARY_LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Keys looked up by one statement. Its parameters must be fewer than 65,536, and its plan cheap to make.
const KEYS_A_FETCH: usize = 512;

/// A PostgreSQL server, or one database of it, as a store.
#[derive(Debug)]
pub struct PostgresStore {
    config: StoreConfig,
    secondary_lock_timeout: Duration,
    pub(super) side: Side,
    pub(super) pool: Pool,
}

impl PostgresStore {
    /// Describes the store; connects when it is first used.
    #[must_use]
    pub fn new(config: StoreConfig, side: Side) -> PostgresStore {
        PostgresStore { pool: Pool::new(config.clone()), config, side, secondary_lock_timeout: SECONDARY_LOCK_TIMEOUT }
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
        Ok(Box::new(secondary::connect(&endpoint, self.side, mapping, timeout_ms).await?))
    }

    async fn nth_key_now(&self, table: &TableMap, range: &KeyRange, nth: u32) -> StoreResult<Option<Key>> {
        let lease = self.pool.lease().await?;
        let statement = sql::nth_key(table, self.side, range, nth);
        let answers = lease.rows(&statement.sql, &bind(&lease, &statement, &ends(range))?, CHUNK).await?;
        let key = answers.first().map(|answer| row(&lease, answer, 0, table.key.len())).transpose()?;
        lease.done();
        Ok(key.and_then(|values| values.into_iter().collect::<Option<Vec<_>>>()).map(Key))
    }

    async fn ping_now(&self) -> StoreResult<()> {
        let lease = self.pool.lease().await?;
        lease.within(SHORT, lease.check_connection()).await?;
        lease.done();
        Ok(())
    }

    async fn scan_now(&self, table: &TableMap, range: &KeyRange, limit: u32, form: Form) -> StoreResult<Vec<Row>> {
        let lease = self.pool.lease().await?;
        let statement = sql::select_range(table, self.side, range, limit, form);
        let params = bind(&lease, &statement, &ends(range))?;
        let answers = lease.rows(&statement.sql, &params, CHUNK).await?;
        let rows = answers.iter().map(|answer| row(&lease, answer, 0, table.columns.len()).map(Row)).collect::<StoreResult<_>>()?;
        lease.done();
        Ok(rows)
    }

    async fn fetch_now(&self, table: &TableMap, keys: &[Key], form: Form) -> StoreResult<Vec<Option<Row>>> {
        let lease = self.pool.lease().await?;
        let mut found = vec![None; keys.len()];
        for (batch, found) in std::iter::zip(keys.chunks(KEYS_A_FETCH), found.chunks_mut(KEYS_A_FETCH)) {
            let statement = sql::fetch(table, self.side, batch.len(), form);
            let all = Key(batch.iter().flat_map(|key| key.0.iter().cloned()).collect());
            for answer in lease.rows(&statement.sql, &bind(&lease, &statement, &all)?, CHUNK).await? {
                let mut values = row(&lease, &answer, 0, 1 + table.columns.len())?;
                let place = values.remove(0).and_then(|place| str::from_utf8(&place).ok()?.parse().ok());
                let slot = place.and_then(|place: usize| found.get_mut(place));
                *slot.ok_or_else(|| lease.unexpected("a row for a key that was not asked for"))? = Some(Row(values));
            }
        }
        lease.done();
        Ok(found)
    }

    async fn digest_now(&self, table: &TableMap, range: &KeyRange) -> StoreResult<Digest> {
        let lease = self.pool.lease().await?;
        let statement = sql::digest(table, self.side, range);
        let answers = lease.rows(&statement.sql, &bind(&lease, &statement, &ends(range))?, DIGEST).await?;
        let [answer] = answers.as_slice() else { return Err(lease.unexpected("a digest that is not one row")) };
        let mut values = row(&lease, answer, 0, 2 + table.key.len())?.into_iter();
        let mut text = || Some(String::from_utf8_lossy(&values.next()??).into_owned());
        let (rows, sum) = (text().and_then(|rows| rows.parse().ok()), text());
        let (Some(rows), Some(sum)) = (rows, sum) else { return Err(lease.unexpected("a digest without a number")) };
        let last = values.collect::<Option<Vec<_>>>().map(Key);
        lease.done();
        Ok(Digest { rows, sum, last })
    }
}

/// The parameters of a range: its lower end's key, then its upper end's.
fn ends(range: &KeyRange) -> Key {
    Key([&range.after, &range.upto].into_iter().flatten().flat_map(|key| key.0.iter().cloned()).collect())
}

pub(super) fn bind(lease: &Lease, statement: &sql::Statement, key: &Key) -> StoreResult<Vec<rows::Param>> {
    rows::of_key(statement, key).ok_or_else(|| lease.unexpected("a key that is not in canonical text"))
}

pub(super) fn row(lease: &Lease, answer: &tokio_postgres::Row, first: usize, count: usize) -> StoreResult<Vec<Option<Bytes>>> {
    rows::values(answer, first, count).map_err(|error| lease.unexpected(error))
}

impl Store for PostgresStore {
    fn side(&self) -> Side {
        self.side
    }

    fn ping(&self) -> BoxFuture<'_, StoreResult<()>> {
        self.ping_now().boxed()
    }

    fn relation<'a>(&'a self, name: &'a QualifiedName) -> BoxFuture<'a, StoreResult<Option<Relation>>> {
        catalog::relation(&self.pool, name).boxed()
    }

    fn aliases<'a>(&'a self, tables: &'a [QualifiedName]) -> BoxFuture<'a, StoreResult<Vec<(QualifiedName, Alias)>>> {
        aliases::aliases(&self.pool, tables).boxed()
    }

    fn findings<'a>(&'a self, table: &'a TableMap, mapping: &'a Mapping) -> BoxFuture<'a, StoreResult<Vec<Finding>>> {
        findings::findings(self, table, mapping).boxed()
    }

    fn estimate_rows<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<u64>> {
        catalog::estimate_rows(&self.pool, &table.on(self.side).name).boxed()
    }

    fn scan<'a>(&'a self, table: &'a TableMap, range: &'a KeyRange, limit: u32, form: Form) -> BoxFuture<'a, StoreResult<Vec<Row>>> {
        self.scan_now(table, range, limit, form).boxed()
    }

    fn fetch<'a>(&'a self, table: &'a TableMap, keys: &'a [Key], form: Form) -> BoxFuture<'a, StoreResult<Vec<Option<Row>>>> {
        self.fetch_now(table, keys, form).boxed()
    }

    fn digest<'a>(&'a self, table: &'a TableMap, range: &'a KeyRange) -> BoxFuture<'a, StoreResult<Digest>> {
        self.digest_now(table, range).boxed()
    }

    fn insert_absent<'a>(&'a self, table: &'a TableMap, rows: &'a [Row]) -> BoxFuture<'a, StoreResult<u64>> {
        write::insert_absent(self, table, rows).boxed()
    }

    fn copy_into_empty<'a>(&'a self, table: &'a TableMap, rows: &'a [Row]) -> BoxFuture<'a, StoreResult<u64>> {
        write::copy_into_empty(self, table, rows).boxed()
    }

    fn nth_key<'a>(&'a self, table: &'a TableMap, range: &'a KeyRange, nth: u32) -> BoxFuture<'a, StoreResult<Option<Key>>> {
        self.nth_key_now(table, range, nth).boxed()
    }

    fn apply<'a>(&'a self, table: &'a TableMap, changes: &'a [Change]) -> BoxFuture<'a, StoreResult<()>> {
        write::apply(self, table, changes).boxed()
    }

    fn lock_row<'a>(&'a self, table: &'a TableMap, key: &'a Key) -> BoxFuture<'a, StoreResult<Box<dyn LockedRow>>> {
        lock::lock_row(self, table, key).boxed()
    }

    fn sequence_positions<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        sequences::positions(self, table).boxed()
    }

    fn advance_sequences<'a>(&'a self, table: &'a TableMap, floor: &'a BTreeMap<String, i64>) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        sequences::advance(self, table, floor).boxed()
    }

    fn secondary(&self, mapping: Arc<Mapping>) -> BoxFuture<'_, StoreResult<Box<dyn Secondary>>> {
        self.secondary_now(mapping).boxed()
    }
}
