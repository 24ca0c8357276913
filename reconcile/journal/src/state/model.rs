//! What the state files hold.

use crossfade_phase::Phase;
use serde::{Deserialize, Serialize};

use super::KeyText;

/// The effective phase of a toggle and how it came there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToggleState {
    /// The effective phase.
    #[serde(with = "phase_name")]
    pub phase: Phase,
    /// Epoch of the last move.
    pub epoch: u64,
    /// Moves, oldest first.
    pub history: Vec<PhaseChange>,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseChange {
    /// When, in Unix seconds. For display.
    pub at_unix_s: u64,
    /// Epoch that began with it.
    pub epoch: u64,
    /// The phase before; `None` for the first.
    #[serde(with = "optional_phase_name")]
    pub from: Option<Phase>,
    /// The phase after.
    #[serde(with = "phase_name")]
    pub to: Phase,
    /// Who or what allowed it.
    pub why: Why,
}

/// What allowed a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The toggle's first start.
    First,
    /// The guards agreed; what they had checked.
    Guards(String),
    /// An operator overrode a guard.
    Override {
        /// The operator's reason.
        because: String,
        /// What the guard had said.
        refused: String,
    },
    /// Another proxy of the same migration moved.
    Followed(String),
}

/// What is known of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TableState {
    /// Epoch in which a backfill ran to its end, or a verify found that there is nothing for one to copy.
    pub backfilled_at_epoch: Option<u64>,
    /// The last verify that ran to its end.
    pub verified: Option<Verified>,
    /// Why writes may have passed by the new store since it was last verified; `None` when none did (trap 38).
    pub bypassed: Option<String>,
    /// How often that was noted: a verify that was under way at the last of them may have passed the rows that it is about, and does not take it back.
    pub bypasses: u64,
    /// Why it came into doubt since the last verify of it began, which that verify may not have seen: it stays bypassed when the verify ends.
    pub doubt: Option<String>,
    /// It was complete in a phase that does not write the old store: a row that only the old store has may be one that was deleted since (trap 27).
    pub deleted_unseen: bool,
}

impl TableState {
    /// Writes went round the target, or may have, and no verify that has begun before knows.
    pub fn bypass(&mut self, why: String) {
        self.bypassed = Some(why);
        self.bypasses += 1;
    }

    /// Whether nothing is known that the target lacks, or has beyond what it should: not bypassed, and no difference left by the last verify.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        let differ = |verified: &Verified| verified.left() > 0;
        self.bypassed.is_none() && !self.verified.as_ref().is_some_and(differ)
    }

    /// Whether every row is in the new store: backfilled, verified in or after that epoch with no difference, and not bypassed since.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.bypassed.is_none()
            && self.backfilled_at_epoch.is_some_and(|backfilled| {
                self.verified
                    .as_ref()
                    .is_some_and(|v| v.differences == 0 && v.at_epoch >= backfilled)
            })
    }
}

/// Outcome of a verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When it ended, in Unix seconds. For display.
    pub at_unix_s: u64,
    /// Epoch in which it ran.
    pub at_epoch: u64,
    /// Rows compared.
    pub rows: u64,
    /// Rows that differed, after a second look.
    pub differences: u64,
    /// How many of them the journal knew: they were to be repaired.
    #[serde(default)]
    pub pending: u64,
}

impl Verified {
    /// Differences that no key in the journal stood for: nothing repairs them by itself.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.differences.saturating_sub(self.pending)
    }
}

/// How far a backfill came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackfillCheckpoint {
    /// Epoch in which it began; one of another epoch does not go on (trap 28).
    pub epoch: u64,
    /// Rows copied so far.
    pub rows: u64,
    /// Ranges done, in the order in which the backfill keeps them.
    pub done: Vec<KeyBounds>,
}

/// The keys greater than `after` and not greater than `upto`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBounds {
    /// Exclusive lower end; `None` from the first key on.
    pub after: Option<KeyText>,
    /// Inclusive upper end; `None` to the last key.
    pub upto: Option<KeyText>,
}

/// A phase under the name it has in the configuration file.
mod phase_name {
    use super::Phase;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(phase: &Phase, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(phase.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Phase, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod optional_phase_name {
    use super::Phase;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        phase: &Option<Phase>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        phase.map(Phase::name).serialize(to)
    }

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<Phase>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let name = Option::<String>::deserialize(from)?;
        name.map(|name| name.parse().map_err(D::Error::custom))
            .transpose()
    }
}
