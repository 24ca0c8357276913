//! Which way a job works, and what that means in a phase.

use std::fmt;

use crossfade_phase::{Phase, Side};

/// Which way rows go: forward from old to new, reverse from new to old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the old store to the new.
    Forward,
    /// From the new store to the old: the way back.
    Reverse,
}

impl Direction {
    /// The store that rows are read from.
    #[must_use]
    pub fn from(self) -> Side {
        match self {
            Direction::Forward => Side::Old,
            Direction::Reverse => Side::New,
        }
    }

    /// The store that rows are written to.
    #[must_use]
    pub fn to(self) -> Side {
        self.from().other()
    }

    /// The direction that writes to the store of `side`.
    #[must_use]
    pub fn into_store(side: Side) -> Direction {
        match side {
            Side::New => Direction::Forward,
            Side::Old => Direction::Reverse,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from(), self.to())
    }
}

/// Whose word counts while a job copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Rows come from the primary: it is right, and what it no longer has must go.
    FromPrimary,
    /// Rows go into the primary: it is right, and only what it never had may come in (phases 5 to 7, forward).
    IntoPrimary,
}

/// A direction that makes no sense in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// The target is not written in this phase.
    #[error(
        "in phase {0} nothing may be written into the new store: move the toggle to dual-write first"
    )]
    TooEarly(Phase),
    /// The old store is still the primary.
    #[error(
        "in phase {0} the old store is the primary and has every write: the reverse direction is for phases new-primary and later"
    )]
    NothingToReverse(Phase),
    /// The old store may be switched off.
    #[error(
        "in phase {0} the old store is not contacted any more: only the reverse direction is left"
    )]
    OldGone(Phase),
}

impl Direction {
    /// The role of a job of this direction in `phase`.
    ///
    /// # Errors
    /// [`NotNow`] in the phases in which it could only do harm.
    pub fn role(self, phase: Phase) -> Result<Role, NotNow> {
        match (self, phase) {
            (Direction::Forward, Phase::DeployNew | Phase::UseOld) => Err(NotNow::TooEarly(phase)),
            (Direction::Forward, Phase::DualWrite | Phase::DualRead) => Ok(Role::FromPrimary),
            (Direction::Forward, Phase::NewPrimary | Phase::NewWrites | Phase::Backfill) => {
                Ok(Role::IntoPrimary)
            }
            (Direction::Forward, Phase::NewOnly) => Err(NotNow::OldGone(phase)),
            (
                Direction::Reverse,
                Phase::DeployNew | Phase::UseOld | Phase::DualWrite | Phase::DualRead,
            ) => Err(NotNow::NothingToReverse(phase)),
            (
                Direction::Reverse,
                Phase::NewPrimary | Phase::NewWrites | Phase::Backfill | Phase::NewOnly,
            ) => Ok(Role::FromPrimary),
        }
    }
}
