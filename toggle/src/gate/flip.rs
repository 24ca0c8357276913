//! A flip: prepare (drain what must drain), do what belongs inside, publish.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    Gate,
    holders::{Holder, Listed},
    shared::Shared,
};
use crate::{Basis, Proof, Snapshot, epoch::Word, moves::Named};

impl Gate {
    /// Flips the toggle: waits at the barrier if the move needs one, runs `inside`, then `record`, and publishes.
    ///
    /// `inside` is where sequences are moved and facts are weighed again ([`Proof::still_holds`], through what [`Gate::prepare`] gives);
    /// for a barrier move nothing runs meanwhile, and drain and `inside` together have `drain_timeout`.
    ///
    /// `record` makes the new snapshot durable. It is the last thing that can fail, comes before anyone can pin the new epoch (so that
    /// no restart revives a phase that is over, trap 40), and is not a future, so that dropping the flip cannot
    /// fall between the record and the publication. An error from it must mean that the old snapshot is still the durable one.
    ///
    /// A move without a barrier is published at once and becomes effective later: [`Gate::effective`].
    ///
    /// Cancel-safe: a flip dropped half way reopens the barrier in the old phase; only what `inside` did so far stays done. Needs a
    /// runtime with tokio's timer.
    ///
    /// # Errors
    /// [`FlipError`]; in every case the gate is open in the old phase and no client has seen more than a wait.
    pub async fn flip<E, I, F, R>(
        &self,
        proof: Proof,
        drain_timeout: Duration,
        inside: I,
        record: R,
    ) -> Result<Flipped, FlipError<E>>
    where
        I: FnOnce(Snapshot) -> F,
        F: Future<Output = Result<(), E>>,
        R: FnOnce(Snapshot) -> Result<(), E>,
    {
        let began = Instant::now();
        let ready = self
            .prepare(proof, drain_timeout)
            .await
            .map_err(FlipError::from_prepare)?;
        let next = ready.next();
        if ready.closed {
            let left = drain_timeout.saturating_sub(began.elapsed());
            let done = timeout(left, inside(next)).await;
            done.map_err(|_| FlipError::InsideTimedOut {
                after: drain_timeout,
            })?
            .map_err(FlipError::Inside)?;
        } else {
            inside(next).await.map_err(FlipError::Inside)?;
        }
        record(next).map_err(FlipError::Inside)?;
        Ok(ready.publish())
    }

    /// The first half of [`Gate::flip`], for callers that do the rest step by step. For a barrier move the barrier is closed and everything has
    /// drained when this returns; it stays closed as long as the answer lives, with no bound but the caller's.
    ///
    /// Cancel-safe, as [`Gate::flip`].
    ///
    /// # Errors
    /// [`FlipError`], except [`FlipError::Inside`] and [`FlipError::InsideTimedOut`].
    pub async fn prepare(&self, proof: Proof, drain_timeout: Duration) -> Result<Ready, FlipError> {
        let only = OnlyFlip::begin(&self.0).ok_or(FlipError::Busy)?;
        let current = self.current();
        let step = proof.step();
        if current.phase != step.from() || proof.epoch().is_some_and(|epoch| epoch != current.epoch)
        {
            return Err(FlipError::Stale { current });
        }
        // Trap 37: 2 + 3 and 3 + 4 may overlap, 2 + 4 on the way forward may not. Moves that DESIGN 2 calls free need not wait: whatever
        // still runs in 1 to 4 has the old store as its primary.
        if !step.is_free() && !self.is_effective() {
            return Err(FlipError::NotEffective {
                current,
                holders: self.holders(),
            });
        }
        let mut ready = Ready {
            only,
            current,
            proof,
            closed: false,
            began: Instant::now(),
            drained_in: Duration::ZERO,
        };
        if step.needs_barrier() {
            ready.drain(drain_timeout).await?;
        }
        Ok(ready)
    }
}

/// A flip that only has to be published. Dropped instead, it is called off: the barrier opens in the old phase.
#[derive(Debug)]
#[must_use = "a flip that is not published is called off"]
pub struct Ready {
    only: OnlyFlip,
    current: Snapshot,
    proof: Proof,
    closed: bool,
    began: Instant,
    drained_in: Duration,
}

impl Ready {
    async fn drain(&mut self, drain_timeout: Duration) -> Result<(), FlipError> {
        self.began = Instant::now();
        let gate = Arc::clone(&self.only.0);
        self.closed = true;
        gate.set(Word::closed(self.current));
        let limit = self.current.epoch.next();
        if timeout(drain_timeout, gate.drained_before(limit, |_| true))
            .await
            .is_err()
        {
            let holders = gate.holders(limit);
            // Between the last look and this one the last holder may have gone.
            if !holders.is_empty() {
                return Err(FlipError::DrainTimedOut {
                    after: drain_timeout,
                    holders,
                });
            }
        }
        self.drained_in = self.began.elapsed();
        Ok(())
    }

    /// What will be published.
    #[must_use]
    pub fn next(&self) -> Snapshot {
        self.current.next(self.proof.step().to())
    }

    /// The proof it was prepared with.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Publishes the new epoch, opens the barrier and wakes everyone who waits at it. The new snapshot must be durable by now (trap 40).
    pub fn publish(mut self) -> Flipped {
        let next = self.next();
        let gate = &self.only.0;
        let effective = self.closed;
        gate.set(Word::open(next));
        if effective {
            gate.settled(next);
        }
        // Those who wait for the epoch before have a new one to wait for.
        gate.notify_released();
        self.closed = false;
        Flipped {
            snapshot: next,
            effective,
            drained_in: self.drained_in,
            closed_for: if effective {
                self.began.elapsed()
            } else {
                Duration::ZERO
            },
            basis: self.proof.basis().clone(),
        }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if self.closed {
            self.only.0.set(Word::open(self.current));
        }
    }
}

/// A flip that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flipped {
    /// The new epoch and its phase.
    pub snapshot: Snapshot,
    /// Whether it is effective already, as it is after a barrier; otherwise see [`Gate::effective`].
    pub effective: bool,
    /// How long the barrier was closed until everything had drained; zero without one.
    pub drained_in: Duration,
    /// How long the barrier was closed in all, which is the longest that a client waited at it; zero without one.
    pub closed_for: Duration,
    /// What the move rested on, for the log.
    pub basis: Basis,
}

/// A flip that was called off; the gate is open in the phase it was in.
///
/// `E` is what the caller's own steps can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlipError<E = std::convert::Infallible> {
    /// Another flip of the toggle is under way.
    #[error("another flip of this toggle is under way")]
    Busy,
    /// The toggle was flipped since the proof was given.
    #[error("the proof is void: the toggle is in phase {}, epoch {}, by now", Named(.current.phase), .current.epoch)]
    Stale {
        /// Where the toggle is.
        current: Snapshot,
    },
    /// The last flip is not effective yet; no override helps (trap 37).
    #[error("phase {} is not effective yet, older transactions still run: {}", Named(.current.phase), Listed(.holders))]
    NotEffective {
        /// What is published.
        current: Snapshot,
        /// The transactions of older epochs.
        holders: Vec<Holder>,
    },
    /// Transactions did not end in time.
    #[error("called off: transactions did not end within {} ms (drain_timeout): {}", .after.as_millis(), Listed(.holders))]
    DrainTimedOut {
        /// The `drain_timeout`.
        after: Duration,
        /// Who did not.
        holders: Vec<Holder>,
    },
    /// Everything had drained, but what had to be done inside the barrier did not end in time.
    #[error("called off: the steps inside the barrier did not end within {} ms (drain_timeout)", .after.as_millis())]
    InsideTimedOut {
        /// The `drain_timeout`.
        after: Duration,
    },
    /// What had to be done before publishing failed.
    #[error("called off: {0}")]
    Inside(E),
}

impl<E> FlipError<E> {
    fn from_prepare(error: FlipError) -> FlipError<E> {
        match error {
            FlipError::Busy => FlipError::Busy,
            FlipError::Stale { current } => FlipError::Stale { current },
            FlipError::NotEffective { current, holders } => {
                FlipError::NotEffective { current, holders }
            }
            FlipError::DrainTimedOut { after, holders } => {
                FlipError::DrainTimedOut { after, holders }
            }
            FlipError::InsideTimedOut { after } => FlipError::InsideTimedOut { after },
            FlipError::Inside(never) => match never {},
        }
    }
}

/// That this is the one flip under way.
pub(super) struct OnlyFlip(Arc<Shared>);

impl OnlyFlip {
    pub(super) fn begin(gate: &Arc<Shared>) -> Option<OnlyFlip> {
        let taken = gate.flipping.swap(true, Ordering::AcqRel);
        (!taken).then(|| OnlyFlip(Arc::clone(gate)))
    }

    pub(super) fn gate(&self) -> &Shared {
        &self.0
    }
}

impl Drop for OnlyFlip {
    fn drop(&mut self) {
        self.0.flipping.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for OnlyFlip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnlyFlip")
    }
}
