//! `crossfade serve`: listeners, supervisors, repairer, admin port, and what watches the file.

mod background;
mod confirm;
mod ready;
mod reload;
mod stop;
mod tls;

use std::{io, path::Path, process::ExitCode, sync::Arc};

use crossfade_config::{Config, Loaded, Watcher};
use crossfade_proxy::{
    listener::Listeners,
    secondary::{BreakerSettings, Secondaries},
    shared::{Parts, Shared},
};
use tokio::runtime::{Builder, Runtime};

pub(crate) use ready::Readiness;

use crate::{
    admin,
    app::{App, DocumentFront, Doubter},
    around, control,
    failure::Failure,
    flip, logging,
    reads::{Lookups, Queue},
};

/// Threads for everything but sessions, which have their own: supervisors, the reconciler, the admin port.
const THREADS: usize = 2;
/// Threads for calls that block: looks at the file, writes of the state files.
const BLOCKING_THREADS: usize = 8;

/// Serves until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub(crate) fn run(file: &Path) -> Result<ExitCode, Failure> {
    let loaded = Config::load(file)?;
    logging::start();
    runtime()?.block_on(serve(loaded, file))
}

/// The runtime of everything but sessions.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let built = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("crossfade")
        .enable_all()
        .build();
    built.map_err(|error| {
        Failure::broken(format!(
            "no threads to run on: {error}; raise the limit of processes and start again"
        ))
    })
}

async fn serve(loaded: Loaded, file: &Path) -> Result<ExitCode, Failure> {
    let signals = stop::Signals::new()
        .map_err(|error| Failure::broken(format!("signals cannot be received: {error}")))?;
    let app = App::open(&loaded, file).await?;
    let config = app.config.load_full();
    let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
    let (lookups, queue) = Lookups::new(&app);
    let shared = Shared::new(parts(&app, &config, lookups));
    // Set once, here.
    let _ = app.shared.set(shared.clone());
    // Before the first client: this proxy's gates are where the others' are.
    control::join(&app).await?;
    let admin = match config.admin {
        Some(address) => Some(
            admin::bind(address)
                .await
                .map_err(|error| cannot_listen("admin", address, &error))?,
        ),
        None => None,
    };
    let listeners = Listeners::start(&shared, tls)
        .map_err(|error| cannot_listen("listen", config.listen, &error))?;
    begin(&app, queue);
    if let Some(admin) = admin {
        tokio::spawn(admin::serve(app.clone(), admin));
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %listeners.address,
        admin = config.admin.map(tracing::field::display),
        old = %config.old.url,
        new = %config.new.url,
        "crossfade serves"
    );
    let watcher = Watcher::new(&loaded);
    let signal = reload::follow(&app, watcher, signals).await;
    stop::gracefully(&app, listeners, signal).await;
    Ok(ExitCode::SUCCESS)
}

/// Starts every task in the background.
fn begin(app: &Arc<App>, queue: Queue) {
    for toggle in app.toggles.values() {
        flip::first_look(app, toggle);
        tokio::spawn(flip::settled(app.clone(), toggle.clone()));
        tokio::spawn(flip::supervise(app.clone(), toggle.clone()));
    }
    tokio::spawn(queue.run(app.clone()));
    tokio::spawn(confirm::run(app.clone()));
    tokio::spawn(background::repair(app.clone()));
    tokio::spawn(background::look_after(app.clone()));
    tokio::spawn(around::watch(app.clone()));
}

fn parts(app: &Arc<App>, config: &Config, lookups: Lookups) -> Parts {
    let breaker = BreakerSettings {
        failures: config.writes.breaker_failures,
        retry: config.writes.breaker_retry,
    };
    let (old, new) = app.endpoints.clone();
    Parts {
        old,
        new,
        config: config.clone(),
        // In the order of their names, as the file's model has them.
        toggles: app.toggles.values().cloned().collect(),
        mapping: crossfade_store::Mapping::clone(&app.mapping()),
        journal: app.journal.clone(),
        metrics: app.metrics.clone(),
        secondaries: Secondaries::new(
            (app.stores.old.clone(), config.old.pool_size),
            (app.stores.new.clone(), config.new.pool_size),
            config.workers,
            breaker,
            &app.journal,
        ),
        comparer: Box::new(lookups),
        complete: Box::new(app.complete.clone()),
        doubts: Box::new(Doubter::of(app)),
        judge: app.documents.as_ref().map(DocumentFront::judge),
    }
}

fn cannot_listen(setting: &str, address: std::net::SocketAddr, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process listens there (`ss -ltnp` names it); end it, or set another `{setting}` in the file"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address; correct `{setting}` in the file")
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need rights; set another `{setting}` in the file")
        }
        _other => format!("correct `{setting}` in the file, then `crossfade serve` again"),
    };
    Failure::broken(format!("cannot listen on {address}: {error}; {remedy}"))
}
