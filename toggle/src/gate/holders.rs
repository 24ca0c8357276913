//! Who holds up a flip, for reports.

use std::{
    cmp::Reverse,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::shared::Shared;
use crate::{Epoch, Snapshot};

/// A pinned transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What its session calls itself.
    pub label: Arc<str>,
    /// What it pins.
    pub snapshot: Snapshot,
    /// How long it has been open, where its session said when it began ([`crate::Slot::stamp`]).
    pub open_for: Option<Duration>,
    /// How long it has held up the present flip; zero when it does not.
    pub holding_for: Duration,
}

impl Shared {
    /// Slots pinned to an epoch before `limit`, longest first.
    pub(super) fn holders(&self, limit: Epoch) -> Vec<Holder> {
        let now = self.stamp(Instant::now());
        let (since_change, in_the_way) = (self.since_change(), self.drain_limit());
        let mut holders: Vec<Holder> = self
            .pinned_before(limit)
            .into_iter()
            .filter_map(|slot| {
                let snapshot = slot.pinned()?;
                let open_us = slot.stamp().map(|began| now.saturating_sub(began));
                let holding = snapshot.epoch < in_the_way;
                Some(Holder {
                    label: slot.label(),
                    snapshot,
                    open_for: open_us.map(Duration::from_micros),
                    holding_for: if holding {
                        since_change
                    } else {
                        Duration::ZERO
                    },
                })
            })
            .collect();
        holders.sort_by_key(|holder| (holder.snapshot.epoch, Reverse(holder.open_for)));
        holders
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" in phase {}", self.label, self.snapshot.phase)?;
        if let Some(open_for) = self.open_for {
            write!(f, ", open for {} ms", open_for.as_millis())?;
        }
        if !self.holding_for.is_zero() {
            write!(
                f,
                ", holding the flip for {} ms",
                self.holding_for.as_millis()
            )?;
        }
        Ok(())
    }
}

/// Most holders that a message names.
const NAMED: usize = 5;

/// Holders in one line.
pub(super) struct Listed<'a>(pub(super) &'a [Holder]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, holder) in self.0.iter().take(NAMED).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{holder}")?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
