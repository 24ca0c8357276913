//! What a guard answers: a proof that carries the move, or a refusal that says why not.

use std::fmt;

use crate::{Epoch, Evidence, Move, Unmet, guard::unmet};

/// That a move may be made. Only [`crate::guard`] and a written reason make one, and [`crate::Gate::flip`] uses it up.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a proof does nothing until a gate is flipped with it"]
pub struct Proof {
    step: Move,
    /// The epoch whose facts were weighed; `None` for an override that weighed none.
    epoch: Option<Epoch>,
    basis: Basis,
}

/// What a proof rests on; fit for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Every condition of the guard held.
    Guard,
    /// An operator said so.
    Override {
        /// Why, in the operator's words.
        reason: Reason,
        /// The conditions that did not hold, as far as the guard was asked.
        unmet: Vec<Unmet>,
    },
}

impl Proof {
    pub(crate) fn granted(step: Move, epoch: Epoch) -> Proof {
        Proof {
            step,
            epoch: Some(epoch),
            basis: Basis::Guard,
        }
    }

    /// An operator's word instead of a guard's. Who has a [`Refusal`] at hand should use [`Refusal::overridden`], which records
    /// what was overridden.
    pub fn overridden(step: Move, reason: Reason) -> Proof {
        Proof {
            step,
            epoch: None,
            basis: Basis::Override {
                reason,
                unmet: Vec::new(),
            },
        }
    }

    /// The move.
    #[must_use]
    pub fn step(&self) -> Move {
        self.step
    }

    /// The epoch it is bound to: the gate refuses it in any other.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// What it rests on.
    #[must_use]
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Weighs the move again with facts gathered inside the barrier: a key may have become dirty since the proof
    /// was given. What an operator overrode stays overridden.
    ///
    /// # Errors
    /// A [`Refusal`] as [`crate::guard`] gives it.
    pub fn still_holds(&self, evidence: &Evidence) -> Result<(), Refusal> {
        match self.basis {
            Basis::Override { .. } => Ok(()),
            Basis::Guard => match unmet(self.step, evidence) {
                unmet if unmet.is_empty() => Ok(()),
                unmet => Err(Refusal::new(self.step, evidence.current.epoch, unmet)),
            },
        }
    }
}

/// That a move may not be made, with every condition that fails. `Display` gives them in one line, each with its command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    step: Move,
    epoch: Epoch,
    unmet: Vec<Unmet>,
}

impl Refusal {
    pub(crate) fn new(step: Move, epoch: Epoch, unmet: Vec<Unmet>) -> Refusal {
        Refusal { step, epoch, unmet }
    }

    /// The move that was asked for.
    #[must_use]
    pub fn step(&self) -> Move {
        self.step
    }

    /// The conditions that fail; never empty.
    #[must_use]
    pub fn unmet(&self) -> &[Unmet] {
        &self.unmet
    }

    /// Goes on all the same, for a written reason; the proof remembers what it overrode.
    pub fn overridden(self, reason: Reason) -> Proof {
        Proof {
            step: self.step,
            epoch: Some(self.epoch),
            basis: Basis::Override {
                reason,
                unmet: self.unmet,
            },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is refused", self.step)?;
        for (index, unmet) in self.unmet.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{unmet} (`{}`)", unmet.command())?;
        }
        Ok(())
    }
}

/// Why an operator overrides a guard; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// A reason with this text, trimmed.
    ///
    /// # Errors
    /// [`EmptyReason`] when nothing but white space is left.
    pub fn new(text: &str) -> Result<Reason, EmptyReason> {
        match text.trim() {
            "" => Err(EmptyReason),
            text => Ok(Reason(text.to_owned())),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An override without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an override needs a reason: --because \"why this is safe here\"")]
pub struct EmptyReason;
