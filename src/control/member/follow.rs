//! Goes where the record says.

use std::time::{Duration, Instant};

use crossfade_phase::Phase;
use crossfade_toggle::Move;

use super::{
    super::{open::differs, record::Record},
    Member,
};
use crate::{
    app::{App, Need},
    flip::{announce, stragglers::Stragglers},
};

/// Time between two attempts to follow a move that this proxy cannot make.
const STUCK: Duration = Duration::from_secs(1);
/// Longest wait for the journal's rows in one attempt.
const ROWS: Duration = Duration::from_secs(1);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(5);

/// Keeps this proxy's own state of a toggle the same as the record's, for everybody here who reads it there.
pub(in crate::control) fn mirror(app: &App, toggle: &str, record: &Record) {
    let state = app.journal.state();
    // The phase is taken over when it is published.
    let Some(mine) = state.toggle(toggle) else {
        return;
    };
    if let Err(error) = state.follow(toggle, &mine, &record.tables) {
        tracing::warn!(%error, "what the proxies know of tables could not be noted here");
    }
}

impl Member {
    /// Does what another proxy has published, or this one.
    pub(super) async fn follow(&mut self, record: &Record) -> Duration {
        match self.make_ready(record).await {
            Ok(()) => {}
            Err(why) => {
                if self.trouble.as_ref() != Some(&why) {
                    tracing::error!(toggle = self.toggle.name(), phase = %record.state.phase, "this proxy cannot follow the others: {why}");
                    self.app.facts(&self.toggle).refused(Some(&why));
                }
                self.trouble = Some(why);
                return STUCK;
            }
        }
        self.trouble = None;
        let (from, next) = (self.toggle.gate().current().phase, record.snapshot());
        if record.by != self.seat.me.id {
            // A wish of this proxy's own file was for another state of things.
            self.toggle.want(next.phase);
        }
        self.moved = Some(Instant::now());
        let stragglers = match Move::new(from, next.phase) {
            Ok(step) => Stragglers::before(&self.app, &self.toggle, step).await,
            Err(_several_at_once) => None,
        };
        if self.follower.publish(next) {
            self.leave_rows(from, next.phase);
            announce(
                &self.app,
                &self.toggle,
                from,
                next,
                record.state.history.last(),
            );
            if let Some(stragglers) = stragglers {
                stragglers.settle(&self.app, &self.toggle);
            }
            let app = self.app.clone();
            tokio::spawn(async move { app.keep_catalogs().await });
        }
        Duration::ZERO
    }

    /// Where the journal is in the primary, its rows are where the phase wants them before this proxy serves it. After a barrier they are.
    async fn rows_follow(&self, to: Phase) -> Result<(), String> {
        let (journal, name, side) = (&self.app.journal, self.toggle.name(), to.primary());
        if !journal.is_in_primary() || matches!(to, Phase::DeployNew | Phase::NewOnly) {
            return Ok(());
        }
        journal.need(side);
        if to == Phase::UseOld || journal.home_of(name) == Some(side) {
            return Ok(());
        }
        let began = Instant::now();
        while let Err(error) = journal.answers(side) {
            if began.elapsed() > ROWS {
                return Err(error.to_string());
            }
            tokio::time::sleep(LOOK).await;
        }
        let carried = tokio::time::timeout(ROWS, journal.live_in(name, side)).await;
        match carried {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("the journal takes its time".to_owned()),
        }
    }

    /// Behind a move of the primary nothing of this proxy is left in the store that it was.
    fn leave_rows(&self, from: Phase, to: Phase) {
        if from.primary() != to.primary() {
            self.app.journal.leave(self.toggle.name(), from.primary());
        }
    }

    async fn make_ready(&self, record: &Record) -> Result<(), String> {
        let (from, to) = (self.toggle.gate().current().phase, record.state.phase);
        let name = self.toggle.name();
        if to > Phase::UseOld
            && let Some(why) = differs(record, &self.app.config.load(), name)
        {
            return Err(why);
        }
        let more = (from == Phase::DeployNew && to > from)
            || (from <= Phase::UseOld && to > Phase::UseOld)
            || (from == Phase::NewOnly && to < from);
        if more {
            let need = Need::of(self.app.toggles.values()).with(name, to);
            match self.app.resolve(&need).await {
                Ok(mapping) => self.app.put_mapping(mapping),
                // Nothing routes by it in phase 2.
                Err(error) if to == Phase::UseOld => {
                    tracing::warn!(toggle = name, %error, "the mapping cannot be made yet; `crossfade check` shows what is missing");
                }
                Err(error) => return Err(format!("{error} (`crossfade check`)")),
            }
        }
        self.rows_follow(to).await?;
        let noted = self
            .app
            .journal
            .state()
            .follow(name, &record.state, &record.tables);
        noted.map_err(|error| error.to_string())
    }
}
