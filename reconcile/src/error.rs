//! What can go wrong with a job.

use crossfade_phase::Phase;
use crossfade_store::StoreError;

use crate::{direction::NotNow, job::EpochChanged, ledger::LedgerError};

/// Why a job did not reach its end. Whatever it did until then is durable, every job is idempotent, and the same command goes on
/// where it ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store failed.
    #[error(
        "{step} of table \"{table}\": {source}; what was done so far is kept and the same command goes on from there"
    )]
    Store {
        /// What was being done.
        step: &'static str,
        /// The table, by its old name.
        table: String,
        /// What the store said.
        source: Box<StoreError>,
    },
    /// The journal or the state files failed; nothing is written to a store without them.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The toggle moved.
    #[error(
        "the toggle went from phase {} (epoch {}) to {} (epoch {}) meanwhile; what was done so far is kept",
        .0.bound.phase, .0.bound.epoch, .0.now.phase, .0.now.epoch
    )]
    EpochChanged(EpochChanged),
    /// The direction makes no sense now.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// Sessions of the phase before are still open.
    #[error(
        "toggle \"{toggle}\" is not in phase {phase} everywhere yet: transactions of the phase before are still open; `crossfade status` lists them"
    )]
    NotEffective {
        /// The toggle.
        toggle: String,
        /// The phase that was published last.
        phase: Phase,
    },
    /// The target takes too few of the rows to go on.
    #[error(
        "table \"{table}\": the {side} store refused {refused} of {seen} rows, so the copy stopped; the last one: {reason}. Nothing was overwritten. If the rows point to a table that is not copied yet, copy that one first; otherwise mend the target table (`crossfade check` compares the two)"
    )]
    Refused {
        /// The table, by its old name.
        table: String,
        /// The store that refused.
        side: crossfade_phase::Side,
        /// How many rows it refused.
        refused: u64,
        /// How many rows were read so far.
        seen: u64,
        /// What it said of the last one.
        reason: String,
    },
    /// No store is the secondary.
    #[error(
        "toggle \"{toggle}\" is in phase {phase}, in which only one store is written: a dirty key says that the old store is stale for it, and stays for the way back (`crossfade repair --reverse` in the phases new-writes, backfill and new-only)"
    )]
    NoSecondary {
        /// The toggle.
        toggle: String,
        /// Its phase.
        phase: Phase,
    },
    /// No such toggle.
    #[error("there is no toggle \"{0}\" in the file")]
    UnknownToggle(String),
    /// No such table.
    #[error("there is no mapped table \"{0}\" in the file")]
    UnknownTable(String),
    /// A row without a key.
    #[error(
        "table \"{table}\": the {side} store gave a row whose key column is NULL; a key must be NOT NULL on both sides"
    )]
    NullKey {
        /// The table, by its old name.
        table: String,
        /// The store.
        side: crossfade_phase::Side,
    },
    /// A part of the job ended by a panic.
    #[error("a worker of the job ended unexpectedly; what was done so far is kept")]
    WorkerLost,
}

/// Adds to a store's error what was being done.
pub(crate) trait During<T> {
    fn during(self, step: &'static str, table: &crossfade_store::TableMap) -> Result<T, Error>;
}

impl<T> During<T> for Result<T, StoreError> {
    fn during(self, step: &'static str, table: &crossfade_store::TableMap) -> Result<T, Error> {
        self.map_err(|source| Error::Store {
            step,
            table: table.old.name.to_string(),
            source: Box::new(source),
        })
    }
}
