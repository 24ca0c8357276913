//! Why a key is dirty, and in which store.

use std::fmt;

use crossfade_phase::Side;

/// Why a key became dirty. One byte in memory; its text is fit for a metric's label and a status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The proxy stopped between the two commits (trap 3).
    ProxyStopped = 1,
    /// An intent was dropped without a verdict (a cancelled session, trap 16).
    NoVerdict = 2,
    /// The secondary refused the write (trap 11).
    SecondaryFailed = 3,
    /// The secondary gave no answer in time.
    SecondaryTimedOut = 4,
    /// The secondary's commit was sent and its answer never came.
    OutcomeUnknown = 5,
    /// The circuit breaker was open: the secondary was not asked.
    BreakerOpen = 6,
    /// The secondary restarted before a commit that it had acknowledged was known to be flushed.
    SecondaryCrashed = 7,
    /// A compared read of phase 4 differed.
    ReadMismatch = 8,
    /// Verify found a difference.
    VerifyDifference = 9,
    /// A backfilled row was gone or changed when it was looked up again (traps 7 and 8).
    Backfill = 10,
    /// The write was made in a phase that does not write the other store.
    NotWritten = 11,
    /// An operator asked for it.
    Operator = 12,
    /// The primary's commit was sent and its answer never came.
    PrimaryUnknown = 13,
    /// The secondary's transaction carried several of the primary's, and the primary did not commit one of the others.
    Companion = 14,
    /// The primary rolled back, and the secondary, which has no transactions, could not.
    NotTakenBack = 15,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 15] = [
        Reason::ProxyStopped,
        Reason::NoVerdict,
        Reason::SecondaryFailed,
        Reason::SecondaryTimedOut,
        Reason::OutcomeUnknown,
        Reason::BreakerOpen,
        Reason::SecondaryCrashed,
        Reason::ReadMismatch,
        Reason::VerifyDifference,
        Reason::Backfill,
        Reason::NotWritten,
        Reason::Operator,
        Reason::PrimaryUnknown,
        Reason::Companion,
        Reason::NotTakenBack,
    ];

    /// Whether the primary's transaction may have been under way when the key was marked. A row that is read while it is says nothing: the key
    /// must not be cleaned on its account (trap 43).
    #[must_use]
    pub fn primary_may_be_open(self) -> bool {
        matches!(
            self,
            Reason::ProxyStopped | Reason::NoVerdict | Reason::PrimaryUnknown
        )
    }

    /// A short name without spaces.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Reason::ProxyStopped => "proxy-stopped",
            Reason::NoVerdict => "no-verdict",
            Reason::SecondaryFailed => "secondary-failed",
            Reason::SecondaryTimedOut => "secondary-timed-out",
            Reason::OutcomeUnknown => "outcome-unknown",
            Reason::BreakerOpen => "breaker-open",
            Reason::SecondaryCrashed => "secondary-crashed",
            Reason::ReadMismatch => "read-mismatch",
            Reason::VerifyDifference => "verify-difference",
            Reason::Backfill => "backfill",
            Reason::NotWritten => "not-written",
            Reason::Operator => "operator",
            Reason::PrimaryUnknown => "primary-unknown",
            Reason::Companion => "companion",
            Reason::NotTakenBack => "not-taken-back",
        }
    }

    pub(crate) fn byte(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.byte() == byte)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::ProxyStopped => "the proxy stopped between the two commits",
            Reason::NoVerdict => "the session ended before both commits were known",
            Reason::SecondaryFailed => "the secondary refused the write",
            Reason::SecondaryTimedOut => "the secondary gave no answer in time",
            Reason::OutcomeUnknown => "the secondary's commit was never answered",
            Reason::BreakerOpen => "the secondary was not asked: its circuit breaker was open",
            Reason::SecondaryCrashed => "the secondary restarted before the commit was flushed",
            Reason::ReadMismatch => "a compared read differed",
            Reason::VerifyDifference => "verify found a difference",
            Reason::Backfill => "the row changed while it was copied",
            Reason::NotWritten => "the phase did not write the other store",
            Reason::Operator => "an operator asked for it",
            Reason::PrimaryUnknown => "the primary's commit was never answered",
            Reason::Companion => {
                "it went to the secondary together with a transaction that the primary rolled back"
            }
            Reason::NotTakenBack => {
                "the primary rolled back, and the secondary has no transactions to roll back"
            }
        })
    }
}

/// The stores in which a dirty row is suspected to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stale(pub(crate) u8);

impl Stale {
    /// This store only.
    #[must_use]
    pub fn only(side: Side) -> Stale {
        match side {
            Side::Old => Stale(1),
            Side::New => Stale(2),
        }
    }

    /// Whether the row in the store of `side` is suspected.
    #[must_use]
    pub fn contains(self, side: Side) -> bool {
        self.0 & Stale::only(side).0 != 0
    }

    pub(crate) fn or(self, other: Stale) -> Stale {
        Stale(self.0 | other.0)
    }

    /// Reads the number that a row has for it.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Stale> {
        (1..=3).contains(&byte).then_some(Stale(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_byte_and_label() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(Reason::from_byte(reason.byte()), Some(reason));
            assert!(Reason::ALL[..i].iter().all(|r| r.label() != reason.label()));
        }
    }
}
