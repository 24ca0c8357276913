//! When two rows of one key count as different.

use std::fmt;

use bytes::Bytes;
use crossfade_phase::{Phase, Side};
use crossfade_store::{Key, Row, TableMap};

use super::version::is_older;
use crate::{Direction, NotNow, Standing, display::show_key};

/// What two stores owe each other in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Forward in 2 to 4: both have the same rows, and the old is right. In 2 this is a look without consequences.
    Old {
        /// Whether the new store receives every write, so that the finding holds.
        dual: bool,
    },
    /// Forward in 5 to 7: the new store has every row that the old has, unless it deleted it, and none that is older than the old's. What it has
    /// beyond that is its own affair, and the reverse verify's.
    Covered {
        /// Whether a row that only the old has is one that was never copied, and one that is older in the new one that lost a write. Not so once the table has been
        /// complete in 6 or 7: there it was deleted since, and perhaps inserted again (trap 27).
        gaps_show: bool,
    },
    /// Reverse: the old has the new's rows.
    Reverse {
        /// Whether the table is complete, or was when the new store began to be written alone. If not, what only the old has is not copied yet, and deleting it would lose it.
        complete: bool,
    },
}

impl Scope {
    /// What holds in a phase, by the table's standing forwards.
    pub(crate) fn of(
        direction: Direction,
        phase: Phase,
        standing: Standing,
    ) -> Result<Scope, NotNow> {
        let complete = standing.is_complete();
        let deletes = complete || standing.deleted_unseen;
        match (direction, phase) {
            (Direction::Forward, Phase::DeployNew) => Err(NotNow::TooEarly(phase)),
            (Direction::Forward, Phase::UseOld) => Ok(Scope::Old { dual: false }),
            (Direction::Forward, Phase::DualWrite | Phase::DualRead) => {
                Ok(Scope::Old { dual: true })
            }
            (Direction::Forward, Phase::NewPrimary) => Ok(Scope::Covered {
                gaps_show: !standing.deleted_unseen,
            }),
            (Direction::Forward, Phase::NewWrites | Phase::Backfill) => Ok(Scope::Covered {
                gaps_show: !deletes,
            }),
            (Direction::Forward, Phase::NewOnly) => Err(NotNow::OldGone(phase)),
            (Direction::Reverse, phase) => {
                let scope = Scope::Reverse { complete: deletes };
                direction.role(phase).map(|_| scope)
            }
        }
    }

    /// The store that is right.
    pub(crate) fn truth(self) -> Side {
        match self {
            Scope::Old { .. } => Side::Old,
            Scope::Covered { .. } | Scope::Reverse { .. } => Side::New,
        }
    }

    /// The store whose rows have to be found again in the other.
    pub(super) fn source(self) -> Side {
        match self {
            Scope::Old { .. } | Scope::Covered { .. } => Side::Old,
            Scope::Reverse { .. } => Side::New,
        }
    }

    /// The store from whose rows a difference is repaired; `None` where only absent rows may be filled in.
    pub(super) fn repairs_from(self) -> Option<Side> {
        match self {
            Scope::Old { .. } => Some(Side::Old),
            Scope::Reverse { .. } => Some(Side::New),
            Scope::Covered { .. } => None,
        }
    }

    /// Whether the finding says anything about later.
    pub(super) fn is_recorded(self) -> bool {
        self != Scope::Old { dual: false }
    }

    /// Whether a dirty key means that the row is not where it should be. From 5 on, forward, it means that the old row does not count.
    pub(super) fn counts_pending(self) -> bool {
        matches!(self, Scope::Old { .. } | Scope::Reverse { .. })
    }

    /// What is wrong with a pair of comparable rows; `None` when nothing is.
    pub(super) fn judge(
        self,
        table: &TableMap,
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> Option<Verdict> {
        let ahead = matches!(self, Scope::Covered { .. });
        if self == (Scope::Covered { gaps_show: false }) {
            return None;
        }
        let (old, new) = match (old, new) {
            (None, None) => return None,
            (Some(_), None) => {
                let fine = self == (Scope::Reverse { complete: false });
                return (!fine).then_some(Verdict::Missing(Side::New));
            }
            (None, Some(_)) => return (!ahead).then_some(Verdict::Missing(Side::Old)),
            (Some(old), Some(new)) => (old, new),
        };
        if old == new
            || (ahead
                && !table
                    .version
                    .is_some_and(|at| is_older(&table.columns[at].new, new, old, at)))
        {
            return None;
        }
        let differs = |at: &usize| old.0[*at] != new.0[*at];
        Some(Verdict::Columns(
            (0..table.columns.len()).filter(differs).collect(),
        ))
    }
}

/// How two rows differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This store has none.
    Missing(Side),
    /// In these columns.
    Columns(Vec<usize>),
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its key, in canonical text.
    pub key: Key,
    /// The key for the eye.
    pub shown: String,
    /// The store that has no such row; `None` when both have one.
    pub missing_on: Option<Side>,
    /// Old names of the columns that differ; empty when the row is missing.
    pub columns: Vec<String>,
    /// Their values, in the order of `columns`, when they were asked for.
    pub values: Vec<Values>,
}

/// A value in both stores, in canonical text of the new column's type; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// In the old store.
    pub old: Option<Bytes>,
    /// In the new store.
    pub new: Option<Bytes>,
}

impl Difference {
    pub(super) fn new(
        table: &TableMap,
        key: Key,
        verdict: Verdict,
        rows: (Option<&Row>, Option<&Row>),
        values: bool,
    ) -> Difference {
        let shown = show_key(table, &key);
        match verdict {
            Verdict::Missing(side) => Difference {
                key,
                shown,
                missing_on: Some(side),
                columns: Vec::new(),
                values: Vec::new(),
            },
            Verdict::Columns(at) => {
                let value = |row: Option<&Row>, at: usize| row.and_then(|row| row.0[at].clone());
                let both = |&at: &usize| Values {
                    old: value(rows.0, at),
                    new: value(rows.1, at),
                };
                let values = if values {
                    at.iter().map(both).collect()
                } else {
                    Vec::new()
                };
                let columns = at
                    .iter()
                    .map(|&at| table.columns[at].old.name.clone())
                    .collect();
                Difference {
                    key,
                    shown,
                    missing_on: None,
                    columns,
                    values,
                }
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.shown)?;
        match self.missing_on {
            Some(side) => write!(f, "missing in the {side} store"),
            None => write!(f, "differs in {}", self.columns.join(", ")),
        }
    }
}
