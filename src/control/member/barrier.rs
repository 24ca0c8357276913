//! The answer to a flip with a barrier, and its end when its maker is gone.

use std::time::Duration;

use crossfade_phase::{Phase, Side};
use tokio::time::timeout;

use super::{super::record::Flip, Member};

/// What the last steps before an answer may take: the signs of life go on.
const FLUSH: Duration = Duration::from_secs(1);
/// How much longer than `drain_timeout` another proxy's flip may take before it is called off.
const GRACE: Duration = Duration::from_secs(1);

impl Member {
    /// Says that a flip is known, once this proxy could answer its barrier; says whether that is news.
    pub(super) fn hear(&mut self, flip: &Flip) -> bool {
        if let Err(why) = self.rows_can_move(flip) {
            self.heard = None;
            let news = self.trouble.as_ref() != Some(&why);
            self.trouble = Some(why);
            return news;
        }
        self.trouble = None;
        self.heard.replace(flip.number) != Some(flip.number)
    }

    /// Whether this proxy's rows can move to the coming primary, where they have to. They are read there meanwhile, and no client waits yet.
    fn rows_can_move(&self, flip: &Flip) -> Result<(), String> {
        let Some(coming) = self.moves_to(flip) else {
            return Ok(());
        };
        self.app.journal.need(coming);
        let answers = self.app.journal.answers(coming);
        answers.map_err(|error| error.to_string())
    }

    /// The store that the rows of the journal move to with a flip.
    fn moves_to(&self, flip: &Flip) -> Option<Side> {
        let coming = Phase::from_number(flip.to)?.primary();
        let here = self.toggle.gate().current().phase.primary();
        (self.app.journal.is_in_primary() && coming != here).then_some(coming)
    }

    /// No flip is under way: the rows are where the phase says, also when one was called off for which they had moved. They are still there, too.
    pub(super) fn stay(&self, phase: Phase) {
        let journal = &self.app.journal;
        let home = journal.home_of(self.toggle.name());
        if home.is_some_and(|home| home != phase.primary()) {
            drop(journal.live_in(self.toggle.name(), phase.primary()));
        }
    }

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
        let journal = &self.app.journal;
        journal.flushed().await.map_err(|error| error.to_string())?;
        let Some(coming) = self.moves_to(flip) else {
            return Ok(());
        };
        if !journal.is_settled(self.toggle.name()) {
            return Err(
                "what a process that is gone may have left in the primary is not known yet"
                    .to_owned(),
            );
        }
        // Each proxy carries its own: who has not, has not answered. What is dirty only in the coming secondary moves along, and what an operator's word leaves dirty.
        let carried = journal.live_in(self.toggle.name(), coming).await;
        carried.map_err(|error| error.to_string())
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
