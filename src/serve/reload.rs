//! Follows the file: what of a change applies, what waits for a restart, what is refused.

use std::sync::Arc;

use crossfade_config::{Change, Config, Mistakes, Watcher, WriteSettings, mapping_changes};
use crossfade_phase::Phase;

use super::stop::{Asked, Signals};
use crate::app::{App, Need};

/// Follows the file until a signal asks for the end; says which.
pub(super) async fn follow(
    app: &Arc<App>,
    mut watcher: Watcher,
    mut signals: Signals,
) -> &'static str {
    loop {
        let change = tokio::select! {
            change = watcher.next() => change,
            asked = signals.next() => match asked {
                Asked::Stop(signal) => return signal,
                Asked::Reload => {
                    tracing::info!("SIGHUP: the file is read again");
                    watcher.check_now().await
                }
            },
        };
        match change {
            Change::Reloaded {
                config,
                needs_restart,
            } => reloaded(app, *config, needs_restart).await,
            Change::Broken(mistakes) => broken(app, &mistakes),
        }
    }
}

/// A broken file changes nothing and is told everywhere.
fn broken(app: &App, mistakes: &Mistakes) {
    app.metrics
        .config_reloads
        .with_label_values(&["broken"])
        .inc();
    for mistake in &mistakes.list {
        let line = mistake.at.map(|at| at.line);
        tracing::error!(file = %mistakes.file.display(), line, "{}; {}", mistake.what, mistake.instead);
    }
    tracing::error!(
        mistakes = mistakes.list.len(),
        "the changed file is broken: nothing of it applies, the last good configuration goes on"
    );
    app.reload().error = Some(mistakes.to_string());
}

async fn reloaded(app: &Arc<App>, mut file: Config, mut needs_restart: Vec<String>) {
    app.metrics.config_reloads.with_label_values(&["ok"]).inc();
    let running = app.config.load_full();
    needs_restart.extend(keep_breakers(&running.writes, &mut file.writes));
    let (config, waiting, remap) = applicable(app, &running, file);
    needs_restart.extend(waiting);
    tracing::info!(
        needs_restart = needs_restart.join(", "),
        "the file is good and applies"
    );
    if !needs_restart.is_empty() {
        tracing::warn!("these wait for a restart: {}", needs_restart.join(", "));
    }
    {
        let mut reload = app.reload();
        (reload.error, reload.needs_restart) = (None, needs_restart);
    }
    let reconcile_changed = config.reconcile != running.reconcile;
    app.config.store(Arc::new(config.clone()));
    if let Some(shared) = app.shared.get() {
        shared.config.store(Arc::new(config.clone()));
    }
    if let Some(front) = &app.documents {
        front.renew(&config, &app.mapping());
    }
    if remap {
        new_tables(app).await;
    } else if reconcile_changed {
        app.renew_engine();
    }
    for (name, toggle) in &app.toggles {
        let before = running.toggles.get(name).map(|wish| wish.phase);
        // Of several proxies, each with its own file, the edit is the wish, and not what another file says still.
        if app.control.is_some() && before == config.toggles.get(name).map(|wish| wish.phase) {
            app.facts(toggle).look.notify_one();
            continue;
        }
        let wanted = config
            .toggles
            .get(name)
            .map_or(toggle.wanted(), |wish| wish.phase);
        if wanted != toggle.wanted() {
            tracing::info!(toggle = name, wanted = %wanted, "the file wants toggle \"{name}\" in phase {wanted}");
        }
        toggle.want(wanted);
        app.facts(toggle).look.notify_one();
    }
}

/// The breakers are made once: takes over what they run with, and names what differs.
fn keep_breakers(running: &WriteSettings, file: &mut WriteSettings) -> Vec<String> {
    let mut waiting = Vec::new();
    if file.breaker_failures != running.breaker_failures {
        waiting.push("writes.breaker_failures".to_owned());
        file.breaker_failures = running.breaker_failures;
    }
    if file.breaker_retry != running.breaker_retry {
        waiting.push("writes.breaker_retry".to_owned());
        file.breaker_retry = running.breaker_retry;
    }
    waiting
}

/// What of the file can be in force: `file` with toggles and tables as far as the phases let them change, the names of those that have to wait, and whether
/// the mapping is to be made anew.
fn applicable(app: &App, running: &Config, mut file: Config) -> (Config, Vec<String>, bool) {
    // Names that are accepted are looked at by the preflight alone: they apply at once.
    let mut as_accepted = running.clone();
    for (name, toggle) in &mut as_accepted.toggles {
        let Some(typed) = file.toggles.get(name) else {
            continue;
        };
        for table in &mut toggle.tables {
            if let Some(same) = typed.tables.iter().find(|same| same.old == table.old) {
                table.acknowledge.clone_from(&same.acknowledge);
            }
        }
    }
    let changes = mapping_changes(&as_accepted, &file);
    if changes.is_empty() {
        return (file, Vec::new(), false);
    }
    let same_toggles = file.toggles.keys().eq(running.toggles.keys());
    let idle = app.toggles.values().all(|toggle| {
        toggle.gate().current().phase <= Phase::UseOld && toggle.gate().is_effective()
    });
    if same_toggles && idle {
        // Nothing routes by the mapping yet.
        return (file, Vec::new(), true);
    }
    for (name, toggle) in &mut as_accepted.toggles {
        if let Some(typed) = file.toggles.get(name) {
            toggle.phase = typed.phase;
        }
    }
    file.toggles = as_accepted.toggles;
    (file, changes, false)
}

async fn new_tables(app: &App) {
    for (name, toggle) in &app.config.load().toggles {
        for table in &toggle.tables {
            app.journal.assign(&table.old.to_string(), name);
        }
    }
    match app.resolve(&Need::of(app.toggles.values())).await {
        Ok(mapping) => app.put_mapping(mapping),
        Err(error) => {
            tracing::warn!(%error, "the changed mapping cannot be made yet; `crossfade check` shows what is missing");
            app.put_mapping(crossfade_store::Mapping::default());
        }
    }
}
