//! The journal, in the form that the file asks for.

mod keeper;
mod others;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_config::{Config, Control, JournalPlace, StoreKind};
use crossfade_journal::{Feed, Journal, JournalError, Options};
use crossfade_phase::{Phase, Side};
use crossfade_store::{journal::JournalRows, mongo::MongoStore, postgres::PostgresStore};
use tokio::{sync::oneshot, time::sleep};

use super::{App, Toggle};
use crate::failure::Failure;
pub(crate) use keeper::{Counts, Whose};
pub(crate) use others::Others;

/// Longest wait for the rows of a primary to be read: a connection attempt and some.
const READING: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// An open journal whose keeper, where it has one, waits to be told that every toggle has its home.
pub(super) struct Opened {
    /// Before the journal, which waits for its keeper when it is dropped, which waits for this.
    begin: Option<oneshot::Sender<Option<Counts>>>,
    pub(super) journal: Arc<Journal>,
    /// Whether there is a `state_dir`. Several proxies with their journals in the primary need none.
    pub(super) has_folder: bool,
}

/// # Errors
/// When the folder cannot be used.
pub(super) fn open(config: &Config) -> Result<Opened, Failure> {
    if config.journal == JournalPlace::StateDir {
        let journal = Arc::new(Journal::open(&config.state_dir)?);
        return Ok(Opened {
            journal,
            has_folder: true,
            begin: None,
        });
    }
    let stores = [Side::Old, Side::New].map(|side| rows(config, side));
    let (begin, begun) = oneshot::channel();
    let keeper = move |feed: Feed| keeper::run(&feed, stores, begun);
    // JSON's readers elsewhere know 53 bits: where several proxies share the phases it is the number of this run, too.
    let owner = rand::random::<u64>() >> 11;
    let options = Options::default();
    let has_folder = config.control == Control::StateDir || is_writable(&config.state_dir)?;
    let journal = if has_folder {
        Journal::open_in_primary(&config.state_dir, options, owner, keeper)?
    } else {
        tracing::info!(folder = %config.state_dir.display(), "no state_dir can be made: phases, journal and checkpoints are in the primary alone");
        Journal::open_without_disk(options, owner, keeper)?
    };
    Ok(Opened {
        journal: Arc::new(journal),
        has_folder,
        begin: Some(begin),
    })
}

/// Whether there is a folder, or can be. One that has something in it has to be writable: it may be a journal.
fn is_writable(folder: &Path) -> Result<bool, Failure> {
    let probe = folder.join("writable");
    let made = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, ""))
        .and_then(|()| std::fs::remove_file(&probe));
    let Err(error) = made else { return Ok(true) };
    let is_empty = std::fs::read_dir(folder).map_or(true, |mut found| found.next().is_none());
    if is_empty {
        return Ok(false);
    }
    Err(Failure::broken(format!(
        "\"{}\" has something in it and cannot be written: {error}; correct its rights, or name another state_dir",
        folder.display()
    )))
}

/// A store for the journal's own connections. `None` is not an answer that the file's check lets through.
pub(crate) fn rows(config: &Config, side: Side) -> Arc<dyn JournalRows> {
    let store = match side {
        Side::Old => &config.old,
        Side::New => &config.new,
    };
    match store.url.kind {
        StoreKind::Mongo => Arc::new(MongoStore::new(store.clone(), side)),
        StoreKind::Postgres | StoreKind::MySql => Arc::new(PostgresStore::new(store.clone(), side)),
    }
}

impl Opened {
    /// Tells every toggle's home, and waits until the rows of toggles in dual phases are read. A primary that does not answer holds up nobody: intents are refused
    /// until it does.
    ///
    /// `counts` says which other proxies go on with their rows, where there are several.
    pub(super) async fn settle<'t>(
        &mut self,
        toggles: impl Iterator<Item = &'t Arc<Toggle>>,
        counts: Option<Counts>,
    ) {
        let mut awaited = Vec::new();
        for toggle in toggles {
            let phase = toggle.gate().current().phase;
            if !has_rows(phase) {
                continue;
            }
            if phase == Phase::UseOld {
                // Read early, and told where it cannot be; no write needs it.
                self.journal.need(phase.primary());
                continue;
            }
            // Nothing is dirty yet that would have to be carried.
            drop(self.journal.live_in(toggle.name(), phase.primary()));
            awaited.push(phase.primary());
        }
        if let Some(begin) = self.begin.take() {
            // A keeper that is gone has said why.
            let _ = begin.send(counts);
        }
        for side in awaited {
            if let Err(error) = until_open(&self.journal, side).await {
                tracing::error!(%error, "the journal cannot be read: the phases that write both stores refuse writes until it can");
            }
        }
    }
}

/// Phases in which a key can become dirty, or is about to be able to.
fn has_rows(phase: Phase) -> bool {
    !matches!(phase, Phase::DeployNew | Phase::NewOnly)
}

async fn until_open(journal: &Journal, side: Side) -> Result<(), JournalError> {
    let began = Instant::now();
    loop {
        match journal.answers(side) {
            Err(_) if began.elapsed() < READING && !journal.has_failed(side) => sleep(LOOK).await,
            outcome => return outcome,
        }
    }
}

impl App {
    /// Before a toggle moves to `to`: its rows can be written there.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn journal_ready(&self, toggle: &Toggle, to: Phase) -> Result<(), String> {
        if !self.journal.is_in_primary() || !has_rows(to) {
            return Ok(());
        }
        let side = to.primary();
        self.journal.need(side);
        if to == Phase::UseOld {
            return Ok(());
        }
        if let Some(obstacle) = self.untaken(to).await {
            return Err(obstacle);
        }
        until_open(&self.journal, side)
            .await
            .map_err(|error| error.to_string())?;
        if toggle.gate().current().phase.primary() == side {
            drop(self.journal.live_in(toggle.name(), side));
        }
        Ok(())
    }

    /// What a secondary keeps of a write that the primary rolled back has to be known before it gets the write; a row of the primary's transaction is known only when
    /// that commits.
    async fn untaken(&self, to: Phase) -> Option<String> {
        let secondary = self.stores.on(to.secondary()?);
        // Known once it has answered.
        let _ = secondary.ping().await;
        (secondary.takes_back() == Some(false)).then(|| {
            format!(
                "the {} store has no transactions, and journal = \"primary\" needs them: make it a replica set of one, or set journal = \"state_dir\"",
                secondary.side()
            )
        })
    }
}

/// The rows of a toggle in its coming home, for as long as the move is not certain: dropped, they go back.
pub(crate) struct Carried<'a> {
    app: &'a App,
    toggle: &'a str,
    from: Side,
    kept: bool,
}

impl<'a> Carried<'a> {
    pub(crate) fn new(app: &'a App, toggle: &'a str, from: Side) -> Carried<'a> {
        Carried {
            app,
            toggle,
            from,
            kept: false,
        }
    }

    /// The move is published.
    pub(crate) fn keep(mut self) {
        self.kept = true;
        self.app.journal.leave(self.toggle, self.from);
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // What is dirty is still there as well.
            drop(self.app.journal.live_in(self.toggle, self.from));
        }
    }
}
