//! The answer to a flip with a barrier, and its end when its maker is gone.

use std::time::Duration;

use crossfade_phase::Phase;
use tokio::time::timeout;

use super::{super::record::Flip, Member};

/// What the last steps before an answer may take: the signs of life go on.
const FLUSH: Duration = Duration::from_secs(1);
/// How much longer than `drain_timeout` another proxy's flip may take before it is called off.
const GRACE: Duration = Duration::from_secs(1);

impl Member {
    /// Answers a barrier once nothing runs here, and the journal's end of it is durable. Says whether that is news.
    pub(super) async fn drain(&mut self, flip: &Flip) -> bool {
        if self.drained == Some(flip.number) || !self.follower.is_drained_here() {
            return false;
        }
        let ready = timeout(FLUSH, self.flush(flip)).await;
        match ready.unwrap_or_else(|_| Err("the journal takes its time".to_owned())) {
            Ok(()) => {
                (self.drained, self.trouble) = (Some(flip.number), None);
                true
            }
            Err(why) => {
                self.trouble = Some(why);
                false
            }
        }
    }

    /// Everything the coming primary has of this proxy is on its disk, and the journal's part of it, too (traps 3 and 40).
    async fn flush(&self, flip: &Flip) -> Result<(), String> {
        let coming = Phase::from_number(flip.to).map(Phase::primary);
        if let Some(coming) = coming
            && self.app.journal.backlog(self.toggle.name()).unconfirmed > 0
        {
            let confirmed = self.app.confirmer.confirm(coming).await;
            confirmed.map_err(|error| error.to_string())?;
        }
        self.app
            .journal
            .flushed()
            .await
            .map_err(|error| error.to_string())
    }

    /// Whoever makes a flip may die in the middle of it: anybody calls it off then. Should it be published at the same moment, one of the two comes too late.
    pub(super) async fn overdue(&self, flip: &Flip) {
        let limit = self.app.config.load().flips.drain_timeout + GRACE;
        if self
            .watched
            .as_ref()
            .is_none_or(|(_, since)| since.elapsed() <= limit)
        {
            return;
        }
        let number = flip.number;
        match self.seat.call_off(number).await {
            Ok(()) => tracing::warn!(
                toggle = self.toggle.name(),
                by = flip.by,
                "the flip of proxy \"{}\" took too long and was called off",
                flip.by
            ),
            Err(error) => {
                tracing::warn!(toggle = self.toggle.name(), %error, "a flip that takes too long could not be called off")
            }
        }
    }
}
