//! Writers that go around the proxy (trap 41).
//!
//! The row changes that a store counts in a mapped table are held against those of this process. While both stores are written (3 to 5), what is more in either
//! was made by somebody else, and the other store does not have it; in 6 and 7 nobody writes the old store any more. Where several proxies share the
//! migration, one of them does so for all ([`crowd`]).

mod crowd;
mod judge;
mod mark;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossfade_journal::PhaseChange;
use crossfade_phase::{Phase, Side};
use crossfade_store::{OwnChanges, OwnTotal, TableMap};
use serde::{Deserialize, Serialize};

use crate::{
    app::{App, lock, reverse_name},
    text::utc,
};
pub(crate) use crowd::own_changes;
use judge::{Judge, Look};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// Between the store's answer and a look at our own count, so that answers on their way to us are in it.
const AFTER: Duration = Duration::from_millis(500);
/// Time between two looks at what the store's schema does by itself.
const SCHEMA: Duration = Duration::from_secs(60);

/// What is known of all tables.
#[derive(Debug, Default)]
pub(crate) struct Around(Mutex<HashMap<(String, Side), Standing>>);

#[derive(Debug, Clone, Default)]
struct Standing {
    changes: u64,
    last: Option<SystemTime>,
    hidden: Option<u64>,
    unseen: Option<String>,
}

/// What is known of a table in one store, for `/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AroundStatus {
    /// `old` or `new`.
    pub(crate) store: String,
    /// Row changes that somebody else made there, since the process began; at least so many.
    pub(crate) changes: u64,
    /// When the last of them was noticed, in UTC.
    pub(crate) last: Option<String>,
    /// As many more would not be noticed now, for our own that the store may still count. Absent while nothing is noticed.
    pub(crate) hidden: Option<u64>,
    /// Why nothing is noticed, where that will not pass.
    pub(crate) unseen: Option<String>,
}

impl Around {
    /// What is known of a table.
    pub(crate) fn status(&self, table: &TableMap) -> Vec<AroundStatus> {
        let name = table.old.name.to_string();
        let known = lock(&self.0);
        [Side::Old, Side::New]
            .into_iter()
            .filter_map(|side| Some((side, known.get(&(name.clone(), side))?)))
            .map(|(side, standing)| AroundStatus {
                store: side.to_string(),
                changes: standing.changes,
                last: standing.last.map(|at| utc(unix_s(at))),
                hidden: standing.hidden,
                unseen: standing.unseen.clone(),
            })
            .collect()
    }

    fn change(&self, table: &TableMap, side: Side, change: impl FnOnce(&mut Standing)) {
        let mut known = lock(&self.0);
        change(known.entry((table.old.name.to_string(), side)).or_default());
    }
}

/// Watches for as long as it is polled.
pub(crate) async fn watch(app: Arc<App>) {
    tokio::join!(
        Watch::new(&app, Side::Old).run(),
        Watch::new(&app, Side::New).run()
    );
}

/// The tables of one store.
struct Watch {
    app: Arc<App>,
    side: Side,
    judges: HashMap<String, Watched>,
    /// By record of the state files: the table's toggle, and why it is marked.
    marks: BTreeMap<String, (String, String)>,
}

#[derive(Default)]
struct Watched {
    /// See [`counted_since`].
    since: u64,
    /// The other proxies' runs whose changes are added up.
    lives: Vec<u64>,
    judge: Judge,
    schema: Option<Instant>,
    side_effects: Vec<String>,
}

impl Watch {
    fn new(app: &Arc<App>, side: Side) -> Watch {
        Watch {
            app: app.clone(),
            side,
            judges: HashMap::new(),
            marks: BTreeMap::new(),
        }
    }

    async fn run(mut self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let mapping = self.app.mapping();
            let tables: Vec<TableMap> = mapping
                .tables
                .iter()
                .filter(|table| is_watched(&self.app, table, self.side))
                .cloned()
                .collect();
            // A phase in which the proxy does not count lies between: everything begins anew.
            self.judges.retain(|name, _| {
                tables
                    .iter()
                    .any(|table| table.old.name.to_string() == *name)
            });
            if !tables.is_empty() {
                self.look(&tables).await;
            }
            self.mark().await;
        }
    }

    async fn look(&mut self, tables: &[TableMap]) {
        let app = self.app.clone();
        let store = app.stores.on(self.side);
        let Some(own) = store.own_changes() else {
            return self.unseen(tables, "it does not count the rows that are changed");
        };
        let (tables, others) = self.ours_to_watch(tables);
        if tables.is_empty() {
            return;
        }
        let tables = tables.as_slice();
        let since: Vec<u64> = tables
            .iter()
            .map(|table| counted_from(&app, table, self.side))
            .collect();
        let before = totals(own, tables);
        let asked = Instant::now();
        let counters = match store.row_counters(tables).await {
            Ok(Ok(counters)) => counters,
            Ok(Err(why)) => return self.unseen(tables, &why),
            // The next look shows whatever was missed.
            Err(error) => return tracing::debug!(side = %self.side, %error, "no row counters"),
        };
        tokio::time::sleep(AFTER).await;
        let others = self.others_later(tables, others).await;
        let after = totals(own, tables);
        for (number, table) in tables.iter().enumerate() {
            let Some(&changes) = counters.changes.get(number) else {
                continue;
            };
            if since[number] != counted_from(&app, table, self.side) {
                // It moved while the store was asked.
                continue;
            }
            let (before, after) = (before[number], after[number]);
            let (before, after, lives) = match others.get(&table.toggle) {
                None if app.control.is_some() => continue,
                None => (before, after, &[][..]),
                Some((then, later)) => (
                    then.with(before, table, self.side),
                    later.with(after, table, self.side),
                    &*later.lives,
                ),
            };
            let look = Look {
                at: asked,
                now_us: counters.now_us,
                oldest_us: counters.oldest_us,
                changes,
                ended: before.ended,
                after,
            };
            self.judge(table, (since[number], lives), &look).await;
        }
    }

    async fn judge(&mut self, table: &TableMap, (since, lives): (u64, &[u64]), look: &Look) {
        let watched = self.judges.entry(table.old.name.to_string()).or_default();
        // What one that came or went has written nobody knows: everything begins anew.
        if watched.since != since || watched.lives != lives {
            (watched.since, watched.judge) = (since, Judge::default());
            watched.lives = lives.to_vec();
        }
        if watched.schema.is_none_or(|at| at.elapsed() >= SCHEMA) {
            match self.app.stores.on(self.side).side_effects(table).await {
                Ok(found) => (watched.side_effects, watched.schema) = (found, Some(Instant::now())),
                Err(error) => {
                    return tracing::debug!(side = %self.side, %error, "no look at the schema");
                }
            }
        }
        if !watched.side_effects.is_empty() {
            watched.judge = Judge::default();
            let why = format!(
                "changes by {} cannot be told from others",
                watched.side_effects.join(", ")
            );
            return self.unseen(std::slice::from_ref(table), &why);
        }
        let found = watched.judge.look(look);
        let hidden = watched.judge.hidden();
        self.app.around.change(table, self.side, |standing| {
            (standing.hidden, standing.unseen) = (hidden, None);
        });
        if found > 0 {
            self.found(table, found);
        }
    }

    fn unseen(&self, tables: &[TableMap], why: &str) {
        for table in tables {
            self.app.around.change(table, self.side, |standing| {
                (standing.hidden, standing.unseen) = (None, Some(why.to_owned()));
            });
        }
    }

    fn found(&mut self, table: &TableMap, changes: u64) {
        let (name, side) = (table.old.name.to_string(), self.side);
        self.app.around.change(table, side, |standing| {
            standing.changes += changes;
            standing.last = Some(SystemTime::now());
        });
        let store = side.to_string();
        self.app
            .own_metrics
            .bypassing_writes
            .with_label_values(&[table.toggle.as_str(), &name, &store])
            .inc_by(changes);
        let phase = phase_of(&self.app, table);
        let remedy = remedy(&name, phase);
        tracing::warn!(toggle = table.toggle, table = name, %side, changes, "rows were changed around the proxy, and the other store does not have them: find the writer, then `{remedy}`");
        let reason = format!("rows were changed around the proxy in the {side} store");
        match phase {
            Some(Phase::DualWrite | Phase::DualRead) => {
                self.marks.insert(name, (table.toggle.clone(), reason));
            }
            Some(Phase::NewPrimary) => {
                let mark = (table.toggle.clone(), reason);
                self.marks.insert(reverse_name(table), mark);
            }
            // From 6 on the record of the way back is marked already; a table that is not complete any more would be refused to clients, and that is
            // the operator's to decide.
            _other => {}
        }
    }
}

/// Whether all that this process writes into the table is counted, and nothing else should be written there. Of other proxies the same holds: a phase is effective
/// where it is with all of them.
fn is_watched(app: &App, table: &TableMap, side: Side) -> bool {
    let Some(toggle) = app.toggles.get(&table.toggle) else {
        return false;
    };
    let gate = toggle.gate();
    [gate.current().phase, gate.effective_phase()]
        .into_iter()
        .all(|phase| is_counted(phase, side))
}

/// Whether sessions count what they write into a store in this phase.
fn is_counted(phase: Phase, side: Side) -> bool {
    match phase {
        Phase::DualWrite | Phase::DualRead | Phase::NewPrimary => true,
        Phase::NewWrites | Phase::Backfill => side == Side::Old,
        Phase::DeployNew | Phase::UseOld | Phase::NewOnly => false,
    }
}

/// [`counted_since`] of a table's toggle.
fn counted_from(app: &App, table: &TableMap, side: Side) -> u64 {
    let known = app.journal.state().toggle(&table.toggle);
    known.map_or(0, |known| counted_since(&known.history, side))
}

/// The epoch since which the toggle has been in phases only in which sessions count what they write into the store. A spell in another one may be shorter than
/// the time between two looks.
fn counted_since(history: &[PhaseChange], side: Side) -> u64 {
    let came_from_elsewhere =
        |change: &&PhaseChange| change.from.is_none_or(|from| !is_counted(from, side));
    history
        .iter()
        .rfind(came_from_elsewhere)
        .map_or(0, |change| change.epoch)
}

fn phase_of(app: &App, table: &TableMap) -> Option<Phase> {
    let toggle = app.toggles.get(&table.toggle)?;
    Some(toggle.gate().current().phase)
}

/// The command that brings the two stores together again.
pub(crate) fn remedy(table: &str, phase: Option<Phase>) -> String {
    let reverse = match phase {
        // The new store's rows count.
        Some(phase) if phase.primary() == Side::New => " --reverse",
        _forward => "",
    };
    format!("crossfade verify --table {table}{reverse} --repair")
}

/// What was counted until now by everybody who writes through a proxy: the sum of this process's.
fn totals(own: &OwnChanges, tables: &[TableMap]) -> Vec<OwnTotal> {
    tables.iter().map(|table| own.of(table).total()).collect()
}

fn unix_s(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_journal::Why;

    #[test]
    fn trap_41_a_spell_in_which_nobody_counts_begins_anew() {
        let walk = |phases: &[u8]| -> Vec<PhaseChange> {
            let phase = |number| Phase::from_number(number).unwrap();
            let steps = phases.windows(2).zip(1..);
            steps
                .map(|(step, epoch)| PhaseChange {
                    at_unix_s: 0,
                    epoch,
                    from: Some(phase(step[0])),
                    to: phase(step[1]),
                    why: Why::First,
                })
                .collect()
        };
        let both = |phases: &[u8]| {
            let history = walk(phases);
            [Side::Old, Side::New].map(|side| counted_since(&history, side))
        };
        assert_eq!(both(&[2, 3, 4, 5, 4]), [1, 1]);
        // However short it was in 2.
        assert_eq!(both(&[2, 3, 2, 3, 4]), [3, 3]);
        // In 6 nobody counts what goes into the new store, and nothing goes into the old one.
        assert_eq!(both(&[2, 3, 4, 6, 5]), [1, 4]);
    }
}
