//! A row held under its lock.

use futures::{FutureExt as _, future::BoxFuture};

use super::{
    PostgresStore,
    adapter::{CHUNK, SHORT},
    pool::Lease,
    read::{bind, row},
    sql,
};
use crate::{Key, LockedRow, Row, StoreResult, TableMap};

/// The server's own end for a lock that nobody lets go of, as a process does that is frozen: clients wait for the row meanwhile. Well above the second for which a repair
/// holds one, and above what a look under locks takes while the other store is slow.
const IDLE_MS: u32 = 10_000;

/// The row and the connection whose open transaction holds its lock. Dropped without [`LockedRow::release`], it closes the
/// connection, which ends the transaction.
struct Locked {
    row: Option<Row>,
    lease: Option<Lease>,
}

pub(super) async fn lock_row(
    store: &PostgresStore,
    table: &TableMap,
    key: &Key,
) -> StoreResult<Box<dyn LockedRow>> {
    let lease = store.pool.lease().await?;
    let statement = sql::lock_row(table, store.side);
    let params = bind(&lease, &statement, key)?;
    let begin = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS}");
    lease.batch(&begin, SHORT).await?;
    let answers = lease.rows(&statement.sql, &params, CHUNK).await?;
    let found = answers
        .first()
        .map(|answer| row(&lease, answer, 0, table.columns.len()).map(Row))
        .transpose()?;
    if found.is_none() {
        lease.batch("ROLLBACK", SHORT).await?;
        lease.done();
        return Ok(Box::new(Locked {
            row: None,
            lease: None,
        }));
    }
    Ok(Box::new(Locked {
        row: found,
        lease: Some(lease),
    }))
}

impl LockedRow for Locked {
    fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, StoreResult<()>> {
        async move {
            if let Some(lease) = self.lease {
                lease.batch("ROLLBACK", SHORT).await?;
                lease.done();
            }
            Ok(())
        }
        .boxed()
    }
}
