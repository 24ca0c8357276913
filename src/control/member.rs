//! A proxy among the others: says how it is, reads the record, and moves its gate as the record says.

mod barrier;
mod follow;

pub(super) use follow::mirror;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_journal::DirtyKey;
use crossfade_phase::Phase;
use crossfade_toggle::{Epoch, Follower, Snapshot, StandIn, Toggle};
use tokio::time::timeout;

use super::{
    record::{Record, Stage},
    row::{Compared, Row},
    seat::{LEASE, Seat, Trouble, View},
};
use crate::{app::App, around};

/// Time between two signs of life.
const BEAT: Duration = Duration::from_millis(200);
/// The same while a flip is under way: how long the others keep clients waiting depends on it.
const QUICK: Duration = Duration::from_millis(15);
/// For how long after a flip.
const SETTLES: Duration = Duration::from_secs(2);

/// Longest wait of one that ends for its last rows in the primary.
const LAST: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Member {
    app: Arc<App>,
    toggle: Arc<Toggle>,
    seat: Arc<Seat>,
    follower: Follower,
    others: BTreeMap<String, StandIn>,
    heard: Option<i64>,
    drained: Option<i64>,
    trouble: Option<String>,
    /// The stage of a flip, and since when it is known.
    watched: Option<(Stage, Instant)>,
    moved: Option<Instant>,
}

/// Counts a proxy in and brings its gate to where the others are.
///
/// # Errors
/// When a store does not answer.
pub(super) async fn join(app: &Arc<App>, seat: &Arc<Seat>) -> Result<Member, Trouble> {
    let toggle = Arc::clone(&app.toggles[&seat.toggle]);
    toggle.lease().end();
    let mut follower = toggle
        .gate()
        .follower()
        .ok_or_else(|| Trouble::No("the toggle is being moved".to_owned()))?;
    follower.close();
    let mut member = Member {
        app: Arc::clone(app),
        toggle,
        seat: Arc::clone(seat),
        follower,
        others: BTreeMap::new(),
        heard: None,
        drained: None,
        trouble: None,
        watched: None,
        moved: None,
    };
    count_in(&member.app, &member.seat).await?;
    member.beat().await;
    match member.seat.lost() {
        Some(why) => Err(Trouble::No(why)),
        None => Ok(member),
    }
}

/// Counts this proxy in, with what its journal holds. Where it was forgotten with that, it lets go of it first: the tables were not trusted from then on until somebody had
/// verified them, and by now its marks may say the contrary of what is so.
///
/// # Errors
/// When a store does not answer, or the journal cannot be written.
async fn count_in(app: &App, seat: &Seat) -> Result<(), Trouble> {
    let was_forgotten = seat.read().await?.record.forgotten.contains(&seat.me.id);
    if was_forgotten {
        let keys = let_go(app, &seat.toggle);
        // Before it counts again: after a crash in between it lets go of them once more.
        let flushed = app.journal.flushed().await;
        flushed.map_err(|error| Trouble::No(error.to_string()))?;
        if keys > 0 {
            tracing::warn!(
                toggle = seat.toggle,
                keys,
                "this proxy was forgotten: the dirty keys of its journal are dropped, as the tables have to be verified since then"
            );
        }
    }
    seat.join(was_forgotten).await
}

/// Drops the dirty keys of a toggle; says how many there were.
fn let_go(app: &App, toggle: &str) -> usize {
    /// Keys looked up at once.
    const PAGE: usize = 1000;
    let mut dropped = 0;
    let tables = app.journal.dirty_by_table().into_iter();
    for table in tables.filter(|table| *table.toggle == *toggle) {
        let mut after = None;
        loop {
            let page = app.journal.dirty_keys(&table.table, after.as_ref(), PAGE);
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            let cleaned = |key: &&DirtyKey| app.journal.clean(&key.key, key.generation);
            dropped += page.iter().filter(cleaned).count();
        }
    }
    dropped
}

/// Counts a proxy out. Its gate is shut: nothing runs here any more.
pub(super) async fn leave(app: &App, seat: &Seat) {
    let backlog = app.journal.backlog(&seat.toggle);
    let left = backlog.dirty + backlog.open + backlog.unconfirmed;
    // What is left there the others take over.
    let stands_in_the_primary = timeout(LAST, stands_in_the_primary(app, &seat.toggle)).await;
    let stands_in_the_primary = stands_in_the_primary.unwrap_or(false);
    let outcome = if left == 0 || stands_in_the_primary {
        let id = seat.me.id.clone();
        let part = |record: &mut Record| {
            record.part(&id);
            Ok(())
        };
        match seat.change(part).await {
            Ok(()) => seat.silence(&id).await,
            failed => failed,
        }
    } else {
        tracing::warn!(
            toggle = seat.toggle,
            keys = left,
            "this proxy ends with keys in its journal: it still counts, and the moves that need an empty journal wait until it is back"
        );
        let current = app.toggles[&seat.toggle].gate().current();
        let row = Row {
            ended: true,
            life: seat.me.life,
            epoch: current.epoch.number(),
            phase: current.phase.number(),
            ..Row::default()
        };
        seat.say(&row.with(&backlog)).await
    };
    if let Err(error) = outcome {
        tracing::warn!(toggle = seat.toggle, %error, "this proxy could not take leave of the others: they wait for it until it is back");
    }
}

/// Whether everything that this proxy knows of a toggle is in the primary, where others find it; and that it knows what an earlier run of it has left there.
async fn stands_in_the_primary(app: &App, toggle: &str) -> bool {
    if !app.journal.is_in_primary() {
        return false;
    }
    while !app.journal.is_settled(toggle) {
        tokio::time::sleep(QUICK).await;
    }
    app.journal.flushed().await.is_ok()
}

impl Member {
    /// Follows for as long as it is polled.
    pub(super) async fn run(mut self) {
        let seat = Arc::clone(&self.seat);
        loop {
            let pause = self.beat().await;
            tokio::select! {
                () = seat.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One sign of life, and what follows from the record; the pause until the next.
    async fn beat(&mut self) -> Duration {
        // From here on the lease is counted: what the others see comes later.
        let began = Instant::now();
        let row = self.row();
        let read = match self.seat.say(&row).await {
            Ok(()) => self.seat.read().await,
            Err(trouble) => Err(trouble),
        };
        match read {
            Ok(view) => self.read(began, &view).await,
            Err(trouble) => {
                self.out_of_touch(&trouble.to_string());
                BEAT
            }
        }
    }

    fn row(&self) -> Row {
        let gate = self.toggle.gate();
        let (current, oldest) = (gate.current(), gate.oldest_here());
        // Counted behind the look at the barrier: nothing can begin any more.
        let backlog = self.app.journal.backlog(self.toggle.name());
        let window = self.app.config.load().flips.mismatch_window;
        let compared = self
            .app
            .facts(&self.toggle)
            .comparison(current.epoch, window);
        Row {
            life: self.seat.me.life,
            epoch: current.epoch.number(),
            phase: current.phase.number(),
            oldest: oldest.epoch.number(),
            oldest_phase: oldest.phase.number(),
            heard: self.heard,
            drained: self.drained,
            unsettled: !self.app.journal.is_settled(self.toggle.name()),
            compared: compared.map(|compared| Compared {
                mismatches: compared.mismatches,
                watched_ms: u64::try_from(compared.watched.as_millis()).unwrap_or(u64::MAX),
            }),
            changes: around::own_changes(&self.app, self.toggle.name()),
            ended: false,
            trouble: self.trouble.clone(),
            ..Row::default()
        }
        .with(&backlog)
    }

    async fn read(&mut self, began: Instant, view: &View) -> Duration {
        let record = Arc::clone(&view.record);
        if !self.seat.is_member(&record) {
            return self.uncounted(&record).await;
        }
        let current = self.toggle.gate().current();
        if record.snapshot().epoch < current.epoch {
            self.stop(&format!(
                "the record is in epoch {}, and this proxy has been in epoch {}: a store has lost writes; end all proxies, `crossfade verify` every table, and start them again",
                record.state.epoch, current.epoch
            ));
            return BEAT;
        }
        self.stand_in(&record);
        if let Stage::Barrier(_) = record.stage {
            self.follower.close();
        }
        self.toggle.lease().renew(began, LEASE);
        if self.seat.note_lost(None) {
            tracing::info!(
                toggle = self.toggle.name(),
                "this proxy is in touch with the others again"
            );
        }
        mirror(&self.app, self.toggle.name(), &record);
        self.apply(&record).await
    }

    /// The others, as sessions of this gate.
    fn stand_in(&mut self, record: &Record) {
        let others = self.seat.others();
        self.others.retain(|id, _| record.members.contains_key(id));
        let gate = self.toggle.gate();
        for other in others {
            let place = self
                .others
                .entry(other.id)
                .or_insert_with(|| gate.stand_in(format!("proxy {}", other.name)));
            let barrier = match &record.stage {
                Stage::Barrier(flip) => Some(flip.number),
                _other => None,
            };
            match other.heard.map(|heard| heard.row) {
                Some(row) if row.ended => place.unpin(),
                Some(row) if barrier.is_some() && row.drained == barrier => place.unpin(),
                Some(row) => place.pin(row.oldest()),
                None => place.pin(Snapshot {
                    epoch: Epoch::new(0),
                    phase: Phase::DeployNew,
                }),
            }
        }
    }

    async fn apply(&mut self, record: &Record) -> Duration {
        self.watch(record);
        if record.snapshot().epoch > self.toggle.gate().current().epoch {
            // Whatever is under way by now: first this proxy goes to where the others are. It answers nothing, and its gate stays as it is, until then.
            (self.heard, self.drained) = (None, None);
            return self.follow(record).await;
        }
        match &record.stage {
            Stage::Calling(flip) => {
                self.follower.open();
                let first = self.hear(flip);
                self.overdue(flip).await;
                if first { Duration::ZERO } else { QUICK }
            }
            Stage::Barrier(flip) => {
                let first = self.drain(flip).await;
                self.overdue(flip).await;
                if first { Duration::ZERO } else { QUICK }
            }
            Stage::Open | Stage::Arriving | Stage::Gone => {
                (self.heard, self.drained) = (None, None);
                self.stay(record.state.phase);
                self.follower.open();
                self.trouble = None;
                if self.is_settling() { QUICK } else { BEAT }
            }
        }
    }

    fn is_settling(&self) -> bool {
        let recent = self.moved.is_some_and(|moved| moved.elapsed() < SETTLES);
        recent && !self.toggle.gate().is_effective()
    }

    fn watch(&mut self, record: &Record) {
        let same = self
            .watched
            .as_ref()
            .is_some_and(|(stage, _)| *stage == record.stage);
        if !same {
            self.watched = Some((record.stage.clone(), Instant::now()));
        }
    }

    /// The others do not count this run of this proxy.
    async fn uncounted(&mut self, record: &Record) -> Duration {
        let me = &self.seat.me;
        if record
            .members
            .get(&me.id)
            .is_some_and(|member| member.life != me.life)
        {
            self.stop("another process has taken this proxy's place: it runs with a copy of this state_dir, or under the same name; end one of the two, and give it a state_dir, or a name, of its own");
            return BEAT;
        }
        self.stop(
            "an operator had this proxy forgotten; it joins again when its transactions have ended",
        );
        // What runs here may be of any earlier epoch.
        if self.follower.is_drained_here() {
            match count_in(&self.app, &self.seat).await {
                Ok(()) => return Duration::ZERO,
                Err(error) => {
                    tracing::warn!(toggle = self.toggle.name(), %error, "this proxy cannot join the others again")
                }
            }
        }
        BEAT
    }

    /// Nothing begins here any more, and nothing that writes both stores is committed.
    fn stop(&mut self, why: &str) {
        self.toggle.lease().end();
        self.follower.close();
        self.out_of_touch(why);
    }

    /// Says so once the lease is over. Until then nothing has changed: a beat may be missed.
    fn out_of_touch(&self, why: &str) {
        if !self.toggle.lease().holds() && self.seat.note_lost(Some(why.to_owned())) {
            tracing::error!(
                toggle = self.toggle.name(),
                "this proxy is out of touch with the others, and commits nothing that writes both stores: {why}"
            );
        }
    }
}
