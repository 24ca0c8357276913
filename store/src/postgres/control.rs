//! [`Control`] in a table of PostgreSQL.

use std::{fmt, time::Duration};

use crossfade_config::StoreConfig;
use crossfade_phase::Side;
use futures::{FutureExt as _, future::BoxFuture};

use super::{
    pool::{Lease, Pool},
    rows::Param,
};
use crate::{Control, Entry, StoreError, StoreResult};

/// Longest wait for an answer: well below the time for which a proxy may go on without one.
const SHORT: Duration = Duration::from_secs(2);

const PREPARE: &str = "CREATE SCHEMA IF NOT EXISTS crossfade; CREATE TABLE IF NOT EXISTS crossfade.control (\
    side text, toggle text, name text, serial bigint NOT NULL, body text NOT NULL, PRIMARY KEY (side, toggle, name))";
const IS_PREPARED: &str = "SELECT 1 WHERE pg_catalog.to_regclass('crossfade.control') IS NOT NULL";
const ENTRIES: &str =
    "SELECT name, serial, body FROM crossfade.control WHERE side = $1 AND toggle = $2";
const INSERT: &str = "INSERT INTO crossfade.control (side, toggle, name, serial, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
const SWAP: &str = "UPDATE crossfade.control SET serial = $4, body = $5 WHERE side = $1 AND toggle = $2 AND name = $3 AND serial = $6";
const PUT: &str = "INSERT INTO crossfade.control AS c (side, toggle, name, serial, body) VALUES ($1, $2, $3, 1, $4) \
    ON CONFLICT (side, toggle, name) DO UPDATE SET serial = c.serial + 1, body = excluded.body";
const REMOVE: &str = "DELETE FROM crossfade.control WHERE side = $1 AND toggle = $2 AND name = $3";
/// What is said of the epoch must not be forgotten by a crash of the server, whatever the account's setting.
const DURABLE: &str = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";

/// Errors of two that create the same thing at once, and of one that finds it made.
const MADE_BY_ANOTHER: [&str; 4] = ["23505", "42P06", "42P07", "42710"];

/// See the module. It has connections of its own: the reconciler's load must not make a proxy lose touch.
pub struct PostgresControl {
    pool: Pool,
    side: String,
}

impl fmt::Debug for PostgresControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresControl")
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl PostgresControl {
    /// Describes it; connects when it is first used.
    #[must_use]
    pub fn new(config: StoreConfig, side: Side) -> PostgresControl {
        PostgresControl {
            pool: Pool::new(config),
            side: side.to_string(),
        }
    }

    async fn prepare_now(&self) -> StoreResult<()> {
        let lease = self.pool.lease().await?;
        if lease.rows(IS_PREPARED, &[], SHORT).await?.is_empty() {
            match lease.batch(PREPARE, SHORT).await {
                Err(StoreError::Rejected { sqlstate, .. })
                    if MADE_BY_ANOTHER.contains(&sqlstate.as_str()) => {}
                made => made?,
            }
        }
        lease.done();
        Ok(())
    }

    async fn entries_now(&self, toggle: &str) -> StoreResult<Vec<Entry>> {
        let lease = self.pool.lease().await?;
        let found = match lease.rows(ENTRIES, &self.key(&[toggle]), SHORT).await {
            // Nobody has prepared it.
            Err(StoreError::Rejected { sqlstate, .. })
                if matches!(sqlstate.as_str(), "42P01" | "3F000") =>
            {
                Vec::new()
            }
            found => found?,
        };
        let entry = |row: &tokio_postgres::Row| {
            Ok(Entry {
                name: lease.read(row, "name")?,
                serial: lease.read(row, "serial")?,
                body: lease.read(row, "body")?,
            })
        };
        let entries = found.iter().map(entry).collect::<StoreResult<_>>()?;
        lease.done();
        Ok(entries)
    }

    async fn swap_now(&self, toggle: &str, seen: Option<i64>, entry: &Entry) -> StoreResult<bool> {
        let lease = self.pool.lease().await?;
        lease.rows(DURABLE, &[], SHORT).await?;
        let mut params = self.key(&[toggle, &entry.name]);
        params.extend([Param::int8(entry.serial), Param::text(entry.body.as_str())]);
        let statement = match seen {
            None => INSERT,
            Some(seen) => {
                params.push(Param::int8(seen));
                SWAP
            }
        };
        self.changed(lease, statement, &params)
            .await
            .map(|rows| rows == 1)
    }

    async fn put_now(&self, toggle: &str, name: &str, body: &str) -> StoreResult<()> {
        let lease = self.pool.lease().await?;
        self.changed(lease, PUT, &self.key(&[toggle, name, body]))
            .await
            .map(drop)
    }

    async fn remove_now(&self, toggle: &str, name: &str) -> StoreResult<()> {
        let lease = self.pool.lease().await?;
        self.changed(lease, REMOVE, &self.key(&[toggle, name]))
            .await
            .map(drop)
    }

    async fn changed(&self, lease: Lease, statement: &str, params: &[Param]) -> StoreResult<u64> {
        let rows = lease.run(statement, params, SHORT).await?;
        lease.done();
        Ok(rows)
    }

    fn key(&self, rest: &[&str]) -> Vec<Param> {
        std::iter::once(self.side.as_str())
            .chain(rest.iter().copied())
            .map(Param::text)
            .collect()
    }
}

impl Control for PostgresControl {
    fn prepare(&self) -> BoxFuture<'_, StoreResult<()>> {
        self.prepare_now().boxed()
    }

    fn entries<'a>(&'a self, toggle: &'a str) -> BoxFuture<'a, StoreResult<Vec<Entry>>> {
        self.entries_now(toggle).boxed()
    }

    fn swap<'a>(
        &'a self,
        toggle: &'a str,
        seen: Option<i64>,
        entry: &'a Entry,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.swap_now(toggle, seen, entry).boxed()
    }

    fn put<'a>(
        &'a self,
        toggle: &'a str,
        name: &'a str,
        body: &'a str,
    ) -> BoxFuture<'a, StoreResult<()>> {
        self.put_now(toggle, name, body).boxed()
    }

    fn remove<'a>(&'a self, toggle: &'a str, name: &'a str) -> BoxFuture<'a, StoreResult<()>> {
        self.remove_now(toggle, name).boxed()
    }
}
