//! Confirms what the secondaries have flushed.
//!
//! A secondary may acknowledge a commit before it is on its disk. The intents of such transactions stay open in the journal until the store has
//! flushed everything up to them. A store that crashed in between may have lost them: then their keys are dirty.

use std::sync::Arc;

use crossfade_journal::{Journal, Reason};
use crossfade_phase::Side;
use crossfade_reconcile::Stores;
use crossfade_store::{Life, Store, StoreResult};
use tokio::sync::{Mutex, MutexGuard};

/// One life of each store, begun when there is something to confirm.
pub(crate) struct Confirmer {
    journal: Arc<Journal>,
    old: Watched,
    new: Watched,
}

struct Watched {
    store: Arc<dyn Store>,
    life: Mutex<Option<Box<dyn Life>>>,
}

impl Confirmer {
    pub(super) fn new(stores: &Stores, journal: Arc<Journal>) -> Confirmer {
        let watched = |side| Watched {
            store: stores.on(side).clone(),
            life: Mutex::default(),
        };
        Confirmer {
            journal,
            old: watched(Side::Old),
            new: watched(Side::New),
        }
    }

    fn on(&self, side: Side) -> &Watched {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// Makes the store of `side` flush, and confirms what that covers.
    ///
    /// # Errors
    /// When the store does not answer; nothing is confirmed then.
    pub(crate) async fn confirm(&self, side: Side) -> StoreResult<()> {
        let mut slot = self.begun(side).await?;
        let horizon = self.journal.confirm_horizon(side);
        let Some(life) = slot.as_mut() else {
            return Ok(());
        };
        match life.flush().await {
            Ok(true) => {
                self.journal.confirm(horizon);
                Ok(())
            }
            Ok(false) => {
                *slot = None;
                self.doubt(side).await;
                Ok(())
            }
            Err(error) => {
                // What was committed until the next life begins is in doubt, and is dealt with there.
                *slot = None;
                Err(error)
            }
        }
    }

    /// Begins ahead of the first write, so that what is committed from then on is known to be of one life of the store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn connect(&self, side: Side) -> StoreResult<()> {
        self.begun(side).await.map(drop)
    }

    async fn begun(&self, side: Side) -> StoreResult<MutexGuard<'_, Option<Box<dyn Life>>>> {
        let watched = self.on(side);
        let mut slot = watched.life.lock().await;
        if slot.as_ref().is_none_or(|life| life.is_over()) {
            *slot = None;
            *slot = Some(watched.store.life().await?);
            // The store may have crashed between those commits and this moment.
            self.doubt(side).await;
        }
        Ok(slot)
    }

    async fn doubt(&self, side: Side) {
        if let Err(error) = self
            .journal
            .unconfirmed_to_dirty(side, Reason::SecondaryCrashed)
            .await
        {
            tracing::error!(%error, %side, "keys in doubt are known in memory only");
        }
    }
}
