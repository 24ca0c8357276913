//! Signals, and the way out.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_phase::{Phase, Side};
use crossfade_proxy::listener::Listeners;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{app::App, control};

/// Longest time that running transactions get to end.
const WITHIN: Duration = Duration::from_secs(10);
/// Time for the threads to stop accepting.
const LISTENERS: Duration = Duration::from_millis(50);
/// Time for them to end once the last session has.
const THREADS: Duration = Duration::from_secs(1);

/// The limit on a file's size was exceeded, on Linux and the BSDs.
const SIGXFSZ: i32 = 25;

/// The signals that mean something.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Never asked: where it is received, a write beyond the limit on a file's size fails instead of ending the process.
    _file_size: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Look at the file now.
    Reload,
    /// End, by this signal.
    Stop(&'static str),
}

impl Signals {
    /// Receives them from now on.
    ///
    /// # Errors
    /// When the system does not let the process.
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
        }
    }
}

/// Takes no new client, lets running transactions end, then goes.
pub(super) async fn gracefully(app: &Arc<App>, listeners: Listeners, signal: &'static str) {
    tracing::info!(
        signal,
        clients = clients(app),
        "crossfade stops: no new clients, running transactions may end within {} s",
        WITHIN.as_secs()
    );
    let began = Instant::now();
    let listeners = Arc::new(listeners);
    stop(&listeners, LISTENERS).await;
    if let Some(shared) = app.shared.get() {
        shared.stop();
    }
    while clients(app) > 0 && began.elapsed() < WITHIN {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    confirm_rest(app).await;
    if clients(app) == 0 {
        control::leave(app).await;
        // They hold the journal, which is closed only when nobody does: without its last words the next start has something to look after.
        stop(&listeners, THREADS).await;
    }
    let (cut, took_ms) = (clients(app), began.elapsed().as_millis());
    if cut > 0 {
        tracing::warn!(
            sessions = cut,
            took_ms,
            "crossfade ends with sessions in the middle of a transaction; their stores roll them back"
        );
    } else {
        tracing::info!(took_ms, "crossfade ends");
    }
}

async fn stop(listeners: &Arc<Listeners>, within: Duration) {
    let listeners = Arc::clone(listeners);
    // It waits for threads.
    let stopped = tokio::task::spawn_blocking(move || listeners.stop(within)).await;
    if stopped.is_err() {
        tracing::warn!("a listening thread ended unexpectedly");
    }
}

/// What the secondaries have committed is flushed and done with: the next start has nothing to repair.
async fn confirm_rest(app: &App) {
    let unconfirmed = |name: &String| app.journal.backlog(name).unconfirmed > 0;
    if !app.toggles.keys().any(unconfirmed) {
        return;
    }
    for side in [Side::Old, Side::New] {
        let is_secondary = |phase: Phase| phase.secondary() == Some(side);
        if app.phases().any(is_secondary)
            && let Err(error) = app.confirmer.confirm(side).await
        {
            tracing::warn!(%side, %error, "what the secondary committed last cannot be confirmed; the next start repairs those keys");
        }
    }
}

fn clients(app: &App) -> usize {
    app.shared.get().map_or(0, |shared| shared.clients())
}
