//! Repair of keys under the journal's eyes.

use std::collections::HashMap;

use crossfade_crash::{self as crash, Point};
use crossfade_phase::Side;
use crossfade_store::{Given, Key, StoreError, StoreResult, TableMap};

use crate::{
    Direction, Engine, Error, Why, hanging,
    ledger::{Dirty, LedgerResult},
    repair::{Group, Repair, Repaired, clashing, explain, waits_for_another},
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
        let held = self.at_work.take(table, keys).await;
        let repair = self.repair_of(table, primary);
        // Whoever was at work on them may have marked them anew. One that has come to be stale in the primary is not to be cleaned.
        let now = self.ledger.marks(table, keys).into_iter();
        let now: Vec<Option<Dirty>> = std::iter::zip(now, marks)
            .map(|(now, then)| {
                let stale = |mark: &Dirty| mark.is_stale(primary);
                now.filter(|now| !stale(now) || then.as_ref().is_some_and(stale))
            })
            .collect();
        let work = async { repair.many(keys).await };
        let mut outcomes = self.and_clean(&repair, keys, &now, work).await;
        drop(held);
        self.exchange(&repair, keys, &mut outcomes).await;
        for (mark, outcome) in std::iter::zip(marks, &outcomes) {
            if let (Some(mark), Err(error)) = (mark, outcome) {
                tracing::debug!(table = %table.old.name, %error, "a key could not be repaired");
                self.ledger.failed(mark, error);
            }
        }
        outcomes
    }

    fn repair_of<'a>(&'a self, table: &'a TableMap, primary: Side) -> Repair<'a> {
        Repair {
            primary: &**self.stores.on(primary),
            secondary: &**self.stores.on(primary.other()),
            table,
            ledger: &*self.ledger,
            hold: self.settings.lock_hold,
        }
    }

    /// Repairs those of the keys that a unique value keeps out, together with the dirty keys whose rows have it. What is not mended keeps its error, with what has kept
    /// it from being mended.
    async fn exchange(
        &self,
        repair: &Repair<'_>,
        keys: &[Key],
        outcomes: &mut [StoreResult<Repaired>],
    ) {
        let first = clashing(keys, outcomes);
        if first.is_empty() {
            return;
        }
        // A store that does not answer has said so.
        for group in repair.in_each_others_way(&first).await.unwrap_or_default() {
            self.exchange_group(repair, &group, keys, outcomes).await;
        }
        let left = Group::unknown(clashing(keys, outcomes));
        if left.keys.len() > 1 {
            self.exchange_group(repair, &left, keys, outcomes).await;
        }
    }

    async fn exchange_group(
        &self,
        repair: &Repair<'_>,
        group: &Group,
        keys: &[Key],
        outcomes: &mut [StoreResult<Repaired>],
    ) {
        let _held = self.at_work.take(repair.table, &group.keys).await;
        let places: HashMap<&Key, usize> = std::iter::zip(keys, 0..).collect();
        let own = |key: &Key| places.get(key).copied();
        let marks = self.ledger.marks(repair.table, &group.keys);
        let primary = repair.primary.side();
        let as_looked_up = |(key, mark): (&Key, &Option<Dirty>)| {
            let dirty = mark.as_ref();
            dirty.is_some_and(|mark| own(key).is_some() || !mark.is_stale(primary))
        };
        if !std::iter::zip(&group.keys, &marks).all(as_looked_up) {
            // Somebody else has repaired them since, together as a rule. What is left of it the next attempt sees.
            let own: Vec<usize> = group.keys.iter().filter_map(own).collect();
            let keys: Vec<Key> = own.iter().map(|&place| keys[place].clone()).collect();
            let marks = self.ledger.marks(repair.table, &keys);
            let work = async { repair.many(&keys).await };
            let done = self.and_clean(repair, &keys, &marks, work).await;
            for (place, done) in std::iter::zip(own, done) {
                outcomes[place] = done;
            }
            return;
        }
        // They are dirty, and nobody else cleans them now. But whoever has marked them may not have seen that reach the disk, and a crash behind the write would leave
        // an older row there that nobody knows of.
        let side = repair.secondary.side();
        let marked = self
            .ledger
            .mark(repair.table, &group.keys, side, Why::Verify);
        let mut why = marked.await.err().map(|error| error.to_string());
        if why.is_none() {
            let work = async {
                let written = repair.together(group).await;
                written.unwrap_or_else(|refused| {
                    let error = |_: &Key| Err(StoreError::unexpected(side, &refused));
                    let errors = group.keys.iter().map(error).collect();
                    why = Some(refused);
                    errors
                })
            };
            let marks = self.ledger.marks(repair.table, &group.keys);
            let written = self.and_clean(repair, &group.keys, &marks, work).await;
            for (key, done) in std::iter::zip(&group.keys, written) {
                if let (Some(place), None) = (own(key), &why) {
                    outcomes[place] = done;
                }
            }
        }
        for key in &group.keys {
            if let (Some(why), Some(place)) = (&why, own(key))
                && let Err(error) = &mut outcomes[place]
            {
                explain(error, group, why);
            }
        }
    }

    /// Does `work`, a repair of the keys, and cleans those that are alike as of these marks. The caller is the only one at work on them.
    async fn and_clean(
        &self,
        repair: &Repair<'_>,
        keys: &[Key],
        marks: &[Option<Dirty>],
        work: impl Future<Output = Vec<StoreResult<Repaired>>>,
    ) -> Vec<StoreResult<Repaired>> {
        let (from, to, table) = (repair.primary, repair.secondary, repair.table);
        let unanswered = |mark: &&Dirty| mark.unanswered;
        let newest = marks
            .iter()
            .flatten()
            .filter(unanswered)
            .map(|mark| mark.generation)
            .max();
        // Before the row is read: a transaction that ends after the read would be missed.
        let settled = match newest {
            Some(newest) => self.settling.upto(from, newest).await,
            None => Ok(0),
        };
        let unsettled = || StoreError::Unsettled {
            store: to.side().to_string(),
        };
        let repaired = match to.given_up_has_ended().await {
            Ok(true) => self.flushing.around(to, work).await,
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
            if let (Some(mark), Ok(_)) = (mark, outcome) {
                self.ledger.clean(mark);
            }
        }
        crash::at(Point::Cleaned);
        outcomes
    }
}
