//! What a repair on demand did.

use std::fmt;

use crossfade_phase::Phase;
use crossfade_store::TableMap;

use super::drain::Outcome;
use crate::{Repaired, display::show_key, ledger::Dirty, repair::waits_for_another};

/// What became of the dirty keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Rows written to the secondary.
    pub upserted: u64,
    /// Rows deleted from the secondary.
    pub deleted: u64,
    /// Rows that were alike already.
    pub already_equal: u64,
    /// Keys that stay dirty. At most [`RepairReport::LISTED`] are listed.
    pub failed: Vec<FailedKey>,
    /// How many stay dirty.
    pub left_dirty: u64,
    /// How many of those another row keeps out, which has to come, to go, or to let go of a unique value first.
    pub waiting: u64,
    /// How many of them are stale only in the store that they would be repaired from.
    pub stale: Option<LeftStale>,
}

/// A key that could not be repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedKey {
    /// Its table, by its old name.
    pub table: String,
    /// Its key, for the eye.
    pub key: String,
    /// What the store said.
    pub error: String,
}

/// Keys whose row is the newer one in the store that is repaired: they are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftStale {
    /// How many.
    pub keys: u64,
    /// Their toggle.
    pub toggle: String,
    /// The phase on the way to where they are repaired by themselves.
    pub next: Phase,
}

impl fmt::Display for LeftStale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeftStale { keys, toggle, next } = self;
        write!(
            f,
            "{keys} stale in the primary, where a repair would take the newer row away: they are repaired by themselves once the other store is the primary again (`crossfade phase {toggle} {next}`)"
        )
    }
}

impl fmt::Display for FailedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FailedKey { table, key, error } = self;
        write!(
            f,
            "{table} {key}: {error}; mend the row or the table, then `crossfade repair --table {table}`"
        )
    }
}

impl RepairReport {
    /// Most failed keys that are listed.
    pub const LISTED: usize = 100;

    /// What both did together, this one first.
    pub(super) fn then(self, next: RepairReport) -> RepairReport {
        RepairReport {
            upserted: self.upserted + next.upserted,
            deleted: self.deleted + next.deleted,
            already_equal: self.already_equal + next.already_equal,
            ..next
        }
    }

    /// Keys that are stale only in the primary of `phase`.
    pub(super) fn leave(&mut self, table: &TableMap, phase: Phase, keys: &[Dirty]) {
        let count = keys.len() as u64;
        if count > 0 {
            self.left_dirty += count;
            self.stale = Some(LeftStale {
                keys: count + self.stale.take().map_or(0, |stale| stale.keys),
                toggle: table.toggle.clone(),
                next: phase.towards(phase.primary().other()),
            });
        }
    }

    pub(super) fn add(&mut self, table: &TableMap, outcomes: Vec<Outcome>) {
        for (key, outcome) in outcomes {
            match outcome {
                Ok(Repaired::Upserted) => self.upserted += 1,
                Ok(Repaired::Deleted) => self.deleted += 1,
                Ok(Repaired::AlreadyEqual) => self.already_equal += 1,
                Err(error) => {
                    self.left_dirty += 1;
                    self.waiting += u64::from(waits_for_another(&error));
                    if self.failed.len() < RepairReport::LISTED {
                        self.failed.push(FailedKey {
                            table: table.old.name.to_string(),
                            key: show_key(table, &key),
                            error: error.to_string(),
                        });
                    }
                }
            }
        }
    }
}
