//! Phases, completeness and checkpoints: small, rarely written, each file replaced as a whole.
//!
//! The effective phase is what this file says; the configuration is a wish (trap 40).

mod file;
mod keys;
mod model;

use std::{collections::BTreeMap, path::Path, sync::Mutex};

use crossfade_phase::Phase;
use serde::{Deserialize, Serialize};

pub use keys::KeyText;
pub use model::{
    BackfillCheckpoint, KeyBounds, PhaseChange, TableState, ToggleState, Verified, Why,
};

use crate::{OpenError, StateError, shared::unix_now_s, sync::lock};
use file::StateFile;

/// Changes of phase kept for each toggle: years of them, and still a small file.
const HISTORY_KEPT: usize = 1000;

/// Phases, completeness and checkpoints of one `state_dir`, or of a process without one.
///
/// Each change is on the disk when the call returns; it blocks for two flushes. On an error nothing has changed, neither in memory nor,
/// unless the failure was the very last flush, on the disk.
#[derive(Debug)]
pub struct State {
    phases: Mutex<StateFile<Phases>>,
    checkpoints: Mutex<StateFile<Checkpoints>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Phases {
    /// Whether segments were ever written beside this file.
    journal_began: bool,
    /// Whether the journal is kept in the primary, and may have something there.
    #[serde(default)]
    journal_in_primary: bool,
    epoch: u64,
    toggles: BTreeMap<String, ToggleState>,
    tables: BTreeMap<String, TableState>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Checkpoints {
    backfill: BTreeMap<String, BackfillCheckpoint>,
}

impl State {
    /// For a process without a folder: it knows what it is told.
    pub(crate) fn in_memory() -> State {
        State {
            phases: Mutex::new(StateFile::in_memory()),
            checkpoints: Mutex::new(StateFile::in_memory()),
        }
    }

    pub(crate) fn open(dir: &Path, segments: bool) -> Result<State, OpenError> {
        let phases = StateFile::<Phases>::open(dir, "state.json", segments)?;
        if phases.value.journal_began && !segments {
            let path = dir.join("segment-*.log");
            let why = "state.json says that a journal was kept here";
            return Err(OpenError::Missing { path, why });
        }
        let checkpoints = StateFile::open(dir, "checkpoints.json", false)?;
        Ok(State {
            phases: Mutex::new(phases),
            checkpoints: Mutex::new(checkpoints),
        })
    }

    /// Notes that there are segments, so that their loss is noticed.
    pub(crate) fn journal_began(&self) -> Result<(), StateError> {
        let mut file = lock(&self.phases);
        if file.value.journal_began {
            return Ok(());
        }
        file.update(|phases| phases.journal_began = true)
    }

    /// Whether the journal's intents and dirty keys may be in the primary.
    pub(crate) fn is_in_primary(&self) -> bool {
        lock(&self.phases).value.journal_in_primary
    }

    /// Notes that the journal is kept in the primary from now on, or that it has nothing there any more.
    pub(crate) fn set_in_primary(&self, there: bool) -> Result<(), StateError> {
        let mut file = lock(&self.phases);
        if file.value.journal_in_primary == there && !file.value.journal_began {
            return Ok(());
        }
        file.update(|phases| {
            phases.journal_in_primary = there;
            phases.journal_began = false;
        })
    }

    /// The effective phase of a toggle; `None` for one that never had a phase.
    #[must_use]
    pub fn phase(&self, toggle: &str) -> Option<Phase> {
        lock(&self.phases)
            .value
            .toggles
            .get(toggle)
            .map(|toggle| toggle.phase)
    }

    /// The effective phase with its history, oldest first.
    #[must_use]
    pub fn toggle(&self, toggle: &str) -> Option<ToggleState> {
        lock(&self.phases).value.toggles.get(toggle).cloned()
    }

    /// All toggles that ever had a phase, those gone from the file included.
    #[must_use]
    pub fn toggles(&self) -> BTreeMap<String, ToggleState> {
        lock(&self.phases).value.toggles.clone()
    }

    /// Records a move and gives the new epoch.
    ///
    /// # Errors
    /// When the file cannot be written; then the phase is as it was.
    pub fn set_phase(&self, toggle: &str, to: Phase, why: Why) -> Result<u64, StateError> {
        let mut file = lock(&self.phases);
        file.update(|phases| {
            phases.epoch += 1;
            let from = phases.toggles.get(toggle).map(|toggle| toggle.phase);
            let change = PhaseChange {
                at_unix_s: unix_now_s().into(),
                epoch: phases.epoch,
                from,
                to,
                why,
            };
            let state = phases
                .toggles
                .entry(toggle.to_owned())
                .or_insert_with(|| ToggleState {
                    phase: to,
                    epoch: phases.epoch,
                    history: Vec::new(),
                });
            state.phase = to;
            state.epoch = phases.epoch;
            state.history.push(change);
            let surplus = state.history.len().saturating_sub(HISTORY_KEPT);
            state.history.drain(..surplus);
        })?;
        Ok(file.value.epoch)
    }

    /// Takes over where a toggle is, and how its tables stand, from the record that several proxies share. Writes nothing when that is known.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing has changed.
    pub fn follow(
        &self,
        toggle: &str,
        state: &ToggleState,
        tables: &BTreeMap<String, TableState>,
    ) -> Result<(), StateError> {
        let mut file = lock(&self.phases);
        let same =
            |(name, table): (&String, &TableState)| file.value.tables.get(name) == Some(table);
        if file.value.toggles.get(toggle) == Some(state) && tables.iter().all(same) {
            return Ok(());
        }
        file.update(|phases| {
            phases.epoch = phases.epoch.max(state.epoch);
            phases.toggles.insert(toggle.to_owned(), state.clone());
            phases.tables.extend(tables.clone());
        })
    }

    /// Takes a toggle and its history out, with nothing left to say about it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget_toggle(&self, toggle: &str) -> Result<(), StateError> {
        lock(&self.phases).update(|phases| drop(phases.toggles.remove(toggle)))
    }

    /// The last epoch given out; it never goes back.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        lock(&self.phases).value.epoch
    }

    /// Gives out an epoch that changes no phase (a new mapping).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn next_epoch(&self) -> Result<u64, StateError> {
        let mut file = lock(&self.phases);
        file.update(|phases| phases.epoch += 1)?;
        Ok(file.value.epoch)
    }

    /// Raises the epoch to one that another proxy gave out.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn raise_epoch(&self, to: u64) -> Result<(), StateError> {
        let mut file = lock(&self.phases);
        if file.value.epoch >= to {
            return Ok(());
        }
        file.update(|phases| phases.epoch = to)
    }

    /// What is known of a table of the old store, by its qualified name.
    #[must_use]
    pub fn table(&self, table: &str) -> TableState {
        lock(&self.phases)
            .value
            .tables
            .get(table)
            .cloned()
            .unwrap_or_default()
    }

    /// Changes what is known of a table, and gives the outcome.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing has changed.
    pub fn update_table(
        &self,
        table: &str,
        change: impl FnOnce(&mut TableState),
    ) -> Result<TableState, StateError> {
        let mut file = lock(&self.phases);
        file.update(|phases| change(phases.tables.entry(table.to_owned()).or_default()))?;
        Ok(file.value.tables.get(table).cloned().unwrap_or_default())
    }

    /// Changes what is known of tables, by their names, all or nothing; writes nothing when nothing changes.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing has changed.
    pub fn update_tables(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, TableState>),
    ) -> Result<(), StateError> {
        let mut file = lock(&self.phases);
        let mut tables = file.value.tables.clone();
        change(&mut tables);
        if tables == file.value.tables {
            return Ok(());
        }
        file.update(|phases| phases.tables = tables)
    }

    /// How far the backfill of a table came.
    #[must_use]
    pub fn backfill(&self, table: &str) -> Option<BackfillCheckpoint> {
        lock(&self.checkpoints).value.backfill.get(table).cloned()
    }

    /// Changes the checkpoint of a table's backfill, beginning with an empty one.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing has changed.
    pub fn update_backfill(
        &self,
        table: &str,
        change: impl FnOnce(&mut BackfillCheckpoint),
    ) -> Result<(), StateError> {
        let mut file = lock(&self.checkpoints);
        file.update(|all| change(all.backfill.entry(table.to_owned()).or_default()))
    }

    /// Forgets the checkpoint of a table's backfill.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn clear_backfill(&self, table: &str) -> Result<(), StateError> {
        lock(&self.checkpoints).update(|all| drop(all.backfill.remove(table)))
    }
}
