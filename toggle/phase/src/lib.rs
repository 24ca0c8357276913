//! The words that every other crate shares: the eight phases and the two sides of a migration.

use std::{fmt, str::FromStr};

/// A phase of a toggle (DESIGN 2). The discriminant is its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// 1: old only; the new store is not contacted.
    DeployNew = 1,
    /// 2: old only; the new store is connected and checked.
    UseOld = 2,
    /// 3: writes go to the old store and, when they succeed, to the new one.
    DualWrite = 3,
    /// 4: as 3, and reads are compared.
    DualRead = 4,
    /// 5: writes go to the new store and, best effort, to the old one.
    NewPrimary = 5,
    /// 6: writes go to the new store only.
    NewWrites = 6,
    /// 7: as 6, while the reconciler copies what only the old store has.
    Backfill = 7,
    /// 8: new only; the old store is not contacted.
    NewOnly = 8,
}

/// One of the two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The store the application comes from.
    Old,
    /// The store the application moves to.
    New,
}

impl Side {
    /// The other store.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Old => Side::New,
            Side::New => Side::Old,
        }
    }
}

/// Dirty keys, by the stores whose row is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirtyKeys {
    /// Stale in the old store only.
    pub old: u64,
    /// Stale in the new store only.
    pub new: u64,
    /// Stale in either: a move of the primary was forced, and the row was written, or may have been, before and after it.
    pub both: u64,
}

impl DirtyKeys {
    /// All of them.
    #[must_use]
    pub fn all(self) -> u64 {
        self.old + self.new + self.both
    }

    /// Those that are stale in the store of `side` and not in the other.
    #[must_use]
    pub fn only(self, side: Side) -> u64 {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }

    /// Those that are stale in the store of `side`, and perhaps in the other.
    #[must_use]
    pub fn stale(self, side: Side) -> u64 {
        self.only(side) + self.both
    }
}

impl std::ops::AddAssign for DirtyKeys {
    fn add_assign(&mut self, more: DirtyKeys) {
        self.old += more.old;
        self.new += more.new;
        self.both += more.both;
    }
}

impl std::iter::Sum for DirtyKeys {
    fn sum<I: Iterator<Item = DirtyKeys>>(all: I) -> DirtyKeys {
        let mut sum = DirtyKeys::default();
        all.for_each(|more| sum += more);
        sum
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Old => "old",
            Side::New => "new",
        })
    }
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Phase; 8] = [
        Phase::DeployNew,
        Phase::UseOld,
        Phase::DualWrite,
        Phase::DualRead,
        Phase::NewPrimary,
        Phase::NewWrites,
        Phase::Backfill,
        Phase::NewOnly,
    ];

    /// The phase's number, 1 to 8.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The phase with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Phase> {
        Phase::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The name in the configuration file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::DeployNew => "deploy-new",
            Phase::UseOld => "use-old",
            Phase::DualWrite => "dual-write",
            Phase::DualRead => "dual-read",
            Phase::NewPrimary => "new-primary",
            Phase::NewWrites => "new-writes",
            Phase::Backfill => "backfill",
            Phase::NewOnly => "new-only",
        }
    }

    /// The store whose answer decides.
    #[must_use]
    pub fn primary(self) -> Side {
        if self <= Phase::DualRead {
            Side::Old
        } else {
            Side::New
        }
    }

    /// The phase next to this one on the way to where the store of `side` is the primary; the same phase where it is.
    #[must_use]
    pub fn towards(self, side: Side) -> Phase {
        let number = match (side, self.primary()) {
            (Side::Old, Side::New) => self.number() - 1,
            (Side::New, Side::Old) => self.number() + 1,
            (Side::Old, Side::Old) | (Side::New, Side::New) => self.number(),
        };
        Phase::from_number(number).unwrap_or(self)
    }

    /// The store that receives images of the primary's writes, if any does.
    #[must_use]
    pub fn secondary(self) -> Option<Side> {
        match self {
            Phase::DualWrite | Phase::DualRead => Some(Side::New),
            Phase::NewPrimary => Some(Side::Old),
            Phase::DeployNew
            | Phase::UseOld
            | Phase::NewWrites
            | Phase::Backfill
            | Phase::NewOnly => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that is neither the name nor the number of a phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a phase; a phase is a number from 1 to 8 or one of deploy-new, use-old, dual-write, dual-read, new-primary, new-writes, backfill, new-only"
)]
pub struct UnknownPhase(pub String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Phase, UnknownPhase> {
        Phase::ALL
            .into_iter()
            .find(|phase| phase.name() == text)
            .or_else(|| text.parse().ok().and_then(Phase::from_number))
            .ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}
