//! The facts that guards weigh. They are gathered elsewhere, by whoever can ask the stores and the journal.

use std::time::Duration;

use crossfade_phase::DirtyKeys;

use crate::Snapshot;

/// What is known of a toggle at one moment.
///
/// [`Evidence::unknown`] knows nothing, and what is not known never lets a move through: a fact that could not be gathered is a
/// reason to refuse, not to hope.
///
/// Under traffic facts age. For a move behind the barrier the caller gathers them a second time inside it, when nothing
/// runs any more, and asks [`crate::Proof::still_holds`].
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What [`crate::Gate::current`] said *before* the other facts were gathered. The proof is bound to its epoch: should the toggle be flipped
    /// meanwhile, the proof is void.
    pub current: Snapshot,
    /// Whether that epoch is effective ([`crate::Gate::is_effective`]): no transaction runs in an older one. Facts of an
    /// epoch that is not effective yet prove nothing, as the older transactions go on writing in the old way.
    pub effective: bool,
    /// Whether the new store answers.
    pub new_store: StoreAnswer,
    /// Whether the old store answers.
    pub old_store: StoreAnswer,
    /// Number of preflight findings that stand in the way of phase 3 and are not acknowledged in the file; `None` when the preflight
    /// did not run to its end.
    pub blocking_findings: Option<u64>,
    /// What the journal holds for this toggle; `None` when it could not be read. A toggle that needs no journal
    /// (two schemas of one database) has an empty one.
    pub journal: Option<JournalFacts>,
    /// Proxies of the same migration, by name, whose journals are not known: they have not been heard of for a while, or not yet.
    pub silent_proxies: Vec<String>,
    /// Those of them that have said nothing in their present run, where this is looked at: not even what their journals held at the last move of the primary is known.
    pub unheard_proxies: Vec<String>,
    /// Keys that a forgotten proxy had in its journal, and whose newer rows are in a store that the move leaves behind. Nobody knows any more which they are.
    pub lost_keys: u64,
    /// What the comparison of reads in phase 4 found; `None` when nothing was compared or counted.
    pub comparison: Option<Comparison>,
    /// Sequences and identities behind mapped columns, in the store that becomes the primary, that could not be moved past the
    /// other's (no counterpart, no right to set it), by name; `None` when they were not checked.
    pub immovable_sequences: Option<Vec<String>>,
    /// Reconciler jobs anywhere that are bound to this epoch or an older one and have not ended (trap 28), as `status` shows them; `None` when it is
    /// not known. A job that pins the gate chunk by chunk ([`crate::Slot::pin_bound`]) ends by itself and need not be listed.
    pub running_jobs: Option<Vec<String>>,
    /// Writes that reached the new store since the reverse verify ended. In phase 8 the old store learns of none of them and deletes
    /// leave no tombstone. `None` when nobody counted.
    pub writes_since_reverse_verify: Option<u64>,
    /// The toggle's tables, all of them. Empty means that nothing is known of them.
    pub tables: Vec<TableFacts>,
}

impl Evidence {
    /// Nothing is known beyond where the toggle is.
    #[must_use]
    pub fn unknown(current: Snapshot) -> Evidence {
        Evidence {
            current,
            effective: false,
            new_store: StoreAnswer::NotAsked,
            old_store: StoreAnswer::NotAsked,
            blocking_findings: None,
            journal: None,
            silent_proxies: Vec::new(),
            unheard_proxies: Vec::new(),
            lost_keys: 0,
            comparison: None,
            immovable_sequences: None,
            running_jobs: None,
            writes_since_reverse_verify: None,
            tables: Vec::new(),
        }
    }
}

/// Whether a store answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreAnswer {
    /// Nobody asked it.
    #[default]
    NotAsked,
    /// It answered.
    Answers,
    /// It did not, and this is what was heard instead.
    Silent(String),
}

/// What the journal holds for one toggle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalFacts {
    /// Keys whose rows are known or suspected to differ, by the store that is behind.
    pub dirty_keys: DirtyKeys,
    /// Open intents that no running transaction will close: outside the barrier those whose session is gone, inside it
    /// every open one.
    pub unresolved_intents: u64,
}

/// What the comparison of reads in phase 4 found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Mismatches within the last `window`.
    pub mismatches: u64,
    /// The configured window (`mismatch_window`).
    pub window: Duration,
    /// For how long phase 4 has been effective.
    pub watched: Duration,
}

/// What is known of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Its name as in the file, fit for `--table`.
    pub name: String,
    /// Whether a write may have reached the old store and not the new since the new was last verified: a spell in phase 1 or 2 (trap 38), the
    /// overlap until phase 3 was effective, a writer around the proxy (trap 41), or no verify ever.
    pub new_bypassed: bool,
    /// The same the other way round: a write may have reached the new store and not the old since the last reverse verify. A spell in 6, 7 or 8 counts.
    pub old_bypassed: bool,
    /// Whether the backfill has gone over the whole table.
    pub backfilled: bool,
    /// Differences that the last verify since the backfill left; `None` when there was none since.
    pub differences: Option<u64>,
    /// Differences that the last reverse verify left; `None` when there was none since phase 6 began.
    pub reverse_differences: Option<u64>,
    /// Differences that the last verify left, and that no key in a journal stood for: that the journals are empty says nothing of them.
    pub left: u64,
    /// The same of the last reverse verify.
    pub reverse_left: u64,
}

impl TableFacts {
    /// A table of which nothing good is known.
    pub fn unknown(name: impl Into<String>) -> TableFacts {
        TableFacts {
            name: name.into(),
            new_bypassed: true,
            old_bypassed: true,
            backfilled: false,
            differences: None,
            reverse_differences: None,
            left: 0,
            reverse_left: 0,
        }
    }

    /// Whether every row is in the new store, backfilled and verified since.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.backfilled && self.differences == Some(0)
    }
}
