//! Statements of phase 2 that go on although their sessions are gone (trap 43).
//!
//! A client that leaves, a connection that breaks, a proxy that dies: the old store may not notice before the statement under way has ended, and then it commits. No
//! pin stands for it any more, and it writes the old store alone, behind whatever backfill and verify have looked at. So phase 3 is effective only when every
//! transaction has ended that was open in the old store when the last session of phase 2 had gone, those of sessions that go on excepted; and every backend
//! whose session has gone of late, as it may not have read yet what it was sent. Of a process that was killed only the former are known; its backends have had
//! the time of a start to read what they were sent. A transaction that was prepared for two-phase commit outlives its session in the same way.

use std::{sync::Arc, time::Duration};

use crossfade_phase::{Phase, Side};
use crossfade_store::{Backend, StoreResult};
use crossfade_toggle::{Hold, Move, Toggle};
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;

/// Between the first two looks; doubles.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// How long it is waited without a word.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for the old store at the start of a process.
const START: Duration = Duration::from_secs(1);
/// Backends that reports name.
const NAMED: usize = 3;

/// What is known of them before a move from 2 to 3 is published.
pub(crate) struct Stragglers {
    hold: Hold,
    /// How many connections had been given up when there was no straggler.
    quiet: Option<u64>,
}

impl Stragglers {
    /// Looks, and holds the next epoch up. `None` for other moves.
    pub(crate) async fn before(app: &App, toggle: &Toggle, step: Move) -> Option<Stragglers> {
        if (step.from(), step.to()) != (Phase::UseOld, Phase::DualWrite) {
            return None;
        }
        let hold = toggle
            .gate()
            .hold("statements of phase use-old that may go on in the old store")?;
        let given_up = given_up(app);
        let found = running(app).await;
        let quiet = found.is_ok_and(|found| found.is_empty());
        let quiet = quiet.then_some(given_up);
        Some(Stragglers { hold, quiet })
    }

    /// The move is published. Where there was none before, and no session has gone since, there is none; otherwise they are waited for behind the move.
    pub(crate) fn settle(self, app: &Arc<App>, toggle: &Arc<Toggle>) {
        // In this order: a session's backend counts as given up before its pin is gone.
        let none = self.hold.is_last() && self.quiet == Some(given_up(app));
        if !none {
            wait(app, toggle, self.hold);
        }
    }
}

/// The last process may have ended before phase 3 was effective: then nobody knows what it has left.
pub(crate) async fn at_start(app: &Arc<App>, toggle: &Arc<Toggle>, hold: Hold) {
    let found = timeout(START, running(app)).await;
    if !matches!(found, Ok(Ok(found)) if found.is_empty()) {
        wait(app, toggle, hold);
    }
}

fn wait(app: &Arc<App>, toggle: &Arc<Toggle>, hold: Hold) {
    let (app, toggle) = (app.clone(), toggle.clone());
    tokio::spawn(async move { until_they_have_ended(&app, &toggle, hold).await });
}

async fn until_they_have_ended(app: &App, toggle: &Toggle, hold: Hold) {
    let epoch = toggle.gate().current().epoch;
    hold.last().await;
    let (mut left, mut pause, mut told) = (None, PAUSE, false);
    let began = Instant::now();
    // Another flip is another question.
    while toggle.gate().current().epoch == epoch {
        let found = match left.take() {
            None => running(app).await,
            Some(before) => still_there(app, before).await,
        };
        let what = match found {
            Ok(found) if found.is_empty() => return,
            Ok(found) => left.insert(found).iter().take(NAMED).map(named).collect(),
            Err(error) => vec![format!("they cannot be asked for: {error}")],
        };
        let more = left.as_ref().map_or(0, Vec::len).saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("; and {more} more"));
        let what = what.join("; ") + &more.unwrap_or_default();
        hold.relabel(format!("statements of the old store: {what}"));
        if !told && began.elapsed() > PATIENCE {
            told = true;
            tracing::warn!(
                toggle = toggle.name(),
                "phase {} is not effective before what was under way in the old store has ended, as its clients may be gone: {what}",
                toggle.gate().current().phase
            );
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn named(backend: &Backend) -> String {
    let open_for = backend.open_for.map_or(String::new(), |open_for| {
        format!(", open for {} ms", open_for.as_millis())
    });
    let Backend { pid, who, .. } = backend;
    if *pid == 0 {
        let what = backend.transaction.as_deref().unwrap_or_default();
        return format!(
            "{what} ({who}{open_for}); COMMIT PREPARED or ROLLBACK PREPARED it on the old store itself"
        );
    }
    format!("pid {pid} ({who}{open_for}); if nobody needs it, SELECT pg_terminate_backend({pid})")
}

/// Backends that no session answers for and that are in a transaction, or may be about to begin one.
async fn running(app: &App) -> StoreResult<Vec<Backend>> {
    let mut found = app.stores.old.backends().await?;
    // Asked afterwards: who is live now was not given up when the store was asked.
    let known = app.shared.get().map(|shared| shared.backends(Side::Old));
    let known = known.unwrap_or_default();
    found.retain(|backend| !known.live.contains(&backend.pid));
    let waited_for = |mut backend: Backend| {
        if known.given_up.contains(&backend.pid) {
            // It may have been sent more than it is at: its own end counts.
            backend.transaction = None;
            return Some(backend);
        }
        backend.transaction.is_some().then_some(backend)
    };
    Ok(found.into_iter().filter_map(waited_for).collect())
}

/// Those of `before` that have not ended.
async fn still_there(app: &App, before: Vec<Backend>) -> StoreResult<Vec<Backend>> {
    let found = app.stores.old.backends().await?;
    let now = |then: Backend| {
        let same = |now: &&Backend| {
            now.pid == then.pid
                && (then.transaction.is_none() || now.transaction == then.transaction)
        };
        let open_for = found.iter().find(same)?.open_for;
        Some(Backend { open_for, ..then })
    };
    Ok(before.into_iter().filter_map(now).collect())
}

fn given_up(app: &App) -> u64 {
    let shared = app.shared.get();
    shared.map_or(0, |shared| shared.backends_given_up())
}
