//! One job at a time over a table (trap 18).
//!
//! A backfill inserts what it read a moment ago. Beside another job, which makes the table complete meanwhile, that may be a row that a client has
//! deleted since: from then on deletes leave no tombstone, and nothing tells the row from one that is missing.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crossfade_store::TableMap;
use tokio::sync::{Mutex as Waiting, OwnedMutexGuard};

/// The right to be the one job over a table, until it is dropped: in this process, and among all that share its memory.
pub(crate) type Turn = (OwnedMutexGuard<()>, Box<dyn Any + Send + Sync>);

/// The turns of all tables, by their old names. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<BTreeMap<String, Arc<Waiting<()>>>>>);

impl Turns {
    /// Waits until no other job is at the table; first come, first served. Cancel-safe.
    pub(crate) async fn take(&self, table: &TableMap) -> OwnedMutexGuard<()> {
        let name = table.old.name.to_string();
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(name.clone()).or_default())
        };
        if let Ok(turn) = Arc::clone(&turn).try_lock_owned() {
            return turn;
        }
        tracing::info!(
            toggle = table.toggle,
            table = name,
            "waits: another job is at work on the table (`crossfade status`)"
        );
        turn.lock_owned().await
    }
}
