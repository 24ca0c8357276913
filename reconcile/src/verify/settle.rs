//! Rows that did not look alike: are they different, or only on their way (trap 35)?
//!
//! A write is in the primary before it is in the secondary. So a pair counts as different only when, in one look,
//!
//! - the journal named no write under way for the key *before* the rows were read,
//! - and the row on the side that is right is the same as in the look before.
//!
//! Were a write between its two commits, it would have been committed in the primary after the look before (then the row differs from
//! that look), or before it (then its intent was still open when the journal was asked, or it was done with the secondary before the
//! rows were read).

use std::collections::HashMap;

use crossfade_phase::Side;
use crossfade_store::{Form, Key, Row, Store, StoreResult, TableMap};
use tokio::time::sleep;

use super::{Difference, Scope, judge::Verdict};
use crate::{Elsewhere, Engine, Error, LedgerResult, error::During as _};

/// What became of suspicious keys. Those in neither list are alike.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) differences: Vec<Difference>,
    /// They differ, and the journal knows the key.
    pub(crate) pending: Vec<Key>,
}

/// One look at a key.
struct Look {
    doubted: bool,
    old: Option<Row>,
    new: Option<Row>,
}

/// Keys of one look.
const BATCH: usize = 1000;

impl Engine {
    /// Reads the keys again until each is alike, different for sure, or known to the journal.
    pub(crate) async fn settle(
        &self,
        table: &TableMap,
        scope: Scope,
        keys: Vec<Key>,
        values: bool,
    ) -> Result<Settled, Error> {
        let mut settled = Settled::default();
        for keys in keys.chunks(BATCH) {
            self.settle_some(table, scope, keys.to_vec(), values, &mut settled)
                .await?;
        }
        Ok(settled)
    }

    async fn settle_some(
        &self,
        table: &TableMap,
        scope: Scope,
        mut open: Vec<Key>,
        values: bool,
        settled: &mut Settled,
    ) -> Result<(), Error> {
        let mut before: HashMap<Key, Option<Row>> = HashMap::new();
        let mut pause = self.settings.settle_pause;
        // Two at the least: the first has nothing to compare with.
        let looks = self.settings.settle_reads.max(2);
        for turn in 1..=looks {
            if open.is_empty() {
                return Ok(());
            }
            if turn > 1 {
                sleep(pause).await;
                pause *= 2;
            }
            let found = settled.differences.len();
            let known = self.knows_what_hides(table, scope, turn == looks).await;
            let seen = self.look(table, scope, &open).await?;
            let mut still = Vec::new();
            for (key, look) in std::iter::zip(open, seen) {
                let Some(verdict) = scope.judge(table, look.old.as_ref(), look.new.as_ref()) else {
                    continue;
                };
                let right = match scope.truth() {
                    Side::Old => &look.old,
                    Side::New => &look.new,
                };
                let stands = before.get(&key) == Some(right);
                if turn < looks {
                    before.insert(key.clone(), right.clone());
                    still.push(key);
                } else if look.doubted {
                    self.doubtful(scope, key, settled);
                } else if stands {
                    settled.differences.push(Difference::new(
                        table,
                        key,
                        verdict,
                        (look.old.as_ref(), look.new.as_ref()),
                        values,
                    ));
                } else {
                    self.decide(table, scope, key, values, settled).await?;
                }
            }
            if settled.differences.len() > found {
                // Trap 27: what only the old store has may be deleted in the new one by somebody whose journal cannot be read from here.
                known?;
            }
            open = still;
        }
        Ok(())
    }

    /// Before the last look forward in 5 to 7: whether it can tell a row of the old store that does not count.
    async fn knows_what_hides(&self, table: &TableMap, scope: Scope, last: bool) -> LedgerResult {
        if last && matches!(scope, Scope::Covered { .. }) {
            let from = scope.source();
            self.ledger.knows_all_under_way(table, from).await
        } else {
            Ok(())
        }
    }

    fn doubtful(&self, scope: Scope, key: Key, settled: &mut Settled) {
        // Forward in 5 to 7 the old store's row does not count then, and nothing is owed.
        if !matches!(scope, Scope::Covered { .. }) {
            settled.pending.push(key);
        }
    }

    /// The journal first, then the rows.
    async fn look(&self, table: &TableMap, scope: Scope, keys: &[Key]) -> Result<Vec<Look>, Error> {
        let elsewhere = self.ledger.elsewhere(table, keys).await?;
        let doubts = match scope {
            Scope::Covered { .. } => self.hidden_in_old(table, keys),
            Scope::Old { .. } | Scope::Reverse { .. } => self.ledger.doubts(table, keys),
        };
        let doubted = |(here, there): (bool, Elsewhere)| {
            here || match scope {
                Scope::Covered { .. } => there.hides_old(),
                Scope::Old { .. } | Scope::Reverse { .. } => there.is_doubted(),
            }
        };
        let doubts = std::iter::zip(doubts, elsewhere).map(doubted);
        // The side that is right last: were it first, a write that both took in between would show in the other only.
        let (right, other) = (
            self.stores.on(scope.truth()),
            self.stores.on(scope.truth().other()),
        );
        let others = other
            .fetch(table, keys, Form::Comparable)
            .await
            .during("comparing", table)?;
        let rights = right
            .fetch(table, keys, Form::Comparable)
            .await
            .during("comparing", table)?;
        let (olds, news) = match scope.truth() {
            Side::Old => (rights, others),
            Side::New => (others, rights),
        };
        let look = |((doubted, old), new)| Look { doubted, old, new };
        Ok(doubts.zip(olds).zip(news).map(look).collect())
    }

    /// A row that is written all the time is looked at under its locks: the right side's keeps writers out, the other's waits for the
    /// last one to be done.
    async fn decide(
        &self,
        table: &TableMap,
        scope: Scope,
        key: Key,
        values: bool,
        settled: &mut Settled,
    ) -> Result<(), Error> {
        let (right, other) = (
            self.stores.on(scope.truth()),
            self.stores.on(scope.truth().other()),
        );
        let (right, other) = under_locks(&**right, &**other, table, &key)
            .await
            .during("comparing", table)?;
        let (old, new) = match scope.truth() {
            Side::Old => (right, other),
            Side::New => (other, right),
        };
        let verdict: Option<Verdict> = scope.judge(table, old.as_ref(), new.as_ref());
        let Some(verdict) = verdict else {
            return Ok(());
        };
        let keys = std::slice::from_ref(&key);
        let elsewhere = self.ledger.elsewhere(table, keys).await?;
        if elsewhere.iter().any(|there| there.is_doubted())
            || self.ledger.doubts(table, keys).contains(&true)
            || right_is_gone(scope, old.as_ref(), new.as_ref())
        {
            // What is not there cannot be locked: left for a later look rather than called a difference.
            self.doubtful(scope, key, settled);
        } else {
            settled.differences.push(Difference::new(
                table,
                key,
                verdict,
                (old.as_ref(), new.as_ref()),
                values,
            ));
        }
        Ok(())
    }
}

fn right_is_gone(scope: Scope, old: Option<&Row>, new: Option<&Row>) -> bool {
    match scope.truth() {
        Side::Old => old.is_none(),
        Side::New => new.is_none(),
    }
}

async fn under_locks(
    right: &dyn Store,
    other: &dyn Store,
    table: &TableMap,
    key: &Key,
) -> StoreResult<(Option<Row>, Option<Row>)> {
    let keys = std::slice::from_ref(key);
    let held = right.lock_row(table, key).await?;
    other.lock_row(table, key).await?.release().await?;
    let others = other.fetch(table, keys, Form::Comparable).await?;
    let rights = right.fetch(table, keys, Form::Comparable).await?;
    held.release().await?;
    Ok((
        rights.into_iter().next().flatten(),
        others.into_iter().next().flatten(),
    ))
}
