//! Which phase may follow which (DESIGN 2).

use std::fmt;

use crossfade_phase::Phase;

/// A legal move of a toggle from one phase to another. It cannot be built from any other pair.
///
/// Legal are: one step forward; 4 → 6; back from 2, 3 and 4 to any earlier phase at once (the old store is the primary
/// in all of them, so nothing has to be undone on the way); from 5 on one step back at a time, because each of those
/// steps has a guard of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Move {
    from: Phase,
    to: Phase,
}

impl Move {
    /// The move from `from` to `to`.
    ///
    /// # Errors
    /// [`IllegalMove`] when the phases are the same or the step is not one that DESIGN 2 allows; it names the steps that are.
    pub fn new(from: Phase, to: Phase) -> Result<Move, IllegalMove> {
        if from == to {
            Err(IllegalMove::NoMove(from))
        } else if is_legal(from, to) {
            Ok(Move { from, to })
        } else {
            Err(IllegalMove::TooFar { from, to })
        }
    }

    /// Every legal move from `from`, the forward ones first.
    pub fn all_from(from: Phase) -> impl Iterator<Item = Move> {
        let forward = Phase::ALL.into_iter().filter(move |to| *to > from);
        let back = Phase::ALL.into_iter().rev().filter(move |to| *to < from);
        forward
            .chain(back)
            .filter_map(move |to| Move::new(from, to).ok())
    }

    /// The phase it leaves.
    #[must_use]
    pub fn from(self) -> Phase {
        self.from
    }

    /// The phase it leads to.
    #[must_use]
    pub fn to(self) -> Phase {
        self.to
    }

    /// Whether it leads to a later phase.
    #[must_use]
    pub fn is_forward(self) -> bool {
        self.to > self.from
    }

    /// Whether another store's answer decides after it.
    #[must_use]
    pub fn changes_primary(self) -> bool {
        self.from.primary() != self.to.primary()
    }

    /// Whether no transaction of the phase it leaves may run beside one of the phase it leads to (trap 37): the primary
    /// changes, or the old store stops or begins to be read (7 ↔ 8).
    #[must_use]
    pub fn needs_barrier(self) -> bool {
        self.changes_primary() || (self.from == Phase::NewOnly) != (self.to == Phase::NewOnly)
    }

    /// Whether it is one of the moves back from 2, 3 and 4 that DESIGN 2 calls free: no guard, and no wait for a flip that
    /// is not effective yet. The old store was the primary all along and has every write.
    #[must_use]
    pub fn is_free(self) -> bool {
        self.to < self.from && self.from.primary() == crossfade_phase::Side::Old
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", Named(self.from), Named(self.to))
    }
}

/// A pair of phases that is not a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IllegalMove {
    /// Both phases are the same: there is nothing to do.
    #[error("already in phase {}", Named(*.0))]
    NoMove(Phase),
    /// The step is not one that DESIGN 2 allows (trap 39: a file edited by hand skips phases).
    #[error("no step leads from {} to {}: {}", Named(*.from), Named(*.to), Way(*.from, *.to))]
    TooFar {
        /// The phase the toggle is in.
        from: Phase,
        /// The phase that was asked for.
        to: Phase,
    },
}

impl IllegalMove {
    /// The phases that the toggle may move to from where it is, the forward ones first.
    #[must_use]
    pub fn legal(&self) -> Vec<Phase> {
        let from = match self {
            IllegalMove::NoMove(phase) => *phase,
            IllegalMove::TooFar { from, .. } => *from,
        };
        Move::all_from(from).map(Move::to).collect()
    }

    /// The phases to pass, in order, on the way to the one that was asked for; it is the last. Empty when it is the present one.
    #[must_use]
    pub fn path(&self) -> Vec<Phase> {
        match self {
            IllegalMove::NoMove(_) => Vec::new(),
            IllegalMove::TooFar { from, to } => path(*from, *to),
        }
    }

    /// The first step of [`IllegalMove::path`].
    #[must_use]
    pub fn next(&self) -> Option<Phase> {
        self.path().first().copied()
    }
}

fn is_legal(from: Phase, to: Phase) -> bool {
    let (from_number, to_number) = (from.number(), to.number());
    let one_step = from_number.abs_diff(to_number) == 1;
    let past_new_primary = (from, to) == (Phase::DualRead, Phase::NewWrites);
    let free_back = to_number < from_number && from <= Phase::DualRead;
    one_step || past_new_primary || free_back
}

/// One step at a time, except that the free way back goes straight to its end. Phase 5 is never left out: who skips it
/// (4 → 6) gives up the old store as a way back and has to say so.
fn path(from: Phase, to: Phase) -> Vec<Phase> {
    let mut path = Vec::new();
    let mut at = from;
    while at != to {
        at = match (at < to, is_legal(at, to) && to < at) {
            (_, true) => to,
            (true, false) => neighbour(at, 1),
            (false, false) => neighbour(at, -1),
        };
        path.push(at);
    }
    path
}

/// The phase one step on; at either end the phase itself.
fn neighbour(phase: Phase, step: i8) -> Phase {
    let number = phase.number().saturating_add_signed(step);
    Phase::from_number(number).unwrap_or(phase)
}

/// A phase as messages show it: name and number.
pub(crate) struct Named(pub(crate) Phase);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.name(), self.0.number())
    }
}

struct Way(Phase, Phase);

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = path(self.0, self.1);
        if let Some(next) = path.first() {
            write!(f, "the next step is {}", Named(*next))?;
        }
        write!(f, ", the way is {}", self.0.number())?;
        for phase in path {
            write!(f, " → {}", phase.number())?;
        }
        Ok(())
    }
}
