//! Reads of rows, keys and checksums.

use std::time::Duration;

use bytes::Bytes;

use super::{PostgresStore, adapter::CHUNK, pool::Lease, rows, sql};
use crate::{Digest, Form, Key, KeyRange, Row, StoreResult, TableMap};

/// Longest wait for a checksum, which may read a large part of a table.
const DIGEST: Duration = Duration::from_secs(600);
/// Keys looked up by one statement. Its parameters must be fewer than 65,536, and its plan cheap to make.
const KEYS_A_FETCH: usize = 512;

pub(super) async fn nth_key(
    store: &PostgresStore,
    table: &TableMap,
    range: &KeyRange,
    nth: u32,
) -> StoreResult<Option<Key>> {
    let lease = store.pool.lease().await?;
    let statement = sql::nth_key(table, store.side, range, nth);
    let answers = lease
        .rows(
            &statement.sql,
            &bind(&lease, &statement, &ends(range))?,
            CHUNK,
        )
        .await?;
    let key = answers
        .first()
        .map(|answer| row(&lease, answer, 0, table.key.len()))
        .transpose()?;
    lease.done();
    Ok(key
        .and_then(|values| values.into_iter().collect::<Option<Vec<_>>>())
        .map(Key))
}

pub(super) async fn scan(
    store: &PostgresStore,
    table: &TableMap,
    range: &KeyRange,
    limit: u32,
    form: Form,
) -> StoreResult<Vec<Row>> {
    let lease = store.pool.lease().await?;
    let statement = sql::select_range(table, store.side, range, limit, form);
    let params = bind(&lease, &statement, &ends(range))?;
    let answers = lease.rows(&statement.sql, &params, CHUNK).await?;
    let rows = answers
        .iter()
        .map(|answer| row(&lease, answer, 0, table.columns.len()).map(Row))
        .collect::<StoreResult<_>>()?;
    lease.done();
    Ok(rows)
}

pub(super) async fn fetch(
    store: &PostgresStore,
    table: &TableMap,
    keys: &[Key],
    form: Form,
) -> StoreResult<Vec<Option<Row>>> {
    let lease = store.pool.lease().await?;
    let mut found = vec![None; keys.len()];
    for (batch, found) in std::iter::zip(keys.chunks(KEYS_A_FETCH), found.chunks_mut(KEYS_A_FETCH))
    {
        let statement = sql::fetch(table, store.side, batch.len(), form);
        let all = Key(batch.iter().flat_map(|key| key.0.iter().cloned()).collect());
        for answer in lease
            .rows(&statement.sql, &bind(&lease, &statement, &all)?, CHUNK)
            .await?
        {
            let mut values = row(&lease, &answer, 0, 1 + table.columns.len())?;
            let place = values
                .remove(0)
                .and_then(|place| str::from_utf8(&place).ok()?.parse().ok());
            let slot = place.and_then(|place: usize| found.get_mut(place));
            *slot.ok_or_else(|| lease.unexpected("a row for a key that was not asked for"))? =
                Some(Row(values));
        }
    }
    lease.done();
    Ok(found)
}

pub(super) async fn digest(
    store: &PostgresStore,
    table: &TableMap,
    range: &KeyRange,
) -> StoreResult<Digest> {
    let lease = store.pool.lease().await?;
    let statement = sql::digest(table, store.side, range);
    let answers = lease
        .rows(
            &statement.sql,
            &bind(&lease, &statement, &ends(range))?,
            DIGEST,
        )
        .await?;
    let [answer] = answers.as_slice() else {
        return Err(lease.unexpected("a digest that is not one row"));
    };
    let mut values = row(&lease, answer, 0, 2 + table.key.len())?.into_iter();
    let mut text = || Some(String::from_utf8_lossy(&values.next()??).into_owned());
    let (rows, sum) = (text().and_then(|rows| rows.parse().ok()), text());
    let (Some(rows), Some(sum)) = (rows, sum) else {
        return Err(lease.unexpected("a digest without a number"));
    };
    let last = values.collect::<Option<Vec<_>>>().map(Key);
    lease.done();
    Ok(Digest { rows, sum, last })
}

/// The parameters of a range: its lower end's key, then its upper end's.
fn ends(range: &KeyRange) -> Key {
    Key([&range.after, &range.upto]
        .into_iter()
        .flatten()
        .flat_map(|key| key.0.iter().cloned())
        .collect())
}

pub(super) fn bind(
    lease: &Lease,
    statement: &sql::Statement,
    key: &Key,
) -> StoreResult<Vec<rows::Param>> {
    rows::of_key(statement, key)
        .ok_or_else(|| lease.unexpected("a key that is not in canonical text"))
}

pub(super) fn row(
    lease: &Lease,
    answer: &tokio_postgres::Row,
    first: usize,
    count: usize,
) -> StoreResult<Vec<Option<Bytes>>> {
    rows::values(answer, first, count).map_err(|error| lease.unexpected(error))
}
