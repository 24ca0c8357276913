//! `crossfade check`: what blocks which phase.

mod report;

use std::{path::Path, process::ExitCode, time::Instant};

use crossfade_config::{Config, JournalPlace, Loaded, StoreKind};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::Stores;

use super::{Client, on_runtime, traffic::traffic_text};
use crate::{
    admin::asks::GuardAnswer,
    app::{journal_rows, stores, supported},
    failure::{Failure, Status},
    flip::preflight,
    status,
};

/// Looks at both stores and the mapping. Needs no journal, and works beside a running proxy and without one.
///
/// # Errors
/// When the file is broken.
pub(crate) fn run(file: &Path) -> Result<ExitCode, Failure> {
    on_runtime(file, async |loaded| check(&loaded).await)
}

async fn check(loaded: &Loaded) -> Result<ExitCode, Failure> {
    let config = &loaded.config;
    supported(config)?;
    let stores = stores(config);
    let mut worst: Option<Status> = None;
    for side in [Side::Old, Side::New] {
        if !store_answers(config, &stores, side).await {
            worst = Some(Status::Broken);
        }
    }
    worst = worse(worst, journal(config).await);
    let running = Running::find(config).await?;
    for name in config.toggles.keys() {
        let found = preflight(config, &stores, name).await;
        let at = running.phase(name);
        say!(
            "{}",
            report::toggle(name, &config.toggles[name], &found, at)
        );
        let outcome = match found.blocking() {
            None => Some(Status::Broken),
            Some(0) => running.next_step(name).await?,
            Some(_) => Some(Status::No),
        };
        if found.blocking() == Some(0) && running.client.is_none() {
            sayln!("  nothing blocks dual-write");
        }
        worst = worse(worst, outcome);
    }
    say!("{}", running.traffic(config));
    Ok(worst.map_or(ExitCode::SUCCESS, |status| ExitCode::from(status as u8)))
}

fn worse(one: Option<Status>, other: Option<Status>) -> Option<Status> {
    one.into_iter()
        .chain(other)
        .max_by_key(|status| *status as u8)
}

/// Where the journal is kept in the primary: whether either store can keep it, when it is the primary.
async fn journal(config: &Config) -> Option<Status> {
    if config.journal != JournalPlace::Primary {
        return None;
    }
    let mut worst = None;
    for side in [Side::Old, Side::New] {
        match journal_rows(config, side).obstacle().await {
            Ok(None) => sayln!("{side}  can keep the journal"),
            Ok(Some(obstacle)) => {
                sayln!("{side}  cannot keep the journal: {obstacle}");
                worst = Some(Status::No);
            }
            // That it does not answer is told already.
            Err(_) => {}
        }
    }
    worst
}

async fn store_answers(config: &Config, stores: &Stores, side: Side) -> bool {
    let url = match side {
        Side::Old => &config.old.url,
        Side::New => &config.new.url,
    };
    let began = Instant::now();
    match stores.on(side).ping().await {
        Ok(()) => {
            sayln!(
                "{side}  {url}  answers after {} ms",
                began.elapsed().as_millis()
            );
            true
        }
        Err(error) => {
            sayln!(
                "{side}  {url}  does not answer: {error}; see that it runs, and correct [{side}] in the file"
            );
            false
        }
    }
}

/// The proxy that serves the file, if one does.
struct Running {
    client: Option<Client>,
    status: Option<status::Status>,
}

impl Running {
    async fn find(config: &Config) -> Result<Running, Failure> {
        let client = Client::of(config).await?;
        let status = match &client {
            Some(client) => Some(client.get("/status", &[]).await?),
            None => None,
        };
        Ok(Running { client, status })
    }

    /// Where a toggle is.
    fn phase(&self, toggle: &str) -> Option<Phase> {
        let toggle = self.status.as_ref()?.toggles.get(toggle)?;
        toggle.published.parse().ok()
    }

    /// What live traffic says of the phases ahead.
    fn traffic(&self, config: &Config) -> String {
        match &self.status {
            Some(status) => traffic_text(status),
            None if config.new.url.kind == StoreKind::Mongo => {
                "\ntraffic: which statements the phases ahead would refuse, the running proxy alone knows; `crossfade serve`, then `crossfade check` again\n".to_owned()
            }
            None => String::new(),
        }
    }

    /// Says what the running proxy's guard thinks of the next step. A step that waits is no finding.
    async fn next_step(&self, toggle: &str) -> Result<Option<Status>, Failure> {
        let next = self
            .phase(toggle)
            .and_then(|at| Phase::from_number(at.number() + 1));
        let (Some(client), Some(next)) = (&self.client, next) else {
            return Ok(None);
        };
        let answer: GuardAnswer = client
            .get("/guard", &[("toggle", toggle), ("to", next.name())])
            .await?;
        say!("{}", report::next(toggle, next, &answer));
        Ok(None)
    }
}
