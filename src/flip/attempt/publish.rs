//! The end of a move: recorded, published, and at last effective.

use std::{sync::Arc, time::Instant};

use crossfade_crash::{self as crash, Point};
use crossfade_journal::{PhaseChange, TableState, Why};
use crossfade_phase::Phase;
use crossfade_store::{Form, KeyRange, Mapping};
use crossfade_toggle::{Ready, Snapshot, Toggle};

use super::{super::record::record, Outcome};
use crate::{app::App, jobs};

/// Records, then publishes, with nothing in between that could be dropped.
pub(super) fn publish(
    app: &Arc<App>,
    toggle: &Arc<Toggle>,
    ready: Ready,
    mapping: Option<Mapping>,
) -> Outcome {
    let (step, basis) = (ready.proof().step(), ready.proof().basis().clone());
    // Sessions of the new phase route by the new mapping; those of the old phase may, since nothing in it contradicts the old one.
    if let Some(mapping) = mapping {
        app.put_mapping(mapping);
    }
    let tables = app.tables_of(toggle.name());
    crash::at(Point::FlipReady);
    if let Err(error) = record(&app.journal, toggle.name(), &tables, step, &basis) {
        return Outcome::CalledOff(format!(
            "{step} was called off: {error}; make room or correct the rights of state_dir"
        ));
    }
    crash::at(Point::FlipRecorded);
    let flipped = ready.publish();
    crash::at(Point::FlipPublished);
    app.facts(toggle).moved();
    if step.needs_barrier() {
        app.facts(toggle)
            .paused(flipped.drained_in, flipped.closed_for);
        let (drained_ms, closed_ms) = (
            flipped.drained_in.as_millis(),
            flipped.closed_for.as_millis(),
        );
        tracing::info!(
            toggle = toggle.name(),
            drained_ms,
            closed_ms,
            "the barrier has held clients back for {closed_ms} ms at the most"
        );
    }
    let last = app.journal.state().toggle(toggle.name());
    let last = last.and_then(|state| state.history.last().cloned());
    announce(app, toggle, step.from(), flipped.snapshot, last.as_ref());
    Outcome::Moved
}

/// A move is published in this proxy's gate: tells everybody here who has to know.
pub(crate) fn announce(
    app: &Arc<App>,
    toggle: &Arc<Toggle>,
    from: Phase,
    now: Snapshot,
    last: Option<&PhaseChange>,
) {
    app.complete.refresh(&app.journal, &app.mapping());
    if let Some(shared) = app.shared.get() {
        shared.flips.notify_waiters();
    }
    let to = now.phase;
    app.own_metrics
        .flips
        .with_label_values(&[toggle.name(), from.name(), to.name()])
        .inc();
    let basis = match last.map(|change| &change.why) {
        Some(Why::Override { because, .. }) => format!("override: {because}"),
        Some(Why::Guards(_)) => "guard".to_owned(),
        Some(Why::First | Why::Followed(_)) | None => "record".to_owned(),
    };
    tracing::info!(toggle = toggle.name(), from = %from, to = %to, epoch = %now.epoch, basis, "toggle \"{}\" moved: {} ({}) → {to} ({})", toggle.name(), from, from.number(), to.number());
    tokio::spawn(settled(app.clone(), toggle.clone()));
}

/// Waits until the published phase is effective, notes it, and starts what begins with it.
pub(crate) async fn settled(app: Arc<App>, toggle: Arc<Toggle>) {
    let began = Instant::now();
    let snapshot = toggle.gate().effective().await;
    if !app.facts(&toggle).effective(snapshot.epoch) {
        return;
    }
    app.metrics
        .phase
        .with_label_values(&[toggle.name()])
        .set(snapshot.phase.number().into());
    let after_ms = began.elapsed().as_millis();
    tracing::info!(toggle = toggle.name(), phase = %snapshot.phase, epoch = %snapshot.epoch, after_ms, "phase {} is effective", snapshot.phase);
    app.facts(&toggle).look.notify_one();
    // A command that moves a toggle while nothing serves leaves the work to the next start.
    if snapshot.phase == Phase::Backfill && app.shared.get().is_some() {
        jobs::complete_toggle(app.clone(), toggle.clone(), snapshot);
    }
}
/// Tables of a toggle that have no row in the new store. One that cannot be looked at counts as one with rows.
pub(super) async fn empty_tables(app: &App, mapping: &Mapping, toggle: &str) -> Vec<String> {
    let mut empty = Vec::new();
    for table in mapping.tables.iter().filter(|table| table.toggle == toggle) {
        let first = app
            .stores
            .new
            .scan(table, &KeyRange::default(), 1, Form::Own)
            .await;
        if first.is_ok_and(|rows| rows.is_empty()) {
            empty.push(table.old.name.to_string());
        }
    }
    empty
}

/// Trap 38: a table that was empty in the new store when phase 3 became effective at once, with no statement of phase 2 left to write past it, holds no row that
/// could be stale: what comes into it from then on comes as an image.
pub(super) fn trust_empty(app: &App, tables: &[String]) {
    for table in tables {
        if let Err(error) = app
            .journal
            .state()
            .update_table(table, |known| *known = TableState::default())
        {
            tracing::warn!(table, %error, "the table began empty in the new store, which could not be noted: a verify is asked for before dual-read");
        }
    }
}
