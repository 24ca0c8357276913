//! One attempt at one move: facts, guard, barrier, record, publication.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_phase::Phase;
use crossfade_store::{Mapping, ResolveError, StoreError};
use crossfade_toggle::{Basis, Evidence, FlipError, Holder, Move, Proof, Ready, Reason, Refusal, Toggle, Unmet, guard};
use tokio::time::timeout;

use super::{evidence::inside_barrier, gather, record::record, refusal_text, sequences};
use crate::{
    app::{App, Need},
    jobs,
};

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The move is published.
    Moved,
    /// Its guard refused, or something it needs failed.
    Refused {
        /// Every condition with its command.
        why: String,
        /// Whether it may well hold a moment later without anybody doing anything.
        passing: bool,
    },
    /// The barrier was closed and opened again in the old phase: to be tried again only after a while, since clients wait each time.
    CalledOff(String),
}

impl Outcome {
    fn refused(why: impl Into<String>) -> Outcome {
        Outcome::Refused { why: why.into(), passing: false }
    }
}

/// Why the steps inside the barrier did not get to their end.
enum Inside {
    Refused(Box<Refusal>),
    Store(StoreError),
    Immovable(Vec<String>),
    TimedOut,
}

/// Tries `step`; an operator's `overriding` reason stands in for conditions that do not hold.
pub(crate) async fn attempt(app: &Arc<App>, toggle: &Arc<Toggle>, step: Move, overriding: Option<Reason>) -> Outcome {
    let gathered = gather(app, toggle, step).await;
    let proof = match (guard(step, &gathered.evidence), overriding) {
        (Ok(proof), _) => proof,
        (Err(refusal), Some(reason)) => {
            tracing::warn!(toggle = toggle.name(), because = reason.as_str(), %refusal, "an operator overrides the guard");
            refusal.overridden(reason)
        }
        (Err(refusal), None) => {
            let passing = is_passing(&refusal);
            return Outcome::Refused { why: refusal_text(&refusal, &gathered.details), passing };
        }
    };
    let mapping = match new_mapping(app, toggle, step).await {
        Ok(mapping) => mapping,
        Err(error) => return Outcome::refused(format!("{step} is refused: {error} (`crossfade check`)")),
    };
    let drain_timeout = app.config.load().flips.drain_timeout;
    if let Some(why) = too_long_open(toggle, step, drain_timeout) {
        return Outcome::Refused { why, passing: true };
    }
    let began = Instant::now();
    let ready = match toggle.gate().prepare(proof, drain_timeout).await {
        Ok(ready) => ready,
        Err(error @ FlipError::DrainTimedOut { .. }) => return Outcome::CalledOff(format!("{step}: {error} (`crossfade status` shows who holds it up)")),
        Err(error) => return Outcome::Refused { why: format!("{step}: {error} (`crossfade status`)"), passing: true },
    };
    if step.changes_primary() {
        let left = drain_timeout.saturating_sub(began.elapsed());
        if let Err(inside) = inside_bounded(app, toggle, step, ready.proof(), gathered.evidence, left).await {
            // Dropping `ready` opens the barrier in the old phase.
            return called_off(step, inside);
        }
    }
    publish(app, toggle, step, ready, mapping)
}

/// What is left of the comparison's window that is waited out without a word.
const WINDOW_LEFT: Duration = Duration::from_secs(3);

/// Whether everything that a guard misses comes to hold by itself within moments, when nothing is wrong.
pub(crate) fn is_passing(refusal: &Refusal) -> bool {
    refusal.unmet().iter().all(passes)
}

fn passes(unmet: &Unmet) -> bool {
    match unmet {
        Unmet::NotEffective(_) | Unmet::Elsewhere(_) | Unmet::DirtyKeys(_) | Unmet::UnresolvedIntents(_) | Unmet::JobRunning(_) => true,
        // Nobody knows yet since when the phase is effective: it became so a moment ago.
        Unmet::NotCompared => true,
        Unmet::WatchedTooShort { watched, window } => window.saturating_sub(*watched) <= WINDOW_LEFT,
        _something_to_do => false,
    }
}

/// A mapping by the catalogs as they are, for moves after which more of them is used.
async fn new_mapping(app: &App, toggle: &Toggle, step: Move) -> Result<Option<Mapping>, ResolveError> {
    let looks_anew = matches!((step.from(), step.to()), (Phase::DeployNew, Phase::UseOld) | (Phase::UseOld, Phase::DualWrite) | (Phase::NewOnly, Phase::Backfill));
    if !looks_anew {
        return Ok(None);
    }
    let need = Need::of(app.toggles.values()).with(toggle.name(), step.to());
    match app.resolve(&need).await {
        Ok(mapping) => Ok(Some(mapping)),
        // Nothing routes by it in phase 2.
        Err(error) if step.to() == Phase::UseOld => {
            tracing::warn!(toggle = toggle.name(), %error, "the mapping cannot be made yet; `crossfade check` shows what is missing");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A transaction that has been open for longer than the barrier may stay closed will hardly end in time: clients are not made to wait for nothing.
fn too_long_open(toggle: &Toggle, step: Move, drain_timeout: Duration) -> Option<String> {
    if !step.needs_barrier() {
        return None;
    }
    let long = |holder: &Holder| holder.open_for.is_some_and(|open_for| open_for > drain_timeout);
    let holders: Vec<String> = toggle.gate().pinned().iter().filter(|holder| long(holder)).take(5).map(ToString::to_string).collect();
    (!holders.is_empty()).then(|| {
        let held = holders.join("; ");
        format!("{step} waits: transactions have been open for longer than drain_timeout ({} ms): {held} (`crossfade status`)", drain_timeout.as_millis())
    })
}

async fn inside_bounded(app: &App, toggle: &Toggle, step: Move, proof: &Proof, before: Evidence, left: Duration) -> Result<(), Inside> {
    let outcome = timeout(left, inside(app, toggle, step, proof, before)).await;
    outcome.unwrap_or(Err(Inside::TimedOut))
}

/// What belongs inside the barrier of a move that changes the primary: everything the coming primary has is on its disk, its sequences are past the other's,
/// and the facts still hold now that nothing runs any more.
async fn inside(app: &App, toggle: &Toggle, step: Move, proof: &Proof, before: Evidence) -> Result<(), Inside> {
    let coming = step.to().primary();
    if app.journal.backlog(toggle.name()).unconfirmed > 0 {
        app.confirmer.confirm(coming).await.map_err(Inside::Store)?;
    }
    let tables = app.tables_of(toggle.name());
    let immovable = sequences::advance(app, &tables, coming).await.map_err(Inside::Store)?;
    let overridden = matches!(proof.basis(), Basis::Override { .. });
    if !immovable.is_empty() && !overridden {
        return Err(Inside::Immovable(immovable));
    }
    proof.still_holds(&inside_barrier(app, toggle, before)).map_err(|refusal| Inside::Refused(Box::new(refusal)))
}

fn called_off(step: Move, inside: Inside) -> Outcome {
    match inside {
        Inside::Refused(refusal) => Outcome::Refused { passing: is_passing(&refusal), why: refusal.to_string() },
        Inside::Store(error) => Outcome::CalledOff(format!("{step} was called off: {error} (`crossfade check`)")),
        Inside::Immovable(names) => Outcome::CalledOff(format!("{step} was called off: sequences stay behind: {} (`crossfade check`)", names.join(", "))),
        Inside::TimedOut => Outcome::CalledOff(format!("{step} was called off: the steps inside the barrier did not end within drain_timeout (`crossfade status`)")),
    }
}

/// Records, then publishes, with nothing in between that could be dropped.
fn publish(app: &Arc<App>, toggle: &Arc<Toggle>, step: Move, ready: Ready, mapping: Option<Mapping>) -> Outcome {
    let basis = ready.proof().basis().clone();
    // Sessions of the new phase route by the new mapping; those of the old phase may, since nothing in it contradicts the old one.
    if let Some(mapping) = mapping {
        app.put_mapping(mapping);
    }
    let tables = app.tables_of(toggle.name());
    if let Err(error) = record(&app.journal, toggle.name(), &tables, step, &basis) {
        return Outcome::CalledOff(format!("{step} was called off: {error}; make room or correct the rights of state_dir"));
    }
    let flipped = ready.publish();
    app.complete.refresh(&app.journal, &app.mapping());
    if let Some(shared) = app.shared.get() {
        shared.flips.notify_waiters();
    }
    app.facts(toggle).moved();
    let (from, to) = (step.from(), step.to());
    app.own_metrics.flips.with_label_values(&[toggle.name(), from.name(), to.name()]).inc();
    let drained_ms = flipped.drained_in.as_millis();
    let basis = match &flipped.basis {
        Basis::Guard => "guard".to_owned(),
        Basis::Override { reason, .. } => format!("override: {reason}"),
    };
    tracing::info!(toggle = toggle.name(), from = %from, to = %to, epoch = %flipped.snapshot.epoch, drained_ms, basis, "toggle \"{}\" moved: {step}", toggle.name());
    tokio::spawn(settled(app.clone(), toggle.clone()));
    Outcome::Moved
}

/// Waits until the published phase is effective, notes it, and starts what begins with it.
pub(crate) async fn settled(app: Arc<App>, toggle: Arc<Toggle>) {
    let began = Instant::now();
    let snapshot = toggle.gate().effective().await;
    if !app.facts(&toggle).effective(snapshot.epoch) {
        return;
    }
    app.metrics.phase.with_label_values(&[toggle.name()]).set(snapshot.phase.number().into());
    let after_ms = began.elapsed().as_millis();
    tracing::info!(toggle = toggle.name(), phase = %snapshot.phase, epoch = %snapshot.epoch, after_ms, "phase {} is effective", snapshot.phase);
    app.facts(&toggle).look.notify_one();
    // A command that moves a toggle while nothing serves leaves the work to the next start.
    if snapshot.phase == Phase::Backfill && app.shared.get().is_some() {
        jobs::complete_toggle(app.clone(), toggle.clone(), snapshot);
    }
}
