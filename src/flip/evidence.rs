//! Gathers the facts that a guard weighs.

use crossfade_journal::{TableState, Verified};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Direction, standing};
use crossfade_store::{StoreError, StoreResult, TableMap};
use crossfade_toggle::{
    Comparison, Evidence, Gate, JournalFacts, Move, StoreAnswer, TableFacts, Toggle,
};
use tokio::time::{Duration, timeout};

use super::{preflight, sequences};
use crate::{
    app::{App, Need},
    control::{Other, Seat},
};

/// Longest wait for a store to say that it is there.
const PING: Duration = Duration::from_secs(5);
/// Obstacles named in a refusal; `crossfade check` shows all.
const NAMED: usize = 5;

/// Facts, and what is behind them.
pub(crate) struct Gathered {
    /// For the guard.
    pub(crate) evidence: Evidence,
    /// What the numbers in the evidence stand for.
    pub(crate) details: Vec<String>,
}

/// Gathers what the guard of `step` asks for, and only that.
pub(crate) async fn gather(app: &App, toggle: &Toggle, step: Move) -> Gathered {
    let gate = toggle.gate();
    let current = gate.current();
    let mut gathered = Gathered {
        evidence: Evidence::unknown(current),
        details: Vec::new(),
    };
    gathered.evidence.effective = is_effective(gate);
    if (step.from(), step.to()) == (Phase::UseOld, Phase::DualWrite) {
        gathered.evidence.new_store = answer(app, Side::New).await;
        if gathered.evidence.new_store == StoreAnswer::Answers {
            take_preflight(app, toggle, &mut gathered).await;
        }
    }
    let tables = app.tables_of(toggle.name());
    let evidence = &mut gathered.evidence;
    if step.from() == Phase::NewOnly {
        evidence.old_store = answer(app, Side::Old).await;
    }
    if step.changes_primary() {
        let (immovable, details) = immovable(app, toggle, &tables, step.to().primary()).await;
        evidence.immovable_sequences = immovable;
        gathered.details.extend(details);
        // Jobs pin the gate chunk by chunk and end by themselves when it moves; jobs of another process would hold the journal.
        evidence.running_jobs = Some(Vec::new());
    }
    // The journal marks the keys of a transaction whose session is gone by itself: no intent stays open without somebody to close it. But what nobody has read
    // yet, nobody has marked.
    evidence.journal = Some(JournalFacts {
        dirty_keys: app.journal.stale_count(toggle.name()),
        unresolved_intents: u64::from(!app.journal.is_settled(toggle.name())),
    });
    evidence.comparison = comparison(app, toggle);
    if let Some(seat) = app.seat(toggle) {
        let others = seat.others();
        with_others(evidence, &others);
        gathered.details.extend(keys_of_others(&others, step));
        let evidence = &mut gathered.evidence;
        evidence.lost_keys = lost(seat, &tables, step);
        if evidence.lost_keys > 0 {
            gathered.details.push("a proxy was forgotten that knew of such keys, and nobody knows any more which they are: the rows can be brought over by a verify where the store that has them is the primary; this move, with a reason, gives them up".to_owned());
        }
        // Where that cannot be asked, nobody knows.
        let left = left_behind(app, step).await.unwrap_or(true);
        if let Some(journal) = &mut evidence.journal {
            journal.unresolved_intents += u64::from(left);
        }
    }
    let evidence = &mut gathered.evidence;
    // Of several proxies the record says it, as it says which of them count: a proxy that is forgotten leaves both at once.
    let record = app.seat(toggle).map(|seat| seat.record());
    let known = |name: String| match &record {
        Some(record) => record.tables.get(&name).cloned().unwrap_or_default(),
        None => app.journal.state().table(&name),
    };
    evidence.tables = tables.iter().map(|table| facts(table, known)).collect();
    if (step.from(), step.to()) == (Phase::DualWrite, Phase::DualRead) {
        // A verify of a table that was never copied only finds everything missing.
        let never = evidence
            .tables
            .iter()
            .filter(|table| table.new_bypassed && !table.backfilled);
        gathered.details.extend(never.map(|table| format!("table \"{0}\" was never copied: `crossfade backfill --table {0}` before the verify", table.name)));
    }
    gathered
}

/// The same facts inside the barrier, where only the journal can have changed: every open intent counts now, since nothing runs that could close it.
pub(super) fn inside_barrier(app: &App, toggle: &Toggle, before: Evidence) -> Evidence {
    let backlog = app.journal.backlog(toggle.name());
    Evidence {
        effective: is_effective(toggle.gate()),
        journal: Some(JournalFacts {
            dirty_keys: backlog.stale,
            unresolved_intents: (backlog.open + backlog.unconfirmed) as u64,
        }),
        ..before
    }
}

/// The facts of every proxy: what its journal held when it was last heard of, and what it has seen of reads.
fn with_others(evidence: &mut Evidence, others: &[Other]) {
    let silent = others.iter().filter(|other| other.is_silent());
    evidence.silent_proxies = silent.map(|other| other.name.clone()).collect();
    let unheard = others.iter().filter(|other| other.heard.is_none());
    evidence.unheard_proxies = unheard.map(|other| other.name.clone()).collect();
    for row in others.iter().filter_map(Other::row) {
        if let Some(journal) = &mut evidence.journal {
            journal.dirty_keys += row.stale();
            journal.unresolved_intents += u64::from(row.unsettled);
        }
        // One that has ended compares nothing, and one that compares nothing yet may begin at any moment.
        if row.ended {
            continue;
        }
        evidence.comparison = match (evidence.comparison, row.compared) {
            (Some(all), Some(one)) => Some(Comparison {
                mismatches: all.mismatches + one.mismatches,
                watched: all.watched.min(Duration::from_millis(one.watched_ms)),
                ..all
            }),
            (_, _) => None,
        };
    }
}

/// Whose keys they are: each proxy repairs its own, as far as they are stale in the secondary.
fn keys_of_others(others: &[Other], step: Move) -> Vec<String> {
    let named = others.iter().filter_map(|other| {
        let row = other.row().filter(|row| row.dirty > 0)?;
        let secondary = step.from().secondary();
        let hint = if row.ended {
            ", which has ended: start it again"
        } else if secondary.is_some_and(|side| row.stale().stale(side) > 0) {
            ": `crossfade repair` through that one"
        } else {
            ""
        };
        Some(format!(
            "{} dirty keys are in the journal of proxy \"{}\"{hint}",
            row.dirty, other.name
        ))
    });
    named.collect()
}

/// Keys of forgotten proxies whose newer rows this move leaves behind.
fn lost(seat: &Seat, tables: &[TableMap], step: Move) -> u64 {
    let direction = match (step.from(), step.to()) {
        (Phase::DualRead | Phase::NewPrimary, Phase::NewWrites)
        | (Phase::Backfill, Phase::NewOnly) => Direction::Forward,
        (Phase::DualWrite | Phase::DualRead, Phase::DeployNew | Phase::UseOld) => {
            Direction::Reverse
        }
        _nothing_is_left_behind => return 0,
    };
    let record = seat.record();
    let known = tables
        .iter()
        .filter_map(|table| record.lost.get(&standing::record_of(table, direction)));
    // Counted once for the toggle, and kept with each of its tables.
    known.max().copied().unwrap_or(0)
}

/// The same facts inside the barrier of all proxies: each has counted its journal behind its own.
pub(super) fn inside_all(app: &App, toggle: &Toggle, seat: &Seat, before: Evidence) -> Evidence {
    let mut now = inside_barrier(app, toggle, before);
    // Everybody has answered the barrier, or has ended.
    now.effective = true;
    now.silent_proxies.clear();
    now.unheard_proxies.clear();
    if let Some(journal) = &mut now.journal {
        for row in seat.others().iter().filter_map(Other::row) {
            journal.dirty_keys += row.stale();
            journal.unresolved_intents += row.open;
        }
    }
    now
}

/// Whether somebody has left rows in the primary that no proxy which counts answers for: dirty keys and intents that nobody else has counted.
///
/// # Errors
/// When the primary does not answer.
pub(super) async fn left_behind(app: &App, step: Move) -> StoreResult<bool> {
    let (Some(others), Some(shared)) = (&app.others, &app.control) else {
        return Ok(false);
    };
    // Elsewhere nothing becomes dirty, and nothing may have been kept there yet.
    if step.from() <= Phase::UseOld || step.from() == Phase::NewOnly {
        return Ok(false);
    }
    let counts = shared.counts();
    others.left_behind(step.from().primary(), &counts).await
}

fn is_effective(gate: &Gate) -> bool {
    gate.is_effective()
}

/// Sequences that cannot be moved, by the catalog as it is: what the mapping remembers of it may have been mended since. Documents count as the mapping says that the
/// old store's sequences do, so for them the catalog is asked in any case.
async fn immovable(
    app: &App,
    toggle: &Toggle,
    tables: &[TableMap],
    coming: Side,
) -> (Option<Vec<String>>, Vec<String>) {
    let remembered = sequences::immovable(app, tables, coming).await;
    let counted = tables.iter().any(|table| table.on(coming).shapeless);
    if !counted && remembered.0.as_ref().is_none_or(Vec::is_empty) {
        return remembered;
    }
    let Ok(mapping) = app.resolve(&Need::of(app.toggles.values())).await else {
        return remembered;
    };
    let of_toggle = |table: &&TableMap| table.toggle == toggle.name();
    let now: Vec<TableMap> = mapping.tables.iter().filter(of_toggle).cloned().collect();
    let found = sequences::immovable(app, &now, coming).await;
    if found != remembered || !sequences::count_alike(tables, &now) {
        app.put_mapping(mapping);
    }
    found
}

async fn take_preflight(app: &App, toggle: &Toggle, gathered: &mut Gathered) {
    let found = preflight(&app.config.load_full(), &app.stores, toggle.name()).await;
    gathered.evidence.blocking_findings = found.blocking();
    let mut obstacles = found.obstacles();
    let more = obstacles.len().saturating_sub(NAMED);
    obstacles.truncate(NAMED);
    gathered.details.extend(obstacles);
    if more > 0 {
        gathered.details.push(format!("and {more} more"));
    }
}

async fn answer(app: &App, side: Side) -> StoreAnswer {
    let store = app.stores.on(side);
    let outcome = timeout(PING, store.ping()).await;
    match outcome {
        Ok(Ok(())) => StoreAnswer::Answers,
        Ok(Err(error)) => StoreAnswer::Silent(error.to_string()),
        Err(_) => {
            let late = StoreError::TimedOut {
                store: app.url(side),
                after: PING,
            };
            StoreAnswer::Silent(late.to_string())
        }
    }
}

fn comparison(app: &App, toggle: &Toggle) -> Option<Comparison> {
    let current = toggle.gate().current();
    let window = app.config.load().flips.mismatch_window;
    if current.phase != Phase::DualRead {
        return None;
    }
    app.facts(toggle).comparison(current.epoch, window)
}

fn facts(table: &TableMap, known: impl Fn(String) -> TableState) -> TableFacts {
    let [forward, reverse] = [Direction::Forward, Direction::Reverse]
        .map(|direction| known(standing::record_of(table, direction)));
    let since_backfill = forward.verified.as_ref().filter(|verified| {
        forward
            .backfilled_at_epoch
            .is_none_or(|epoch| verified.at_epoch >= epoch)
    });
    let left = |verified: &Option<Verified>| verified.as_ref().map_or(0, Verified::left);
    TableFacts {
        left: left(&forward.verified),
        reverse_left: left(&reverse.verified),
        name: table.old.name.to_string(),
        // Entering phase 3 sets it, unless the table began empty there with nothing running beside: so it is there also for 'never verified'.
        new_bypassed: forward.bypassed.is_some(),
        old_bypassed: reverse.bypassed.is_some(),
        backfilled: forward.backfilled_at_epoch.is_some(),
        differences: since_backfill
            .filter(|_| forward.bypassed.is_none())
            .map(|verified| verified.differences),
        reverse_differences: reverse.verified.map(|verified| verified.differences),
    }
}
