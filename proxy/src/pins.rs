//! What a session holds of the toggles: one slot each, pinned together for the time of a transaction.
//!
//! A transaction pins every toggle at its first message. That is earlier than it need be (DESIGN 4 says: at first touch) and makes one transaction
//! see one set of phases, whatever it touches later; the price is that a long transaction over one toggle holds up the flip of another.

use std::{sync::Arc, time::Duration};

use crossfade_phase::Phase;
use crossfade_toggle::{Slot, Snapshot, Toggle};

use crate::{errors::ClientError, shared::Shared};

/// Time between two looks at whether a closed barrier is worth waiting for.
const LOOK: Duration = Duration::from_millis(200);

/// One session's slots.
#[derive(Debug)]
pub(crate) struct Pins {
    shared: Arc<Shared>,
    slots: Vec<Slot>,
    /// What each toggle was when the session last chose how to work.
    seen: Vec<Snapshot>,
    pinned: bool,
}

impl Pins {
    /// Registers a session with every toggle. The label is what an operator reads when this session holds up a flip.
    pub(crate) fn new(shared: &Arc<Shared>, label: &str) -> Pins {
        let slots: Vec<Slot> = shared
            .toggles
            .iter()
            .map(|toggle| toggle.gate().slot(label))
            .collect();
        let seen = shared
            .toggles
            .iter()
            .map(|toggle| toggle.gate().current())
            .collect();
        Pins {
            shared: shared.clone(),
            slots,
            seen,
            pinned: false,
        }
    }

    /// Whether a transaction is pinned.
    pub(crate) fn pinned(&self) -> bool {
        self.pinned
    }

    /// Whether a toggle has moved since [`Pins::phases`] were last taken, or the proxy stops.
    pub(crate) fn changed(&self) -> bool {
        self.shared.stopping()
            || std::iter::zip(&self.shared.toggles, &self.seen)
                .any(|(toggle, seen)| toggle.gate().current().epoch != seen.epoch)
    }

    /// Whether somebody waits for pins to go: a toggle has moved, or a barrier is closed.
    pub(crate) fn disturbed(&self) -> bool {
        self.changed()
            || self
                .shared
                .toggles
                .iter()
                .any(|toggle| toggle.gate().is_closed())
    }

    /// A number that differs whenever [`Pins::phases`] may differ.
    pub(crate) fn stamp(&self) -> u64 {
        // Epochs only grow, so their sum is as good as all of them.
        self.seen
            .iter()
            .map(|snapshot| snapshot.epoch.number())
            .sum()
    }

    /// The phases by which the session works, by index of toggle.
    pub(crate) fn phases(&self) -> impl ExactSizeIterator<Item = Phase> + '_ {
        self.seen.iter().map(|snapshot| snapshot.phase)
    }

    /// Pins every toggle, if all are as they were seen, no barrier is closed and the proxy goes on; otherwise pins none.
    pub(crate) fn try_pin_unchanged(&mut self) -> bool {
        if self.shared.stopping() {
            return false;
        }
        for index in 0..self.slots.len() {
            match self.slots[index].try_pin() {
                Ok(snapshot) if snapshot.epoch == self.seen[index].epoch => {}
                Ok(_) => {
                    self.slots[..=index].iter_mut().for_each(Slot::unpin);
                    return false;
                }
                Err(_) => {
                    self.slots[..index].iter_mut().for_each(Slot::unpin);
                    return false;
                }
            }
        }
        self.pinned = true;
        true
    }

    /// Waits until no barrier is closed, then takes note of the phases as they are, pinning nothing. Cancel-safe.
    ///
    /// # Errors
    /// When a barrier is closed and nobody knows for how long: this proxy is out of touch with the others.
    pub(crate) async fn refresh(&mut self) -> Result<(), ClientError> {
        let slots = std::iter::zip(&mut self.slots, &mut self.seen);
        for (toggle, (slot, seen)) in std::iter::zip(&self.shared.toggles, slots) {
            let entry = tokio::select! {
                biased;
                entry = slot.pin() => entry,
                () = shut_out(toggle) => return Err(out_of_touch(toggle.name())),
            };
            slot.unpin();
            *seen = entry.snapshot;
            if !entry.waited.is_zero() {
                self.shared
                    .metrics
                    .barrier_wait
                    .with_label_values(&[toggle.name()])
                    .observe(entry.waited.as_secs_f64());
            }
        }
        Ok(())
    }

    /// Ends the transaction's pins.
    pub(crate) fn unpin(&mut self) {
        if self.pinned {
            self.slots.iter_mut().for_each(Slot::unpin);
            self.pinned = false;
        }
    }
}

/// Resolves when the barrier is closed and only others know whether it opens in the old phase.
async fn shut_out(toggle: &Toggle) {
    while !toggle.gate().is_closed() || toggle.lease().holds() {
        tokio::time::sleep(LOOK).await;
    }
}

fn out_of_touch(toggle: &str) -> ClientError {
    ClientError::new(
        "57P03",
        format!("crossfade is out of touch with the other proxies that move toggle \"{toggle}\""),
    )
    .hint("connect to another proxy, or try again; crossfade status says since when and why")
}
