//! A job and the epoch it is bound to (trap 28).

use std::sync::{Arc, Mutex, PoisonError};

use crossfade_phase::Phase;
use crossfade_toggle::Snapshot;

use crate::{
    Error,
    gates::{Gates, Pin},
};

/// Why a job ended before its end. What it did so far is durable and a later run goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochChanged {
    /// What the job was bound to.
    pub bound: Snapshot,
    /// What is published now.
    pub now: Snapshot,
}

/// A job's tie to its epoch. Asked for a pin before every write.
pub(crate) struct Job {
    gates: Arc<dyn Gates>,
    toggle: String,
    /// Whether the job may go on in a phase.
    stands: Box<dyn Fn(Phase) -> bool + Send + Sync>,
    bound: Mutex<Snapshot>,
}

impl Job {
    /// Binds a job to the published epoch, which must be effective everywhere: as long as a session is in an older phase, it writes rows
    /// that nobody tells the other store of (trap 7). `stands` says in which phases the job may go on.
    pub(crate) fn bind(
        gates: Arc<dyn Gates>,
        toggle: &str,
        published: Snapshot,
        stands: impl Fn(Phase) -> bool + Send + Sync + 'static,
    ) -> Result<Job, Error> {
        let effective = gates
            .effective(toggle)
            .ok_or_else(|| Error::UnknownToggle(toggle.to_owned()))?;
        if effective != published {
            return Err(Error::NotEffective {
                toggle: toggle.to_owned(),
                phase: published.phase,
            });
        }
        Ok(Job {
            gates,
            toggle: toggle.to_owned(),
            stands: Box::new(stands),
            bound: Mutex::new(published),
        })
    }

    /// A pin for one step.
    ///
    /// # Errors
    /// [`Error::EpochChanged`] once the toggle is in a phase in which the job could do harm, or may have been in one since the last
    /// look.
    pub(crate) async fn pin(&self) -> Result<Pin, Error> {
        let pin = self
            .gates
            .pin(&self.toggle)
            .await
            .ok_or_else(|| Error::UnknownToggle(self.toggle.clone()))?;
        let now = pin.snapshot();
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if now.epoch < bound.epoch || now == *bound {
            // A smaller epoch: another worker of the job was a step ahead in taking over the next one.
            return Ok(pin);
        }
        // One flip on, and to a phase that the job stands: nothing was missed. Two flips on may have passed through one that it does
        // not stand, such as 3 → 2 → 3.
        if now.epoch == bound.epoch.next() && (self.stands)(now.phase) {
            *bound = now;
            return Ok(pin);
        }
        Err(Error::EpochChanged(EpochChanged { bound: *bound, now }))
    }
}
