//! One attempt at one move: facts, guard, barrier, record, publication.

mod inside;
mod publish;
mod together;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_phase::{Phase, Side};
use crossfade_store::{Mapping, ResolveError};
use crossfade_toggle::{
    Evidence, FlipError, Holder, Move, Proof, Reason, Refusal, Toggle, Unmet, guard,
};

pub(crate) use publish::{announce, settled};

use super::{gather, refusal_text, stragglers::Stragglers};
use crate::app::{App, Carried, Need};
use inside::inside_barrier;
use publish::{empty_tables, publish, trust_empty};

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

/// Tries `step`; an operator's `overriding` reason stands in for conditions that do not hold.
pub(crate) async fn attempt(
    app: &Arc<App>,
    toggle: &Arc<Toggle>,
    step: Move,
    overriding: Option<Reason>,
) -> Outcome {
    try_move(app, toggle, step, overriding)
        .await
        .unwrap_or_else(|stopped| stopped)
}

/// The error is an outcome, too: where the attempt stopped.
async fn try_move(
    app: &Arc<App>,
    toggle: &Arc<Toggle>,
    step: Move,
    overriding: Option<Reason>,
) -> Result<Outcome, Outcome> {
    let (proof, evidence) = weigh(app, toggle, step, overriding).await?;
    let mapping = new_mapping(app, toggle, step)
        .await
        .map_err(|error| Outcome::Refused {
            why: format!("{step} is refused: {error} (`crossfade check`)"),
            passing: false,
        })?;
    let empty = match &mapping {
        Some(mapping) if step.to() == Phase::DualWrite => {
            empty_tables(app, mapping, toggle.name()).await
        }
        Some(_) | None => Vec::new(),
    };
    make_primary(app, toggle, step).await?;
    app.journal_ready(toggle, step.to())
        .await
        .map_err(|why| Outcome::Refused {
            why: format!("{step} is refused: {why} (`crossfade check`)"),
            passing: false,
        })?;
    if let Some(why) = nobody_to_let_in(app, toggle, step) {
        return Err(Outcome::Refused {
            why,
            passing: false,
        });
    }
    let drain_timeout = app.config.load().flips.drain_timeout;
    if let Some(why) = too_long_open(toggle, step, drain_timeout) {
        return Err(Outcome::Refused { why, passing: true });
    }
    if let Some(seat) = app.seat(toggle) {
        return Ok(together::move_all(app, toggle, seat, proof, evidence).await);
    }
    let stragglers = Stragglers::before(app, toggle, step).await;
    let began = Instant::now();
    let ready = toggle
        .gate()
        .prepare(proof, drain_timeout)
        .await
        .map_err(|error| not_ready(step, &error))?;
    let mut carried = None;
    if step.changes_primary() {
        carried = Some(Carried::new(app, toggle.name(), step.from().primary()));
        let left = drain_timeout.saturating_sub(began.elapsed());
        // An error drops `ready`, which opens the barrier in the old phase.
        inside_barrier(app, toggle, ready.proof(), evidence, left).await?;
    }
    let outcome = publish(app, toggle, ready, mapping);
    if let (Outcome::Moved, Some(stragglers)) = (&outcome, stragglers) {
        stragglers.settle(app, toggle);
    }
    if let (Some(carried), Outcome::Moved) = (carried, &outcome) {
        carried.keep();
    }
    if matches!(outcome, Outcome::Moved) && toggle.gate().is_effective() {
        trust_empty(app, &empty);
    }
    Ok(outcome)
}

/// Makes what the new store needs as the primary and has not got from a schema.
async fn make_primary(app: &App, toggle: &Toggle, step: Move) -> Result<(), Outcome> {
    if step.from().primary() == step.to().primary() || step.to().primary() != Side::New {
        return Ok(());
    }
    for table in app.tables_of(toggle.name()) {
        let made = app.stores.new.ensure_unique(&table).await;
        made.map_err(|error| Outcome::Refused {
            why: format!("{step} is refused: table \"{}\": {error}", table.old.name),
            passing: false,
        })?;
    }
    Ok(())
}

/// From phase 8 of the last toggle on nobody asks the old store whether a password is right.
fn nobody_to_let_in(app: &App, toggle: &Toggle, step: Move) -> Option<String> {
    let others = app
        .toggles
        .values()
        .filter(|other| other.name() != toggle.name());
    let mut phases = others.map(|other| other.gate().current().phase);
    let last = step.to() == Phase::NewOnly && phases.all(|phase| phase == Phase::NewOnly);
    let config = app.config.load();
    let listed = config
        .users
        .as_ref()
        .is_some_and(|list| !list.users.is_empty());
    (app.documents.is_some() && last && !listed).then(|| {
        format!(
            "{step} is refused: nobody could sign in without the old store; name a file in [users] and run `crossfade users import -c {}` while the old store is there",
            app.file.display()
        )
    })
}

/// Asks the guard, and an operator's word where it refuses.
async fn weigh(
    app: &App,
    toggle: &Toggle,
    step: Move,
    overriding: Option<Reason>,
) -> Result<(Proof, Evidence), Outcome> {
    let gathered = gather(app, toggle, step).await;
    match (guard(step, &gathered.evidence), overriding) {
        (Ok(proof), _) => Ok((proof, gathered.evidence)),
        (Err(refusal), Some(reason)) => {
            tracing::warn!(toggle = toggle.name(), because = reason.as_str(), %refusal, "an operator overrides the guard");
            Ok((refusal.overridden(reason), gathered.evidence))
        }
        (Err(refusal), None) => Err(Outcome::Refused {
            passing: is_passing(&refusal),
            why: refusal_text(&refusal, &gathered.details),
        }),
    }
}

fn not_ready(step: Move, error: &FlipError) -> Outcome {
    match error {
        FlipError::DrainTimedOut { .. } | FlipError::InsideTimedOut { .. } => Outcome::CalledOff(
            format!("{step}: {error} (`crossfade status` shows who holds it up)"),
        ),
        FlipError::Busy
        | FlipError::Stale { .. }
        | FlipError::NotEffective { .. }
        | FlipError::Inside(_) => Outcome::Refused {
            why: format!("{step}: {error} (`crossfade status`)"),
            passing: true,
        },
    }
}

/// What is left of the comparison's window that is waited out without a word.
const WINDOW_LEFT: Duration = Duration::from_secs(3);

/// Whether everything that a guard misses comes to hold by itself within moments, when nothing is wrong.
pub(crate) fn is_passing(refusal: &Refusal) -> bool {
    refusal.unmet().iter().all(passes)
}

fn passes(unmet: &Unmet) -> bool {
    match unmet {
        Unmet::NotEffective(_)
        | Unmet::Elsewhere(_)
        | Unmet::DirtyKeys(_)
        | Unmet::UnresolvedIntents(_)
        | Unmet::JobRunning(_) => true,
        // Nobody knows yet since when the phase is effective: it became so a moment ago.
        Unmet::NotCompared => true,
        Unmet::WatchedTooShort { watched, window } => {
            window.saturating_sub(*watched) <= WINDOW_LEFT
        }
        _something_to_do => false,
    }
}

/// A mapping by the catalogs as they are, for moves after which more of them is used.
async fn new_mapping(
    app: &App,
    toggle: &Toggle,
    step: Move,
) -> Result<Option<Mapping>, ResolveError> {
    let looks_anew = matches!(
        (step.from(), step.to()),
        (Phase::DeployNew, Phase::UseOld)
            | (Phase::UseOld, Phase::DualWrite)
            | (Phase::NewOnly, Phase::Backfill)
    );
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
    let long = |holder: &Holder| {
        holder
            .open_for
            .is_some_and(|open_for| open_for > drain_timeout)
    };
    let holders: Vec<String> = toggle
        .gate()
        .pinned()
        .iter()
        .filter(|holder| long(holder))
        .take(5)
        .map(ToString::to_string)
        .collect();
    (!holders.is_empty()).then(|| {
        let held = holders.join("; ");
        format!("{step} waits: transactions have been open for longer than drain_timeout ({} ms): {held} (`crossfade status`)", drain_timeout.as_millis())
    })
}
