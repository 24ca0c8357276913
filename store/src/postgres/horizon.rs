//! Whether transactions of before have ended.

use super::{PostgresStore, adapter::SHORT};
use crate::{Horizon, StoreResult};

// The functions of `txid` are in every version, those of `xid8` since 13. An id counts as running until its transaction is over for
// everybody else, a wait for a synchronous standby included. The horizon is an id of its own: a snapshot's `xmax` lies behind the last transaction that
// has *ended*, which says nothing about those that run.
const HORIZON: &str = "SELECT txid_current() AS id";
const OLDEST_RUNNING: &str = "SELECT txid_snapshot_xmin(txid_current_snapshot()) AS id";

pub(super) async fn horizon(store: &PostgresStore) -> StoreResult<Horizon> {
    ask(store, HORIZON).await.map(Horizon)
}

pub(super) async fn has_passed(store: &PostgresStore, horizon: Horizon) -> StoreResult<bool> {
    Ok(ask(store, OLDEST_RUNNING).await? >= horizon.0)
}

async fn ask(store: &PostgresStore, question: &str) -> StoreResult<i64> {
    let lease = store.pool.lease().await?;
    let answers = lease.rows(question, &[], SHORT).await?;
    let answer = answers
        .first()
        .ok_or_else(|| lease.unexpected("no row for a transaction id"))?;
    let id = lease.read(answer, "id")?;
    lease.done();
    Ok(id)
}
