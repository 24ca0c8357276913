//! What each proxy says of itself, several times a second: its sign of life, and its answer to a flip.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crossfade_journal::Backlog;
use crossfade_phase::{DirtyKeys, Phase, Side};
use crossfade_store::OwnTotal;
use crossfade_toggle::{Epoch, Snapshot};
use serde::{Deserialize, Serialize};

/// What names of these entries begin with; behind it stands the id.
pub(super) const ROW: &str = "proxy/";

/// The entry's body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Which run of the proxy says this.
    pub(crate) life: u64,
    /// The epoch that it has published, and its phase by number.
    pub(crate) epoch: u64,
    pub(crate) phase: u8,
    /// The oldest epoch that a transaction of it may be in, and its phase by number.
    pub(crate) oldest: u64,
    pub(crate) oldest_phase: u8,
    /// The flip that it knows to be called.
    pub(crate) heard: Option<i64>,
    /// The flip whose barrier it has closed and drained. What the journal holds was counted after that.
    pub(crate) drained: Option<i64>,
    /// Dirty keys of the toggle in its journal.
    pub(crate) dirty: u64,
    /// As many, by the stores that they are stale in: the old one only, the new one only, both.
    #[serde(default)]
    pub(crate) stale: Option<[u64; 3]>,
    /// Intents there that are open, or not confirmed.
    pub(crate) open: u64,
    /// It does not know yet what a process that is gone may have in the primary.
    #[serde(default)]
    pub(crate) unsettled: bool,
    /// What comparing reads has shown it.
    pub(crate) compared: Option<Compared>,
    /// Rows that it has changed in each table, in the old store and in the new one: begun, ended, and how often nobody knew (docs/decision/23).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) changes: BTreeMap<String, [[u64; 3]; 2]>,
    /// It has ended, and nothing runs in it.
    pub(crate) ended: bool,
    /// Why it cannot do what the record says.
    pub(crate) trouble: Option<String>,
}

/// What comparing reads in phase 4 has shown one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub(crate) mismatches: u64,
    pub(crate) watched_ms: u64,
}

/// A row as it was read, by this process's own clock.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) row: Row,
    pub(super) serial: i64,
    /// When it was first seen to be as it is: the other has given a sign of life then, or before.
    pub(crate) since: Instant,
}

impl Heard {
    /// The number of what was heard; the next has the next.
    pub(crate) fn serial(&self) -> i64 {
        self.serial
    }

    /// For how long nothing was heard.
    pub(crate) fn silent_for(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Row {
    /// Says what a journal holds of the toggle.
    pub(super) fn with(self, backlog: &Backlog) -> Row {
        let DirtyKeys { old, new, both } = backlog.stale;
        Row {
            dirty: backlog.dirty as u64,
            stale: Some([old, new, both]),
            open: (backlog.open + backlog.unconfirmed) as u64,
            ..self
        }
    }

    /// Its dirty keys, by the stores that they are stale in. One that does not say may mean either.
    pub(crate) fn stale(&self) -> DirtyKeys {
        let [old, new, both] = self.stale.unwrap_or([self.dirty, self.dirty, 0]);
        DirtyKeys { old, new, both }
    }

    /// What it has changed in a table of a store.
    pub(crate) fn changes(&self, table: &str, side: Side) -> OwnTotal {
        let [old, new] = self.changes.get(table).copied().unwrap_or_default();
        let [begun, ended, unsure] = match side {
            Side::Old => old,
            Side::New => new,
        };
        OwnTotal {
            begun,
            ended,
            unsure,
        }
    }

    /// The oldest that may run there.
    pub(super) fn oldest(&self) -> Snapshot {
        Snapshot {
            epoch: Epoch::new(self.oldest),
            phase: Phase::from_number(self.oldest_phase).unwrap_or(Phase::DeployNew),
        }
    }
}
