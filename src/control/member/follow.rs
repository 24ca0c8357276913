//! Goes where the record says.

use std::time::{Duration, Instant};

use crossfade_phase::Phase;
use crossfade_toggle::Move;

use super::{
    super::{open::differs, record::Record},
    Member,
};
use crate::{
    app::Need,
    flip::{announce, stragglers::Stragglers},
};

/// Time between two attempts to follow a move that this proxy cannot make.
const STUCK: Duration = Duration::from_secs(1);

impl Member {
    /// Keeps this proxy's own state the same as the record's, for everybody here who reads it there.
    pub(super) fn mirror(&self, record: &Record) {
        // The phase is taken over when it is published.
        let mine = self.app.journal.state().toggle(self.toggle.name());
        let Some(mine) = mine else { return };
        if let Err(error) =
            self.app
                .journal
                .state()
                .follow(self.toggle.name(), &mine, &record.tables)
        {
            tracing::warn!(%error, "what the proxies know of tables could not be noted here");
        }
    }

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
        }
        Duration::ZERO
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
        let noted = self
            .app
            .journal
            .state()
            .follow(name, &record.state, &record.tables);
        noted.map_err(|error| error.to_string())
    }
}
