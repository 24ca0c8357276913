//! One round of repairs.

use std::collections::BTreeMap;

use crossfade_phase::Side;
use crossfade_store::{Key, StoreError, TableMap};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};

use crate::{Engine, ledger::Dirty, repair::Repaired};

/// Keys repaired under one pin: few, so that a flip never waits long for it.
pub(super) const UNIT: usize = 32;

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing was there to do.
    Nothing,
    /// Something was tried.
    Some,
    /// A store did not answer.
    StoreDown,
}

/// Keys of one table.
pub(super) struct Unit<'a> {
    pub(super) table: &'a TableMap,
    pub(super) dirty: Vec<Dirty>,
    pub(super) secondary: Side,
}

/// Keys that were taken from the journal. Dropped before they were tried, they are given back: or nobody would get them for a minute, for which they would
/// hold up every flip.
struct Taken<'a> {
    engine: &'a Engine,
    dirty: Vec<Dirty>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for dirty in &self.dirty {
            self.engine.ledger.give_back(dirty);
        }
    }
}

/// What became of a key.
pub(super) type Outcome = (Key, Result<Repaired, StoreError>);

impl Engine {
    pub(super) async fn drain_once(&self, toggle: &str) -> Drained {
        // Asked before anything is taken: what is taken is kept from others for a while.
        let phase = self.gates.effective(toggle).map(|snapshot| snapshot.phase);
        let Some(secondary) = phase.and_then(|phase| phase.secondary()) else {
            return Drained::Nothing;
        };
        let mut by_table: BTreeMap<usize, Vec<Dirty>> = BTreeMap::new();
        // Not those that are stale in the primary: they come from a phase in which the other store was the primary, and repairing them this way would undo
        // the newer row, or, where a key is stale in both, one of two that each lacks something of the other. They wait until the other store is the primary
        // again, or for an operator (`crossfade status` shows them).
        let (batch, primary) = (self.settings.repair_batch, secondary.other());
        for dirty in self.ledger.take(toggle, batch, primary) {
            if let Some(table) = self.table_of(&dirty) {
                by_table.entry(table.id.0).or_default().push(dirty);
            }
        }
        let mut units: Vec<BoxFuture<'_, Drained>> = Vec::new();
        for (table, dirty) in &by_table {
            for dirty in dirty.chunks(UNIT) {
                let unit = Unit {
                    table: &self.mapping.tables[*table],
                    dirty: dirty.to_vec(),
                    secondary,
                };
                let taken = Taken {
                    engine: self,
                    dirty: dirty.to_vec(),
                };
                units.push(self.drain_unit(toggle, unit, taken).boxed());
            }
        }
        let tried: Vec<Drained> = stream::iter(units)
            .buffer_unordered(self.settings.repair_workers.max(1))
            .collect()
            .await;
        match tried {
            tried if tried.contains(&Drained::StoreDown) => Drained::StoreDown,
            tried if tried.contains(&Drained::Some) => Drained::Some,
            _nothing_tried => Drained::Nothing,
        }
    }

    async fn drain_unit(&self, toggle: &str, unit: Unit<'_>, mut taken: Taken<'_>) -> Drained {
        let Some(pin) = self.gates.pin(toggle).await else {
            return Drained::Nothing;
        };
        // Trap 28: the phase may have turned round since the keys were taken.
        if pin.snapshot().phase.secondary() != Some(unit.secondary) {
            return Drained::Nothing;
        }
        let outcomes = self.repair_unit(unit).await;
        // Each of them was cleaned or put off.
        taken.dirty.clear();
        let down =
            |(_, outcome): &Outcome| outcome.as_ref().is_err_and(StoreError::outcome_unknown);
        if outcomes.iter().any(down) {
            Drained::StoreDown
        } else {
            Drained::Some
        }
    }

    /// Repairs the keys and tells the journal. The caller holds a pin.
    pub(super) async fn repair_unit(&self, unit: Unit<'_>) -> Vec<Outcome> {
        let keys: Vec<Key> = unit.dirty.iter().map(|dirty| dirty.key.clone()).collect();
        let marks: Vec<Option<Dirty>> = unit.dirty.into_iter().map(Some).collect();
        let primary = unit.secondary.other();
        let outcomes = self.repair_marked(unit.table, primary, &keys, &marks).await;
        std::iter::zip(keys, outcomes).collect()
    }
}
