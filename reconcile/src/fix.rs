//! Repair of keys under the journal's eyes.

use crossfade_crash::{self as crash, Point};
use crossfade_phase::Side;
use crossfade_store::{Given, Key, StoreError, StoreResult, TableMap};

use crate::{
    Direction, Engine, Error, Why, hanging,
    ledger::{Dirty, LedgerResult},
    repair::{Repair, Repaired, waits_for_another},
};

/// What became of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Keys that are alike now.
    pub repaired: u64,
    /// Keys that stay dirty, with what the store said.
    pub failed: Vec<(Key, String)>,
    /// Those of them whose turn comes after other rows'.
    pub(crate) waiting: Vec<Key>,
}

/// Keys of one write.
const BATCH: usize = 500;

impl Engine {
    /// Marks the keys, repairs them from the store of `primary` and cleans those that are alike. Those that are stale there stay as they are. The caller
    /// holds a pin.
    pub(crate) async fn fix(
        &self,
        table: &TableMap,
        primary: Side,
        keys: &[Key],
        why: Why,
    ) -> Result<Fixed, Error> {
        let mut fixed = Fixed::default();
        for keys in keys.chunks(BATCH) {
            let stale = self.stale_in(primary, table, keys);
            let (left, keys): (Vec<_>, Vec<_>) =
                std::iter::zip(keys.iter().cloned(), stale).partition(|(_, stale)| *stale);
            let stays = || format!("the row in the {primary} store is stale itself");
            fixed
                .failed
                .extend(left.into_iter().map(|(key, _)| (key, stays())));
            let keys: Vec<Key> = keys.into_iter().map(|(key, _)| key).collect();
            if keys.is_empty() {
                continue;
            }
            // First: after a crash half way the repairer finds them.
            self.ledger.mark(table, &keys, primary.other(), why).await?;
            crash::at(Point::KeysMarked);
            let marks = self.ledger.marks(table, &keys);
            let outcomes = self.repair_marked(table, primary, &keys, &marks).await;
            for (key, outcome) in std::iter::zip(keys, outcomes) {
                match outcome {
                    Ok(_) => fixed.repaired += 1,
                    Err(error) => {
                        if waits_for_another(&error) {
                            fixed.waiting.push(key.clone());
                        }
                        fixed.failed.push((key.clone(), error.to_string()));
                    }
                }
            }
        }
        Ok(fixed)
    }

    /// What hangs on rows of `table` (see [`hanging`]), and what the secondary's own foreign keys have done on account of them.
    async fn doubt_what_follows(&self, table: &TableMap, secondary: Side) -> LedgerResult {
        let direction = Direction::into_store(secondary);
        for below in hanging::below(self.mapping(), table, secondary) {
            self.ledger.doubt(below, direction, hanging::WHY).await?;
        }
        let mapping = self.mapping();
        let alone = [Given::Delete, Given::Image]
            .into_iter()
            .flat_map(|given| mapping.changed_alone(table, secondary, given));
        // What documents have deleted on account of a row is on no record but the secondary's own, if that was there.
        for alone in alone.chain(mapping.acted_on(table, secondary)) {
            let alone = &mapping.tables[alone.0];
            self.ledger.doubt(alone, direction, hanging::ALONE).await?;
        }
        Ok(())
    }

    /// Repairs the keys from the store of `primary`; cleans those that are alike as of their marks and puts off the others. A key without a mark was
    /// repaired by somebody else meanwhile. The caller holds a pin.
    pub(crate) async fn repair_marked(
        &self,
        table: &TableMap,
        primary: Side,
        keys: &[Key],
        marks: &[Option<Dirty>],
    ) -> Vec<StoreResult<Repaired>> {
        let (from, to) = (self.stores.on(primary), self.stores.on(primary.other()));
        let unanswered = |mark: &&Dirty| mark.unanswered;
        let newest = marks
            .iter()
            .flatten()
            .filter(unanswered)
            .map(|mark| mark.generation)
            .max();
        let settled = match newest {
            Some(newest) => self.settling.upto(&**from, newest).await,
            None => Ok(0),
        };
        // Before the row is read: a transaction that ends after the read would be missed.
        let repair = Repair {
            primary: &**from,
            secondary: &**to,
            table,
            ledger: &*self.ledger,
            hold: self.settings.lock_hold,
        };
        let unsettled = || StoreError::Unsettled {
            store: to.side().to_string(),
        };
        let repaired = match to.given_up_has_ended().await {
            Ok(true) => self.flushing.around(&**to, repair.many(keys)).await,
            Ok(false) => keys.iter().map(|_| Err(unsettled())).collect(),
            Err(error) => {
                let unreachable = |_: &Key| {
                    Err(StoreError::Unreachable {
                        store: to.side().to_string(),
                        reason: error.to_string(),
                    })
                };
                keys.iter().map(unreachable).collect()
            }
        };
        // Behind the repair, which may itself have been what took rows along, and before any key is clean: after a crash in between it is repaired again.
        let repaired = match self.doubt_what_follows(table, to.side()).await {
            Ok(()) => repaired,
            Err(error) => {
                let unnoted = |_: &Key| {
                    Err(StoreError::Unexpected {
                        store: to.side().to_string(),
                        what: format!("what follows from its rows cannot be noted: {error}"),
                    })
                };
                keys.iter().map(unnoted).collect()
            }
        };
        let outcome = |(mark, repaired): (&Option<Dirty>, _)| match (mark, &settled) {
            (Some(mark), Ok(settled)) if mark.unanswered && mark.generation > *settled => {
                Err(StoreError::Unsettled {
                    store: from.side().to_string(),
                })
            }
            (Some(mark), Err(error)) if mark.unanswered => Err(StoreError::Unreachable {
                store: from.side().to_string(),
                reason: error.to_string(),
            }),
            (_, _) => repaired,
        };
        let outcomes: Vec<_> = std::iter::zip(marks, repaired).map(outcome).collect();
        crash::at(Point::BeforeClean);
        for (mark, outcome) in std::iter::zip(marks, &outcomes) {
            match (mark, outcome) {
                (Some(mark), Ok(_)) => self.ledger.clean(mark),
                (Some(mark), Err(error)) => {
                    tracing::debug!(table = %table.old.name, %error, "a key could not be repaired");
                    self.ledger.failed(mark, error);
                }
                (None, _) => {}
            }
        }
        crash::at(Point::Cleaned);
        outcomes
    }
}
