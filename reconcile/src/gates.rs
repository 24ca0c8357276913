//! How a job holds on to the epoch it was started in.

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crossfade_toggle::{Snapshot, Toggle};
use futures::future::BoxFuture;
use tokio::time::sleep;

/// Time between two looks at whether the proxy is in touch again.
const OUT_OF_TOUCH: Duration = Duration::from_millis(100);

/// The right to write on behalf of a job: while it lives, no flip that would make the write harmful is published.
pub struct Pin {
    snapshot: Snapshot,
    _hold: Box<dyn Any + Send>,
}

impl Pin {
    /// A pin on `snapshot` that lasts as long as `hold`.
    pub fn new(snapshot: Snapshot, hold: impl Any + Send) -> Pin {
        Pin {
            snapshot,
            _hold: Box::new(hold),
        }
    }

    /// The pinned epoch and its phase.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pin").field(&self.snapshot).finish()
    }
}

/// The gates of all toggles, as the reconciler sees them.
pub trait Gates: Send + Sync + 'static {
    /// The last epoch that is effective everywhere and its phase; `None` for a toggle that is not known.
    fn effective(&self, toggle: &str) -> Option<Snapshot>;

    /// Pins the published epoch, waiting while a barrier is closed; `None` for a toggle that is not known. Cancel-safe.
    fn pin<'a>(&'a self, toggle: &'a str) -> BoxFuture<'a, Option<Pin>>;
}

impl Gates for BTreeMap<String, Arc<Toggle>> {
    fn effective(&self, toggle: &str) -> Option<Snapshot> {
        self.get(toggle)
            .map(|toggle| toggle.gate().effective_snapshot())
    }

    fn pin<'a>(&'a self, toggle: &'a str) -> BoxFuture<'a, Option<Pin>> {
        Box::pin(async move {
            let toggle = self.get(toggle)?;
            let mut slot = toggle.gate().slot("reconciler");
            loop {
                let entry = slot.pin().await;
                // Out of touch with the other proxies nothing is carried from one store to the other.
                if toggle.lease().holds() {
                    return Some(Pin::new(entry.snapshot, slot));
                }
                slot.unpin();
                sleep(OUT_OF_TOUCH).await;
            }
        })
    }
}
