//! What the others say from now on.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Other, Seat, Trouble};

/// Longest wait for what the others say next: several signs of life.
const NEXT: Duration = Duration::from_secs(3);

/// Why not all of them were heard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unheard {
    /// The store.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// This proxy, by its name.
    #[error("proxy \"{0}\" has not been heard of")]
    Silent(String),
}

impl Seat {
    /// The others that may write: not those that have ended.
    pub(crate) fn running(&self) -> Vec<Other> {
        let mut others = self.others();
        others.retain(|other| other.row().is_none_or(|row| !row.ended));
        others
    }

    /// Waits until each of the others that run has said something that it began to say after this was called.
    ///
    /// # Errors
    /// [`Unheard`].
    pub(crate) async fn hear_all(&self) -> Result<(), Unheard> {
        let until = Instant::now() + NEXT;
        // As it is in the store now: what follows it may have begun before, and what follows that has not.
        let read = self.serials().await?;
        loop {
            let seen = self.heard();
            tokio::pin!(seen);
            seen.as_mut().enable();
            let behind = self.running().into_iter().find(|other| {
                let said = other.heard.as_ref().map(|heard| heard.serial());
                let before = read.get(&other.id).copied().unwrap_or(i64::MAX - 2);
                said.is_none_or(|said| said < before + 2)
            });
            let Some(other) = behind else {
                return Ok(());
            };
            if timeout_at(until, seen).await.is_err() {
                return Err(Unheard::Silent(other.name));
            }
        }
    }
}
