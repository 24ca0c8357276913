//! Runs a batch, one table after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crossfade_reconcile::{
    BackfillReport, Direction, Engine, Error, OnProgress, Progress, RepairReport, VerifyOptions,
    VerifyReport,
};
use crossfade_store::TableId;

use super::{Batch, Kind, Request, Stage};
use crate::app::{App, lock};

/// Runs every part to its end.
pub(super) async fn run(app: &Arc<App>, engine: &Engine, batch: &Arc<Batch>) {
    match batch.request.kind {
        Kind::Repair => repair(engine, batch).await,
        Kind::Backfill | Kind::Verify => {
            for index in 0..batch.parts.len() {
                one(app, engine, batch, index).await;
                app.complete.refresh(&app.journal, &app.mapping());
            }
        }
    }
    for facts in app.facts.values() {
        // A guard may agree now.
        facts.look.notify_one();
    }
}

/// Repairs the keys of all tables: what a foreign key holds up in one may be settled by another.
async fn repair(engine: &Engine, batch: &Arc<Batch>) {
    let began = Instant::now();
    for index in 0..batch.parts.len() {
        begins(batch, index);
    }
    let tables: Vec<TableId> = batch.parts.iter().map(|part| part.table).collect();
    let reverse = batch.request.direction() == Direction::Reverse;
    let outcomes = engine.repair_all(&tables, reverse).await;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        repaired(batch, index, outcome);
        ended(batch, index, began);
    }
}

async fn one(app: &Arc<App>, engine: &Engine, batch: &Arc<Batch>, index: usize) {
    let part = &batch.parts[index];
    let began = Instant::now();
    begins(batch, index);
    let request = &batch.request;
    let report = on_progress(app, batch, index, request.kind == Kind::Backfill);
    match request.kind {
        // See `repair`.
        Kind::Repair => {}
        Kind::Backfill => backfilled(
            batch,
            index,
            engine
                .backfill(part.table, request.direction(), report)
                .await,
        ),
        Kind::Verify => {
            let outcome = engine
                .verify(part.table, request.direction(), options(request), report)
                .await;
            if let Ok(found) = &outcome {
                let left = i64::try_from(found.left()).unwrap_or(i64::MAX);
                let view = lock(&part.view);
                app.metrics
                    .verify_differences
                    .with_label_values(&[&view.toggle, &view.table])
                    .set(left);
            }
            verified(batch, index, outcome);
        }
    }
    ended(batch, index, began);
}

fn begins(batch: &Batch, index: usize) {
    let mut view = lock(&batch.parts[index].view);
    view.stage = Stage::Running;
    let (kind, toggle, table) = (view.kind, &view.toggle, &view.table);
    tracing::info!(job = batch.id, toggle, table, "{} begins", kind.name());
}

/// Logs what came of a part.
pub(super) fn ended(batch: &Batch, index: usize, began: Instant) {
    let view = lock(&batch.parts[index].view).clone();
    let (kind, toggle, table) = (view.kind, view.toggle, view.table);
    let took_ms = began.elapsed().as_millis();
    let outcome = view.outcome.unwrap_or_default();
    match view.stage {
        Stage::Failed => tracing::error!(
            job = batch.id,
            toggle,
            table,
            took_ms,
            "{} failed: {outcome}",
            kind.name()
        ),
        Stage::No | Stage::Usage => tracing::warn!(
            job = batch.id,
            toggle,
            table,
            took_ms,
            "{} ended: {outcome}",
            kind.name()
        ),
        Stage::Done | Stage::Running | Stage::Waiting => tracing::info!(
            job = batch.id,
            toggle,
            table,
            took_ms,
            "{} ended: {outcome}",
            kind.name()
        ),
    }
}

fn options(request: &Request) -> VerifyOptions {
    VerifyOptions {
        repair: request.repair,
        values: request.values,
        ..VerifyOptions::default()
    }
}

/// Keeps the view up to date, and the metric of copied rows.
fn on_progress(app: &Arc<App>, batch: &Arc<Batch>, index: usize, counts: bool) -> OnProgress {
    let (app, batch, counted) = (app.clone(), batch.clone(), AtomicU64::new(0));
    Arc::new(move |progress: Progress| {
        let mut view = lock(&batch.parts[index].view);
        view.progress(progress);
        if counts {
            let before = counted.fetch_max(progress.rows_changed, Ordering::Relaxed);
            let more = progress.rows_changed.saturating_sub(before);
            app.metrics
                .backfill_rows
                .with_label_values(&[&view.toggle, &view.table])
                .inc_by(more);
        }
    })
}

fn backfilled(batch: &Batch, index: usize, outcome: Result<BackfillReport, Error>) {
    let mut view = lock(&batch.parts[index].view);
    match outcome {
        Ok(report) if report.already_complete => {
            view.ended(Stage::Done, "nothing to copy: the table is complete, or has been, and what only the old store has was deleted since".to_owned())
        }
        Ok(report) => {
            (view.rows, view.changed) = (report.rows_seen, report.rows_copied);
            let mut text = format!(
                "{} rows read, {} copied",
                report.rows_seen, report.rows_copied
            );
            if report.repaired > 0 {
                text.push_str(&format!(
                    ", {} that changed meanwhile repaired",
                    report.repaired
                ));
            }
            if report.left_dirty > 0 {
                text.push_str(&format!(
                    ", {} refused by the target, or stale in the source, and left dirty (`crossfade status`)",
                    report.left_dirty
                ));
            }
            let stage = if report.left_dirty == 0 {
                Stage::Done
            } else {
                Stage::No
            };
            view.ended(stage, text);
        }
        Err(error) => view.broken_off(stage_of(&error), &error, &batch.request),
    }
}

fn verified(batch: &Batch, index: usize, outcome: Result<VerifyReport, Error>) {
    let mut view = lock(&batch.parts[index].view);
    match outcome {
        Ok(report) => view.verified(&report, &batch.request),
        Err(error) => view.broken_off(stage_of(&error), &error, &batch.request),
    }
}

fn repaired(batch: &Batch, index: usize, outcome: Result<RepairReport, Error>) {
    let mut view = lock(&batch.parts[index].view);
    match outcome {
        Ok(report) => {
            let RepairReport {
                upserted,
                deleted,
                already_equal,
                failed,
                left_dirty,
                waiting: _,
                stale,
            } = &report;
            view.listed = failed.iter().map(ToString::to_string).collect();
            view.listed.extend(stale.iter().map(ToString::to_string));
            (view.rows, view.changed) = (
                upserted + deleted + already_equal + left_dirty,
                upserted + deleted,
            );
            let text = format!(
                "{upserted} written, {deleted} deleted, {already_equal} alike already, {left_dirty} left dirty"
            );
            let stage = if *left_dirty == 0 {
                Stage::Done
            } else {
                Stage::No
            };
            view.ended(stage, text);
        }
        Err(error) => view.broken_off(stage_of(&error), &error, &batch.request),
    }
}

/// Whose fault an error is, for the exit status.
fn stage_of(error: &Error) -> Stage {
    match error {
        Error::Store { .. } | Error::Ledger(_) | Error::WorkerLost => Stage::Failed,
        Error::UnknownToggle(_) | Error::UnknownTable(_) => Stage::Usage,
        Error::EpochChanged(_)
        | Error::NotNow(_)
        | Error::NotEffective { .. }
        | Error::Refused { .. }
        | Error::NoSecondary { .. }
        | Error::NullKey { .. } => Stage::No,
    }
}
