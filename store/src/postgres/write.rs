//! Writes of rows in transactions of their own.

mod copy;
mod exchange;

pub(super) use exchange::exchange;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::try_join_all;

use super::{
    PostgresStore,
    adapter::{CHUNK, SHORT},
    key_locks::{KEY_LOCKS, key_locks},
    pool::Lease,
    rows,
    sql::{self, Statement},
};
use crate::{Change, Row, StoreError, StoreResult, TableMap};

/// Rows up to which one INSERT with all values is quicker than COPY into a staging table.
const VALUES_UP_TO: usize = 64;
/// Most parameters of one INSERT; the protocol's limit is 65,535.
const MOST_PARAMETERS: usize = 32_000;
/// Changes from which on the two trips that preparing their statements takes are worth it.
const PREPARED_FROM: usize = 8;
/// Changes on their way to the server at once.
const PIPELINED: usize = 256;
/// Bytes of COPY data handed over at a time.
const COPY_CHUNK: usize = 64 * 1024;

/// Inserts the rows whose key is absent, all or none of them.
pub(super) async fn insert_absent(
    store: &PostgresStore,
    table: &TableMap,
    rows: &[Row],
) -> StoreResult<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let lease = store.pool.lease().await?;
    // A row that another session is inserting at this moment is inserted and taken out again before it is found to be there.
    let own = store.own.of(table).begin(3 * rows.len() as u64);
    let columns = sql::written(table, store.side).len();
    let inserted = if rows.len() <= VALUES_UP_TO && rows.len() * columns <= MOST_PARAMETERS {
        begin_with_locks(&lease, store, table, rows).await?;
        let statement = sql::insert_absent(table, store.side, rows.len());
        let mut params = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            params.extend(bind_row(&lease, &statement, row)?);
        }
        let inserted = lease.run(&statement.sql, &params, CHUNK).await?;
        lease.batch("COMMIT", CHUNK).await?;
        inserted
    } else {
        through_stage(&lease, store, table, rows).await?
    };
    own.over();
    lease.done();
    Ok(inserted)
}

/// Begins a transaction that holds the locks of the keys it is about to insert. Without them a DELETE that is staged meanwhile sees neither
/// the row nor a reason to wait, commits after the copy has looked at the primary once more, and the row is back (trap 8).
async fn begin_with_locks(
    lease: &Lease,
    store: &PostgresStore,
    table: &TableMap,
    rows: &[Row],
) -> StoreResult<()> {
    let upserts: Vec<Change> = rows.iter().cloned().map(Change::Upsert).collect();
    let locks = key_locks(store.side, upserts.iter().map(|change| (table, change)));
    lease.batch("BEGIN", SHORT).await?;
    lease
        .run(KEY_LOCKS, &locks.map(rows::Param::canonical), CHUNK)
        .await?;
    Ok(())
}

async fn through_stage(
    lease: &Lease,
    store: &PostgresStore,
    table: &TableMap,
    rows: &[Row],
) -> StoreResult<u64> {
    let (create, copy) = sql::stage_table(table, store.side);
    let statement = sql::upsert(table, store.side);
    let chunks = binary_copy(lease, &statement, rows)?;
    begin_with_locks(lease, store, table, rows).await?;
    lease.batch(&create, SHORT).await?;
    lease.copy(&copy, chunks, CHUNK).await?;
    let inserted = lease
        .run(&sql::stage_insert(table, store.side), &[], CHUNK)
        .await?;
    lease.batch("COMMIT", CHUNK).await?;
    Ok(inserted)
}

/// The rows as the body of a binary COPY.
fn binary_copy(lease: &Lease, statement: &Statement, rows: &[Row]) -> StoreResult<Vec<Bytes>> {
    let mut chunks = Vec::new();
    let mut chunk = BytesMut::with_capacity(COPY_CHUNK * 2);
    chunk.put_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    let too_long = || lease.unexpected("a row that is too long for COPY");
    for row in rows {
        let values = statement
            .bind_row(row)
            .ok_or_else(|| not_canonical(lease))?;
        chunk.put_i16(i16::try_from(values.len()).map_err(|_| too_long())?);
        for value in values {
            match value {
                Some(value) => {
                    chunk.put_i32(i32::try_from(value.len()).map_err(|_| too_long())?);
                    chunk.put_slice(&value);
                }
                None => chunk.put_i32(-1),
            }
        }
        if chunk.len() >= COPY_CHUNK {
            chunks.push(chunk.split().freeze());
        }
    }
    chunk.put_i16(-1);
    chunks.push(chunk.freeze());
    Ok(chunks)
}

/// Copies rows straight into the table, at several times the speed of [`insert_absent`] (DESIGN 5). Where one of their keys is there after all,
/// nothing has been copied, and [`insert_absent`] takes over.
pub(super) async fn copy_into_empty(
    store: &PostgresStore,
    table: &TableMap,
    rows: &[Row],
) -> StoreResult<u64> {
    let columns = sql::written(table, store.side);
    let Some(chunks) = copy::text_copy(table, store.side, &columns, rows, COPY_CHUNK) else {
        return insert_absent(store, table, rows).await;
    };
    let lease = store.pool.lease().await?;
    let own = store.own.of(table).begin(rows.len() as u64);
    begin_with_locks(&lease, store, table, rows).await?;
    match lease
        .copy(&sql::copy_columns(table, store.side), chunks, CHUNK)
        .await
    {
        Ok(copied) => {
            lease.batch("COMMIT", CHUNK).await?;
            own.over();
            lease.done();
            Ok(copied)
        }
        Err(StoreError::Rejected { sqlstate, .. }) if sqlstate == UNIQUE_VIOLATION => {
            lease.batch("ROLLBACK", SHORT).await?;
            own.over();
            lease.done();
            insert_absent(store, table, rows).await
        }
        Err(error) => Err(error),
    }
}

const UNIQUE_VIOLATION: &str = "23505";

/// Applies changes in one transaction, in the order given.
pub(super) async fn apply(
    store: &PostgresStore,
    table: &TableMap,
    changes: &[Change],
) -> StoreResult<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let lease = store.pool.lease().await?;
    let own = store.own.of(table).begin(changes.len() as u64);
    begin(&lease, store, table, changes).await?;
    put(&lease, store, table, changes).await?;
    lease.batch("COMMIT", CHUNK).await?;
    own.over();
    lease.done();
    Ok(())
}

/// Begins a transaction that holds the locks of the keys.
async fn begin(
    lease: &Lease,
    store: &PostgresStore,
    table: &TableMap,
    changes: &[Change],
) -> StoreResult<()> {
    // Foreign keys between the rows of one batch are checked at COMMIT wherever they can be.
    lease
        .batch("BEGIN; SET CONSTRAINTS ALL DEFERRED", SHORT)
        .await?;
    let locks = key_locks(store.side, changes.iter().map(|change| (table, change)));
    lease
        .run(KEY_LOCKS, &locks.map(rows::Param::canonical), CHUNK)
        .await?;
    Ok(())
}

/// Makes the changes, in their order, in the transaction that is open.
async fn put(
    lease: &Lease,
    store: &PostgresStore,
    table: &TableMap,
    changes: &[Change],
) -> StoreResult<()> {
    let (upsert, delete) = (
        sql::upsert(table, store.side),
        sql::delete(table, store.side),
    );
    let mut bound = Vec::with_capacity(changes.len());
    for change in changes {
        bound.push(match change {
            Change::Upsert(row) => (&upsert, bind_row(lease, &upsert, row)?),
            Change::Delete(key) => (&delete, super::read::bind(lease, &delete, key)?),
        });
    }
    if changes.len() < PREPARED_FROM {
        try_join_all(
            bound
                .iter()
                .map(|(statement, params)| lease.run(&statement.sql, params, CHUNK)),
        )
        .await?;
        return Ok(());
    }
    let [ready_upsert, ready_delete] = [
        lease.ready(&upsert.sql, SHORT).await?,
        lease.ready(&delete.sql, SHORT).await?,
    ];
    for part in bound.chunks(PIPELINED) {
        try_join_all(part.iter().map(|(statement, params)| {
            let ready = if std::ptr::eq(*statement, &raw const upsert) {
                &ready_upsert
            } else {
                &ready_delete
            };
            lease.run_ready(ready, params, CHUNK)
        }))
        .await?;
    }
    Ok(())
}

fn bind_row(lease: &Lease, statement: &Statement, row: &Row) -> StoreResult<Vec<rows::Param>> {
    rows::of_row(statement, row).ok_or_else(|| not_canonical(lease))
}

fn not_canonical(lease: &Lease) -> StoreError {
    lease.unexpected("a row that is not in canonical text")
}
