//! The repairer, and what is looked at from time to time.

use std::{sync::Arc, time::Duration};

use crossfade_journal::{Health, JournalError};
use crossfade_phase::{Phase, Side};

use crate::app::{App, Need};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// Looks between two attempts to make a missing mapping.
const MAPPING_EVERY: u32 = 10;

/// Drains the journal for as long as it is polled, by the mapping in force.
pub(super) async fn repair(app: Arc<App>) {
    loop {
        let changed = app.engine_changed.notified();
        let engine = app.engine.load_full();
        tokio::select! {
            // A dropped repair leaves its keys dirty.
            () = engine.run_repairer() => tokio::time::sleep(PERIOD).await,
            () = changed => {}
        }
    }
}

/// Brings an unwritable journal back, makes up for a mapping that could not be made at the start, lets go of connections that no phase needs.
pub(super) async fn look_after(app: Arc<App>) {
    let mut round: u32 = 0;
    let mut health = app.journal.health();
    loop {
        tokio::time::sleep(PERIOD).await;
        round = round.wrapping_add(1);
        health = journal(&app, health).await;
        if round.is_multiple_of(MAPPING_EVERY) {
            missing_mapping(&app).await;
            idle_connections(&app);
        }
        app.complete.refresh(&app.journal, &app.mapping());
    }
}

/// Tries again to write a journal that could not be written.
async fn journal(app: &Arc<App>, before: Health) -> Health {
    let now = app.journal.health();
    if let Health::Unwritable(error) = &now {
        if before == Health::Writable {
            tracing::error!(%error, "the journal takes no writes: the phases that write both stores refuse them until it does; make room in state_dir, or see to the primary where the journal is kept there");
        }
        let journal = app.journal.clone();
        // It writes everything that is alive into a new file.
        let recovered = tokio::task::spawn_blocking(move || journal.try_recover()).await;
        if matches!(recovered, Ok(Ok(()) | Err(JournalError::Closed))) {
            tracing::info!("the journal takes writes again");
            return app.journal.health();
        }
    }
    now
}

/// In the phases 1 and 2 the proxy serves without a mapping; the moment that it can be made, it is.
async fn missing_mapping(app: &App) {
    if !app.mapping().tables.is_empty()
        || app
            .config
            .load()
            .toggles
            .values()
            .all(|toggle| toggle.tables.is_empty())
    {
        return;
    }
    if let Ok(mapping) = app.resolve(&Need::of(app.toggles.values())).await {
        tracing::info!(tables = mapping.tables.len(), "the mapping is made");
        app.put_mapping(mapping);
    }
}

/// Connections of a secondary that is one no longer.
fn idle_connections(app: &App) {
    let Some(shared) = app.shared.get() else {
        return;
    };
    for side in [Side::Old, Side::New] {
        let needed = app.toggles.values().any(|toggle| {
            let (published, effective): (Phase, Phase) = (
                toggle.gate().current().phase,
                toggle.gate().effective_phase(),
            );
            published.secondary() == Some(side) || effective.secondary() == Some(side)
        });
        if !needed {
            shared.secondaries.on(side).close_idle();
        }
    }
}
