//! What is known of a toggle beyond its gate: since when, why it does not move, what was compared.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use crossfade_phase::Phase;
use crossfade_toggle::{Comparison, Epoch, Reason};
use tokio::sync::Notify;

use super::lock;

/// How long an operator's override waits for the file to ask for the move.
const OVERRIDE_WAITS: Duration = Duration::from_secs(60);
/// Mismatches remembered; beyond that many their exact number does not matter.
const MISMATCHES_KEPT: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    inner: Mutex<Inner>,
    /// Asks the supervisor to look again now.
    pub(crate) look: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    effective: Option<(Epoch, Instant)>,
    mismatches: VecDeque<Instant>,
    refusal: Option<String>,
    waits_for: Option<String>,
    overriding: Option<(Override, Instant)>,
    pause: Option<Pause>,
}

/// What the last flip between two primaries cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Until the last transaction of the phase before had ended.
    pub(crate) drained_in: Duration,
    /// In all: the longest that a client waited.
    pub(crate) closed_for: Duration,
}

/// An operator's word that a move be made although its guard refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    /// The phase to move to.
    pub(crate) to: Phase,
    /// Why.
    pub(crate) reason: Reason,
}

impl Facts {
    /// Notes since when an epoch is effective; says whether that is news.
    pub(crate) fn effective(&self, epoch: Epoch) -> bool {
        let mut inner = lock(&self.inner);
        let news = inner.effective.is_none_or(|(known, _)| known < epoch);
        if news {
            inner.effective = Some((epoch, Instant::now()));
        }
        news
    }

    /// A compared read differed.
    pub(crate) fn mismatch(&self) {
        let mut inner = lock(&self.inner);
        if inner.mismatches.len() >= MISMATCHES_KEPT {
            inner.mismatches.pop_front();
        }
        inner.mismatches.push_back(Instant::now());
    }

    /// What comparing reads has shown in the last `window`, in an epoch; `None` when that epoch is not effective.
    pub(crate) fn comparison(&self, epoch: Epoch, window: Duration) -> Option<Comparison> {
        let inner = lock(&self.inner);
        let (_, since) = inner.effective.filter(|(known, _)| *known == epoch)?;
        let recent = inner
            .mismatches
            .iter()
            .filter(|at| at.elapsed() <= window)
            .count();
        Some(Comparison {
            mismatches: recent as u64,
            window,
            watched: since.elapsed(),
        })
    }

    /// Why the toggle is not where the file wants it, and stays where it is until something is done; says whether that is news.
    pub(crate) fn refused(&self, why: Option<&str>) -> bool {
        let mut inner = lock(&self.inner);
        inner.waits_for = None;
        let news = inner.refusal.as_deref().map(without_numbers) != why.map(without_numbers);
        inner.refusal = why.map(str::to_owned);
        news
    }

    /// What a move that is under way waits for.
    pub(crate) fn waits_for(&self, what: &str) {
        lock(&self.inner).waits_for = Some(what.to_owned());
    }

    /// The refusal, and what is waited for.
    pub(crate) fn standing(&self) -> (Option<String>, Option<String>) {
        let inner = lock(&self.inner);
        (inner.refusal.clone(), inner.waits_for.clone())
    }

    /// An operator overrides the guard of the next move to a phase. Forgotten after a minute without one.
    pub(crate) fn override_next(&self, overriding: Override) {
        lock(&self.inner).overriding = Some((overriding, Instant::now()));
        self.look.notify_one();
    }

    /// The override for a move to `to`, if there is one.
    pub(crate) fn overriding(&self, to: Phase) -> Option<Reason> {
        let inner = lock(&self.inner);
        let (overriding, since) = inner.overriding.as_ref()?;
        (overriding.to == to && since.elapsed() < OVERRIDE_WAITS).then(|| overriding.reason.clone())
    }

    /// The barrier was closed for a flip that was made.
    pub(crate) fn paused(&self, drained_in: Duration, closed_for: Duration) {
        lock(&self.inner).pause = Some(Pause {
            drained_in,
            closed_for,
        });
    }

    /// What the last flip between two primaries cost, since the process began.
    pub(crate) fn pause(&self) -> Option<Pause> {
        lock(&self.inner).pause
    }

    /// The move was made: the override is used up.
    pub(crate) fn moved(&self) {
        let mut inner = lock(&self.inner);
        (inner.overriding, inner.refusal, inner.waits_for) = (None, None, None);
    }
}

/// Seconds that pass and keys that are counted make no other answer.
fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_for_one_phase_and_used_up_by_the_move() {
        let facts = Facts::default();
        let reason = Reason::new("a drill").unwrap();
        facts.override_next(Override {
            to: Phase::DualRead,
            reason: reason.clone(),
        });
        assert_eq!(facts.overriding(Phase::NewPrimary), None);
        assert_eq!(facts.overriding(Phase::DualRead), Some(reason));
        facts.moved();
        assert_eq!(facts.overriding(Phase::DualRead), None);
    }

    #[test]
    fn a_comparison_counts_only_for_the_epoch_that_is_effective() {
        let facts = Facts::default();
        let window = Duration::from_secs(60);
        assert!(facts.effective(Epoch::new(4)));
        assert!(!facts.effective(Epoch::new(4)));
        facts.mismatch();
        assert_eq!(
            facts.comparison(Epoch::new(4), window).unwrap().mismatches,
            1
        );
        assert_eq!(facts.comparison(Epoch::new(5), window), None);
    }

    #[test]
    fn a_refusal_is_news_once() {
        let facts = Facts::default();
        assert!(facts.refused(Some("a")));
        assert!(!facts.refused(Some("a")));
        assert!(
            !facts.refused(Some("a1")),
            "a number that counts on is no news"
        );
        assert!(facts.refused(Some("b")));
    }
}
