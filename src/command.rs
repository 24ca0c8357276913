//! What operators type. A command asks the running proxy over its admin port when that answers, and works on `state_dir` itself otherwise.

pub(crate) mod check;
mod client;
pub(crate) mod forget;
pub(crate) mod job;
pub(crate) mod phase;
mod progress;
pub(crate) mod status;
mod traffic;
pub(crate) mod users;

use std::{future::Future, path::Path, process::ExitCode, sync::Arc};

use crossfade_config::{Config, Loaded};
use tokio::runtime::{Builder, Runtime};

use crate::{app::App, failure::Failure};
use client::Client;

/// Who answers a command.
enum Peer {
    /// The running proxy.
    Serving(Client),
    /// Nobody serves: this process has the journal.
    Alone(Arc<App>),
}

impl Peer {
    /// The running proxy if it answers, otherwise the state folder.
    async fn find(loaded: &Loaded, file: &Path) -> Result<Peer, Failure> {
        match Client::of(&loaded.config).await? {
            Some(client) => Ok(Peer::Serving(client)),
            None => App::open(loaded, file).await.map(Peer::Alone),
        }
    }
}

/// Loads the file and runs a command on a small runtime.
fn on_runtime<F>(file: &Path, command: impl FnOnce(Loaded) -> F) -> Result<ExitCode, Failure>
where
    F: Future<Output = Result<ExitCode, Failure>>,
{
    let loaded = Config::load(file)?;
    runtime()?.block_on(command(loaded))
}

fn runtime() -> Result<Runtime, Failure> {
    let built = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    built.map_err(|error| {
        Failure::broken(format!(
            "no threads to run on: {error}; raise the limit of processes and run the command again"
        ))
    })
}
