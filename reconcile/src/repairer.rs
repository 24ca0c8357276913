//! The continuous drain of dirty keys inside `serve`, and the same on demand.

mod drain;
mod report;

use std::{collections::BTreeSet, time::Duration};

use crossfade_phase::Side;
use crossfade_store::{Key, TableId, TableMap};
use futures::future::join_all;
use tokio::time::sleep;

use crate::{Direction, Engine, Error, ledger::Dirty};
use drain::{Drained, Unit};
pub use report::{FailedKey, RepairReport};

/// Pause when nothing is dirty, and before the first retry of a store that does not answer.
const IDLE: Duration = Duration::from_millis(200);
/// Longest pause before a store that does not answer is asked again.
const STORE_DOWN_MAX: Duration = Duration::from_secs(5);
/// Dirty keys read from the journal in one go by [`Engine::repair`].
const PAGE: usize = 512;

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
    /// repaired stays dirty.
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

    async fn repair_table(
        &self,
        map: &TableMap,
        reverse: bool,
        report: &mut RepairReport,
    ) -> Result<(), Error> {
        let mut after: Option<Key> = None;
        loop {
            let page = self.ledger.page(map, after.as_ref(), PAGE);
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.clone());
            for dirty in page.chunks(drain::UNIT) {
                let pin = self
                    .gates
                    .pin(&map.toggle)
                    .await
                    .ok_or_else(|| Error::UnknownToggle(map.toggle.clone()))?;
                let phase = pin.snapshot().phase;
                let secondary = match (
                    phase.secondary(),
                    reverse && Direction::Reverse.role(phase).is_ok(),
                ) {
                    (Some(side), _) => side,
                    (None, true) => Side::Old,
                    (None, false) => {
                        return Err(Error::NoSecondary {
                            toggle: map.toggle.clone(),
                            phase,
                        });
                    }
                };
                let done = self
                    .repair_unit(Unit {
                        table: map,
                        dirty: dirty.to_vec(),
                        secondary,
                    })
                    .await;
                report.add(map, done);
            }
        }
    }

    /// The mapped table of a dirty key; `None` when the file no longer maps it.
    fn table_of(&self, dirty: &Dirty) -> Option<&TableMap> {
        self.mapping
            .tables
            .iter()
            .find(|table| table.old.name.to_string() == dirty.table)
    }
}
