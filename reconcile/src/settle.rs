//! Commits that the primary never answered.
//!
//! Dies a connection in the middle of a COMMIT, its transaction may be open for a while still: the server has not read the message yet, or waits for
//! a standby. A repair that reads the row meanwhile finds it as it was before, and a key that is cleaned then stays wrong for ever (trap 43). So
//! such keys wait until every transaction that was open after their mark has ended.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crossfade_phase::Side;
use crossfade_store::{Horizon, Store, StoreError, StoreResult};
use tokio::time::sleep;

/// Looks before the key is put off; a transaction takes milliseconds, and a long one shall not hold up the other keys.
const LOOKS: u32 = 5;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks before a job gives up on writes that were given up.
const GIVEN_UP_LOOKS: u32 = 50;
/// Between two of them.
const GIVEN_UP_PAUSE: Duration = Duration::from_millis(200);

/// What is known of transactions that have ended, by primary. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settling {
    sides: Arc<[Mutex<Known>; 2]>,
}

/// Generations order all marks of a journal.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Transactions behind marks up to this generation have ended.
    settled: u64,
    /// Those behind marks up to this generation have ended when the horizon has passed.
    pending: Option<(u64, Horizon)>,
}

impl Settling {
    /// Up to which generation of marks all transactions of `primary` have ended: `newest`, or less where one takes long.
    pub(crate) async fn upto(&self, primary: &dyn Store, newest: u64) -> StoreResult<u64> {
        let mut looks = 0;
        loop {
            let known = self.of(primary.side(), |known| *known);
            if known.settled >= newest {
                return Ok(newest);
            }
            // Taken after the mark of `newest`, so that it lies behind what that mark stands for.
            let pending = match known.pending {
                Some(pending) => pending,
                None => (newest, primary.horizon().await?),
            };
            if primary.has_passed(pending.1).await? {
                self.of(primary.side(), |known| {
                    known.settled = known.settled.max(pending.0);
                    known.pending = None;
                });
                continue;
            }
            let settled = self.of(primary.side(), |known| {
                known.pending.get_or_insert(pending);
                known.settled
            });
            looks += 1;
            if looks == LOOKS {
                return Ok(settled);
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until nothing that was given up can arrive in a store any more: a row that a job copied, say, and that was deleted since.
    ///
    /// # Errors
    /// When that takes long, or the store does not answer.
    pub(crate) async fn given_up(store: &dyn Store) -> StoreResult<()> {
        for _ in 0..GIVEN_UP_LOOKS {
            if store.given_up_has_ended().await? {
                return Ok(());
            }
            sleep(GIVEN_UP_PAUSE).await;
        }
        Err(StoreError::Unsettled {
            store: store.side().to_string(),
        })
    }

    fn of<T>(&self, side: Side, look: impl FnOnce(&mut Known) -> T) -> T {
        let at = match side {
            Side::Old => 0,
            Side::New => 1,
        };
        let mut known = self.sides[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        look(&mut known)
    }
}
