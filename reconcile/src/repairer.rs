//! The continuous drain of dirty keys inside `serve`, and the same on demand.

mod drain;
mod report;

use std::{collections::BTreeSet, time::Duration};

use crossfade_phase::{Phase, Side};
use crossfade_store::{Key, TableId, TableMap};
use futures::future::join_all;
use tokio::time::sleep;

use crate::{Direction, Engine, Error, error::During as _, ledger::Dirty, lineage};
use drain::{Drained, Unit};
pub use report::{FailedKey, LeftStale, RepairReport};

/// Pause when nothing is dirty, and before the first retry of a store that does not answer.
const IDLE: Duration = Duration::from_millis(200);
/// Longest pause before a store that does not answer is asked again.
const STORE_DOWN_MAX: Duration = Duration::from_secs(5);
/// Dirty keys read from the journal in one go by [`Engine::repair`].
const PAGE: usize = 512;
/// The same of a table that refers to itself: what is read in one go is brought in order.
const LINKED_PAGE: usize = 20_000;

impl Engine {
    /// Drains the dirty keys of every toggle for as long as it is polled. In the phases without a secondary it waits: in 6 and 7 a dirty key
    /// means that the old store is stale for it, which is the way back's business.
    ///
    /// A key that a store refuses is given back to the journal, which hands it out again after a growing back-off, with the store's own
    /// error for `crossfade status` (trap 11); the other keys go on. May be dropped at any point.
    pub async fn run_repairer(&self) {
        let toggles: BTreeSet<&str> = self
            .mapping
            .tables
            .iter()
            .map(|table| table.toggle.as_str())
            .collect();
        join_all(
            toggles
                .into_iter()
                .map(|toggle| self.drain_for_ever(toggle)),
        )
        .await;
    }

    async fn drain_for_ever(&self, toggle: &str) {
        let mut pause = IDLE;
        loop {
            match self.drain_once(toggle).await {
                Drained::Some => pause = IDLE,
                Drained::Nothing => {
                    pause = IDLE;
                    sleep(IDLE).await;
                }
                Drained::StoreDown => {
                    sleep(pause).await;
                    pause = (pause * 2).min(STORE_DOWN_MAX);
                }
            }
        }
    }

    /// Repairs the dirty keys of a table, or of all, now and without regard to their back-off: from the primary to the secondary, or, with
    /// `reverse`, from the new store to the old in the phases in which the old is not written. May be dropped at any point: what is not
    /// repaired stays dirty. A key that is stale only in the store that counts is left; one that is stale in both is repaired, as who asks for it has
    /// decided.
    ///
    /// # Errors
    /// [`Error::NoSecondary`] in a phase without a secondary, unless `reverse` says where to; [`Error::EpochChanged`].
    /// A key that cannot be repaired is no error but part of the report.
    pub async fn repair(
        &self,
        table: Option<TableId>,
        reverse: bool,
    ) -> Result<RepairReport, Error> {
        let mut report = RepairReport::default();
        for map in self
            .mapping
            .tables
            .iter()
            .filter(|map| table.is_none_or(|table| table == map.id))
        {
            self.repair_table(map, reverse, &mut report).await?;
        }
        Ok(report)
    }

    /// [`Engine::repair`] of these tables, and again where another row kept rows out, for as long as fewer of them are left: parents come before their
    /// children and go after them, in one table or in several.
    pub async fn repair_all(
        &self,
        tables: &[TableId],
        reverse: bool,
    ) -> Vec<Result<RepairReport, Error>> {
        let mut reports = Vec::with_capacity(tables.len());
        for table in tables {
            reports.push(self.repair(Some(*table), reverse).await);
        }
        let waiting = |reports: &[Result<RepairReport, Error>]| -> u64 {
            reports.iter().flatten().map(|report| report.waiting).sum()
        };
        let (mut before, mut left) = (u64::MAX, waiting(&reports));
        let mut order: Vec<usize> = (0..tables.len()).collect();
        while 0 < left && left < before {
            order.reverse();
            for &index in &order {
                let Ok(report) = &reports[index] else {
                    continue;
                };
                if report.waiting > 0 {
                    let first = report.clone();
                    let next = self.repair(Some(tables[index]), reverse).await;
                    reports[index] = next.map(|next| first.then(next));
                }
            }
            (before, left) = (left, waiting(&reports));
        }
        reports
    }

    async fn repair_table(
        &self,
        map: &TableMap,
        reverse: bool,
        report: &mut RepairReport,
    ) -> Result<(), Error> {
        let mut after: Option<Key> = None;
        let linked = [Side::Old, Side::New]
            .into_iter()
            .any(|side| lineage::is_linked(map, side));
        let size = if linked { LINKED_PAGE } else { PAGE };
        loop {
            let mut page = self.ledger.page(map, after.as_ref(), size);
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.clone());
            if linked {
                page = self.in_order(map, reverse, page).await?;
            }
            for page in page.chunks(drain::UNIT) {
                let pin = self
                    .gates
                    .pin(&map.toggle)
                    .await
                    .ok_or_else(|| Error::UnknownToggle(map.toggle.clone()))?;
                let phase = pin.snapshot().phase;
                let secondary = secondary(phase, reverse).ok_or_else(|| Error::NoSecondary {
                    toggle: map.toggle.clone(),
                    phase,
                })?;
                // Trap 28: as the marks are in this phase. What somebody else has repaired meanwhile has none any more.
                let keys: Vec<Key> = page.iter().map(|dirty| dirty.key.clone()).collect();
                let marks = self.ledger.marks(map, &keys).into_iter().flatten();
                // The primary's row is the older one: it would destroy the newer.
                let (stale, dirty): (Vec<Dirty>, Vec<Dirty>) =
                    marks.partition(|mark| !mark.is_stale(secondary));
                report.leave(map, phase, &stale);
                let unit = Unit {
                    table: map,
                    dirty,
                    secondary,
                };
                report.add(map, self.repair_unit(unit).await);
            }
        }
    }

    /// As [`lineage`] has it. The phase may change afterwards, and the order then helps nobody, which costs time and no more.
    async fn in_order(
        &self,
        map: &TableMap,
        reverse: bool,
        page: Vec<Dirty>,
    ) -> Result<Vec<Dirty>, Error> {
        let snapshot = self.gates.effective(&map.toggle);
        let Some(to) = snapshot.and_then(|snapshot| secondary(snapshot.phase, reverse)) else {
            return Ok(page);
        };
        let (from, to) = (self.stores.on(to.other()), self.stores.on(to));
        let keys: Vec<Key> = page.iter().map(|dirty| dirty.key.clone()).collect();
        let order = lineage::order(&**from, &**to, map, &keys).await;
        Ok(match order.during("repairing", map)? {
            Some(order) => order.into_iter().map(|at| page[at].clone()).collect(),
            None => page,
        })
    }

    /// The mapped table of a dirty key; `None` when the file no longer maps it.
    fn table_of(&self, dirty: &Dirty) -> Option<&TableMap> {
        self.mapping
            .tables
            .iter()
            .find(|table| table.old.name.to_string() == dirty.table)
    }
}

/// The store that dirty keys are repaired in; with `reverse` also in the phases in which the old one is not written.
fn secondary(phase: Phase, reverse: bool) -> Option<Side> {
    let way_back = reverse && Direction::Reverse.role(phase).is_ok();
    phase.secondary().or(way_back.then_some(Side::Old))
}
