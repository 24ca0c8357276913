//! The backends of clients, and the transactions that they have prepared.

use super::{PostgresStore, adapter::SHORT};
use crate::{Backend, StoreResult};

// Each transaction, one that has written nothing yet included, holds a lock on its virtual id from its beginning to its end, which everybody may see;
// what a backend of another role is at, not everybody may. Workers of the server's own have no user.
const BACKENDS: &str = "SELECT a.pid, l.virtualxid::text AS transaction, \
    pg_catalog.concat_ws(' ', 'user', a.usename, 'application', a.application_name)::text AS who, \
    (extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start) * 1000)::bigint AS open_ms \
    FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_locks l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock' \
    WHERE a.datname = pg_catalog.current_database() AND a.usesysid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid() \
    UNION ALL SELECT 0, 'prepared ' || p.gid, pg_catalog.concat_ws(' ', 'user', p.owner), \
    (extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared) * 1000)::bigint \
    FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database()";

pub(super) async fn backends(store: &PostgresStore) -> StoreResult<Vec<Backend>> {
    let lease = store.pool.lease().await?;
    let rows = lease.rows(BACKENDS, &[], SHORT).await?;
    let mut backends = Vec::with_capacity(rows.len());
    for row in &rows {
        let open_ms: Option<i64> = lease.read(row, "open_ms")?;
        backends.push(Backend {
            pid: lease.read(row, "pid")?,
            transaction: lease.read(row, "transaction")?,
            who: lease.read(row, "who")?,
            open_for: open_ms
                .and_then(|ms| u64::try_from(ms).ok())
                .map(std::time::Duration::from_millis),
        });
    }
    lease.done();
    Ok(backends)
}
