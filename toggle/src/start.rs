//! From a wish to a move: what the file asks for against what is durable.

use std::fmt;

use crossfade_phase::{Phase, Side};

use crate::{IllegalMove, Move, moves::Named};

/// What follows from wanting a phase while another is effective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// The toggle is where it should be.
    Stay(Phase),
    /// A move to be tried: its guard decides.
    Try(Move),
    /// No single step leads there (trap 39); the toggle stays and the message names the next step.
    Refused(IllegalMove),
}

impl Plan {
    /// The plan for a toggle that is in `effective` and wanted in `wanted`.
    #[must_use]
    pub fn new(effective: Phase, wanted: Phase) -> Plan {
        match Move::new(effective, wanted) {
            Ok(step) => Plan::Try(step),
            Err(IllegalMove::NoMove(phase)) => Plan::Stay(phase),
            Err(illegal @ IllegalMove::TooFar { .. }) => Plan::Refused(illegal),
        }
    }
}

/// How a toggle starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The durable phase is the wanted one.
    Same(Phase),
    /// The first start ever, in a phase that needs no proof (1 or 2), and what is left of the wish.
    First {
        /// The phase it starts in.
        phase: Phase,
        /// How it goes on from there.
        plan: Plan,
    },
    /// The file wants another phase than the durable one. The durable one is effective, the file is a wish (trap 40).
    Differs {
        /// The durable phase.
        durable: Phase,
        /// How it goes on from there.
        plan: Plan,
    },
    /// No phase is recorded, yet the file wants one in which the new store is the primary. Either the recorded state is lost, and then the old
    /// store lacks the latest writes, or the file is ahead of a first start. Neither is guessed: the toggle must not serve (trap 40).
    StateMissing {
        /// The phase in the file.
        wanted: Phase,
    },
}

/// How a toggle starts whose recorded phase is `durable` (`None` when there is no record of the toggle) and whose file says
/// `wanted`.
#[must_use]
pub fn start(durable: Option<Phase>, wanted: Phase) -> Start {
    match durable {
        Some(durable) if durable == wanted => Start::Same(durable),
        Some(durable) => Start::Differs {
            durable,
            plan: Plan::new(durable, wanted),
        },
        None if wanted.primary() == Side::New => Start::StateMissing { wanted },
        None => {
            let phase = wanted.min(Phase::UseOld);
            Start::First {
                phase,
                plan: Plan::new(phase, wanted),
            }
        }
    }
}

impl Start {
    /// The phase to serve in; `None` when the toggle must not serve.
    #[must_use]
    pub fn phase(self) -> Option<Phase> {
        match self {
            Start::Same(phase) | Start::First { phase, .. } => Some(phase),
            Start::Differs { durable, .. } => Some(durable),
            Start::StateMissing { .. } => None,
        }
    }

    /// How it goes on from there; `None` when the toggle must not serve.
    #[must_use]
    pub fn plan(self) -> Option<Plan> {
        match self {
            Start::Same(phase) => Some(Plan::Stay(phase)),
            Start::First { plan, .. } | Start::Differs { plan, .. } => Some(plan),
            Start::StateMissing { .. } => None,
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Same(phase) => write!(f, "goes on in phase {}", Named(*phase)),
            Start::First { phase, plan } => {
                write!(f, "starts for the first time, in phase {}", Named(*phase))?;
                wish(f, *plan)
            }
            Start::Differs { durable, plan } => {
                write!(
                    f,
                    "goes on in phase {}, the last effective one",
                    Named(*durable)
                )?;
                wish(f, *plan)
            }
            Start::StateMissing { wanted } => write!(
                f,
                "does not start: the file says {} but no phase is recorded in state_dir; bring the recorded state back, or, if this is \
                 the first start, set the phase to use-old and move step by step",
                Named(*wanted)
            ),
        }
    }
}

fn wish(f: &mut fmt::Formatter<'_>, plan: Plan) -> fmt::Result {
    match plan {
        Plan::Stay(_) => Ok(()),
        Plan::Try(step) => write!(
            f,
            "; the file wants {}, which its guard will decide",
            Named(step.to())
        ),
        Plan::Refused(illegal) => write!(f, "; the file's phase is refused: {illegal}"),
    }
}
