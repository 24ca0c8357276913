//! What a repair saw or left in the secondary is on its disk before the key is clean.
//!
//! A secondary acknowledges the commits of clients before they are on its disk (docs/decision/02). A repair that finds such a row alike writes nothing that
//! would have it flushed, and its key is in no intent any more: a crash of the secondary would lose the row, and nobody would know.

use std::sync::Arc;

use crossfade_phase::Side;
use crossfade_store::{Life, Store, StoreError, StoreResult};
use tokio::sync::Mutex;

use crate::repair::Repaired;

/// One life of each store, begun when the first key is repaired there. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Flushing {
    sides: Arc<[Mutex<Watched>; 2]>,
}

#[derive(Default)]
struct Watched {
    life: Option<Box<dyn Life>>,
    /// Of the life: another number is another life.
    number: u64,
}

impl Flushing {
    /// Runs `repair`, then makes `secondary` flush. What it did counts only if the store has not crashed in between.
    pub(crate) async fn around(
        &self,
        secondary: &dyn Store,
        repair: impl Future<Output = Vec<StoreResult<Repaired>>>,
    ) -> Vec<StoreResult<Repaired>> {
        // Before a row is looked at: what a life that is over had not flushed was not seen then.
        let begun = self.begun(secondary).await;
        let outcomes = repair.await;
        if outcomes.iter().all(Result::is_err) {
            return outcomes;
        }
        let flushed = match begun {
            Ok(number) => self.flush(secondary.side(), number).await,
            Err(error) => Err(error),
        };
        let Err(error) = flushed else {
            return outcomes;
        };
        let unflushed = || StoreError::Unreachable {
            store: secondary.side().to_string(),
            reason: format!("what it holds of the row may not be on its disk: {error}"),
        };
        let outcome = |outcome: StoreResult<Repaired>| outcome.and_then(|_| Err(unflushed()));
        outcomes.into_iter().map(outcome).collect()
    }

    async fn begun(&self, store: &dyn Store) -> StoreResult<u64> {
        let mut watched = self.on(store.side()).lock().await;
        if watched.life.as_ref().is_none_or(|life| life.is_over()) {
            watched.life = None;
            watched.life = Some(store.life().await?);
            watched.number += 1;
        }
        Ok(watched.number)
    }

    async fn flush(&self, side: Side, number: u64) -> StoreResult<()> {
        let mut watched = self.on(side).lock().await;
        let crashed = || StoreError::Unreachable {
            store: side.to_string(),
            reason: "it has crashed or restarted meanwhile".to_owned(),
        };
        let same = watched.number == number;
        let life = watched.life.as_mut().filter(|_| same).ok_or_else(crashed)?;
        let flushed = match life.flush().await {
            Ok(true) => return Ok(()),
            Ok(false) => Err(crashed()),
            Err(error) => Err(error),
        };
        watched.life = None;
        flushed
    }

    fn on(&self, side: Side) -> &Mutex<Watched> {
        match side {
            Side::Old => &self.sides[0],
            Side::New => &self.sides[1],
        }
    }
}
