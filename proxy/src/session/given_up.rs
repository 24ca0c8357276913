//! What a client gives up in one store, it has in the other no more either: a pool hands its connection to somebody else behind it (trap 32).

use crossfade_phase::Side;

use super::{End, backend::Backend, handover::listen, managed::Managed};
use crate::wire::backend::Status;

/// What the client has given up at home and may still have in the other store, as far as statements have been completed.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    /// Channels, unless that was rolled back.
    channels: bool,
    /// Temporary tables.
    temporary: bool,
}

impl Managed {
    /// Takes note of a statement that was completed in the store of `side`.
    pub(super) fn note_given_up(&mut self, side: Side, tag: &[u8]) {
        let there = self.backends.get(side).map(|backend| backend.status);
        match tag {
            // Nothing goes on in the other store: what comes next there is sent when this has been answered.
            b"DISCARD ALL\0" => {
                let other = self.backends.get(side.other());
                if other.is_some_and(Backend::is_idle) {
                    self.drop_backend(side.other());
                }
            }
            b"UNLISTEN\0" => self.given_up.channels = true,
            b"DISCARD TEMP\0" if there == Some(Status::Idle) => self.given_up.temporary = true,
            _ => {}
        }
    }

    /// Gives it up in the other store too. Nothing goes on in either. A store that does not answer is left.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn give_up_beside_home(&mut self) -> Result<(), End> {
        let GivenUp {
            channels,
            temporary,
        } = std::mem::take(&mut self.given_up);
        let (home, other) = (self.home, self.home.other());
        let Some(backend) = self.backends.get(other) else {
            return Ok(());
        };
        let mut sql = String::new();
        if channels && backend.listens {
            sql.push_str("UNLISTEN *; ");
            sql.push_str(&listen(&self.channels(home).await?));
        }
        if temporary {
            sql.push_str("DISCARD TEMP");
        }
        if sql.is_empty() {
            return Ok(());
        }
        if self.settings_at == Some(other) {
            self.bring_settings_home().await?;
        }
        let within = self.shared.config.load().writes.secondary_timeout;
        match tokio::time::timeout(within, self.ask(other, &sql)).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Err(End::ClientGone)) => Err(End::ClientGone),
            told => {
                tracing::warn!(side = %other, ?told, "a session leaves a store in which it cannot give up what it has given up at home");
                self.drop_backend(other);
                Ok(())
            }
        }
    }
}
