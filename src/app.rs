//! What lives as long as the process: stores, journal, toggles, mapping, reconciler. `serve` runs listeners and tasks around it; commands
//! without a running proxy use it as it is.

mod catalogs;
mod confirm;
mod documents;
mod doubts;
mod facts;
mod journal;
mod mapping;
mod records;
mod starting;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwap;
use crossfade_config::{Config, Control, Loaded, StoreConfig, StoreKind};
use crossfade_journal::Journal;
use crossfade_phase::{Phase, Side};
use crossfade_proxy::{metrics::Metrics, shared::Shared};
use crossfade_reconcile::{Engine, Ledger, Settings, Stores};
use crossfade_store::{
    Mapping, Store, TableMap,
    mongo::MongoStore,
    postgres::{PostgresStore, conn::Endpoint},
};
use crossfade_toggle::Toggle;
use tokio::sync::Notify;

pub(crate) use confirm::Confirmer;
pub(crate) use documents::DocumentFront;
pub(crate) use doubts::Doubter;
pub(crate) use facts::{Facts, Override};
pub(crate) use journal::{Carried, Counts, Others, Whose, rows as journal_rows};
pub(crate) use mapping::Need;
pub(crate) use records::{reverse_name, reverse_record, table_record};

use crate::{
    around::Around,
    control::{self, Seat},
    failure::Failure,
    flip::stragglers,
    jobs::Jobs,
    metrics::OwnMetrics,
    reads::CompleteTables,
};
use catalogs::Catalogs;
use starting::Wish;

/// See the module.
pub(crate) struct App {
    /// The file.
    pub(crate) file: PathBuf,
    /// When the process began.
    pub(crate) began: Instant,
    /// The configuration in force.
    pub(crate) config: ArcSwap<Config>,
    /// Both stores, with the proxy's own account.
    pub(crate) stores: Stores,
    /// How sessions reach them.
    pub(crate) endpoints: (Option<Endpoint>, Option<Endpoint>),
    /// SQL on documents, where the new store holds some.
    pub(crate) documents: Option<DocumentFront>,
    /// The journal and the durable state.
    pub(crate) journal: Arc<Journal>,
    /// What it shares with other proxies; `None` when it is the only one.
    pub(crate) control: Option<control::Shared>,
    /// What the others have in the primary, where the journals are kept there.
    pub(crate) others: Option<Others>,
    /// The toggles by name, as in the file of the start.
    pub(crate) toggles: BTreeMap<String, Arc<Toggle>>,
    /// The reconciler over the present mapping.
    pub(crate) engine: ArcSwap<Engine>,
    /// Notified when [`App::engine`] is another one.
    pub(crate) engine_changed: Notify,
    /// What is known of each toggle beyond its gate.
    pub(crate) facts: BTreeMap<String, Facts>,
    /// Reconciler jobs.
    pub(crate) jobs: Arc<Jobs>,
    /// Confirms what the secondaries have flushed.
    pub(crate) confirmer: Confirmer,
    /// The proxy's metrics.
    pub(crate) metrics: Metrics,
    /// The composition root's metrics.
    pub(crate) own_metrics: OwnMetrics,
    /// Which tables are complete, for sessions.
    pub(crate) complete: CompleteTables,
    /// Writers that go around the proxy.
    pub(crate) around: Around,
    /// What became of the last reload.
    pub(crate) reload: Mutex<Reload>,
    /// What the sessions share; set once there are listeners.
    pub(crate) shared: OnceLock<Arc<Shared>>,
    catalogs: Catalogs,
}

/// What became of the last look at the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reload {
    /// Every mistake of a broken file, a line each; `None` when the file is good.
    pub(crate) error: Option<String>,
    /// What of the file waits for a restart.
    pub(crate) needs_restart: Vec<String>,
}

impl App {
    /// Opens everything that `loaded` names; asks the stores for their catalogs as far as the durable phases need them.
    ///
    /// # Errors
    /// When the journal is another process's, the file contradicts the durable state, or the mapping cannot be made.
    pub(crate) async fn open(loaded: &Loaded, file: &Path) -> Result<Arc<App>, Failure> {
        let config = loaded.config.clone();
        supported(&config)?;
        let mut opened = journal::open(&config)?;
        let journal = opened.journal.clone();
        let catalogs = match opened.has_folder {
            true => Catalogs::open(&config.state_dir)?,
            false => Catalogs::in_memory(),
        };
        let control = match config.control {
            Control::StateDir => None,
            Control::Database => {
                let first = || starting::toggles(&config, &journal, |_| Wish::File).map(drop);
                Some(control::Shared::open(&config, &journal, first).await?)
            }
        };
        if let Some(shared) = control.as_ref().filter(|_| catalogs.is_empty())
            && let Some(text) = shared.catalogs().await
        {
            catalogs.remember(&text);
        }
        starting::check_tables(&config, &journal, &catalogs)?;
        let wish = |toggle: &str| match &control {
            Some(shared) if shared.is_followed(toggle) => Wish::None,
            Some(_) | None => Wish::File,
        };
        let (toggles, holds) = starting::toggles(&config, &journal, wish)?;
        assign_tables(&config, &journal);
        let counts = control.as_ref().map(control::Shared::counts);
        opened.settle(toggles.values(), counts).await;
        let stores = stores(&config);
        let mapping = mapping::at_start(&config, &stores, &catalogs, &toggles).await?;
        let documents = DocumentFront::of(&config, &mapping);
        let endpoints = (
            endpoint(&config.old)?,
            match &documents {
                Some(front) => Some(front.endpoint(&config)),
                None => endpoint(&config.new)?,
            },
        );
        let metrics = Metrics::new().map_err(|error| {
            Failure::broken(format!("the metrics could not be registered: {error}"))
        })?;
        let own_metrics = OwnMetrics::new(&metrics).map_err(|error| {
            Failure::broken(format!("the metrics could not be registered: {error}"))
        })?;
        let others = control.as_ref().and_then(|_| Others::of(&config, &journal));
        let ledger = ledger(&journal, control.as_ref(), others.as_ref());
        let engine = engine(&config, &stores, mapping, ledger, &toggles);
        let complete = CompleteTables::default();
        complete.refresh(&journal, engine.mapping());
        let app = App {
            file: file.to_owned(),
            began: Instant::now(),
            facts: toggles
                .keys()
                .map(|name| (name.clone(), Facts::default()))
                .collect(),
            confirmer: Confirmer::new(&stores, journal.clone()),
            config: ArcSwap::from_pointee(config),
            stores,
            endpoints,
            documents,
            journal,
            control,
            others,
            toggles,
            engine: ArcSwap::from_pointee(engine),
            engine_changed: Notify::new(),
            jobs: Arc::default(),
            metrics,
            own_metrics,
            complete,
            around: Around::default(),
            reload: Mutex::default(),
            shared: OnceLock::new(),
            catalogs,
        };
        let app = Arc::new(app);
        for (name, hold) in holds {
            stragglers::at_start(&app, &app.toggles[&name], hold).await;
        }
        Ok(app)
    }

    /// The mapping in force.
    pub(crate) fn mapping(&self) -> Arc<Mapping> {
        self.engine.load().mapping().clone()
    }

    /// The mapped tables of a toggle.
    pub(crate) fn tables_of(&self, toggle: &str) -> Vec<TableMap> {
        self.mapping()
            .tables
            .iter()
            .filter(|table| table.toggle == toggle)
            .cloned()
            .collect()
    }

    /// What is known of a toggle.
    pub(crate) fn facts(&self, toggle: &Toggle) -> &Facts {
        // Both maps are built from the same names.
        &self.facts[toggle.name()]
    }

    /// This proxy's seat among those that share the toggle; `None` when it is the only one.
    pub(crate) fn seat(&self, toggle: &Toggle) -> Option<&Arc<Seat>> {
        self.control.as_ref()?.seat(toggle.name())
    }

    /// A store's URL, without its password.
    pub(crate) fn url(&self, side: Side) -> String {
        let config = self.config.load();
        match side {
            Side::Old => config.old.url.to_string(),
            Side::New => config.new.url.to_string(),
        }
    }

    /// The store where statements go that name no table.
    pub(crate) fn home(&self) -> Side {
        let all_new = self
            .toggles
            .values()
            .all(|toggle| toggle.gate().current().phase.primary() == Side::New);
        if all_new && !self.toggles.is_empty() {
            Side::New
        } else {
            Side::Old
        }
    }

    /// Reads the catalogs for the phases that `need` says and makes the mapping from them.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn resolve(
        &self,
        need: &Need,
    ) -> Result<Mapping, crossfade_store::ResolveError> {
        mapping::resolve(&self.config.load(), &self.stores, &self.catalogs, need).await
    }

    /// Puts a mapping into force, for sessions that look from now on and for jobs that start from now on.
    pub(crate) fn put_mapping(&self, mapping: Mapping) {
        let engine = engine(
            &self.config.load(),
            &self.stores,
            mapping,
            ledger(&self.journal, self.control.as_ref(), self.others.as_ref()),
            &self.toggles,
        )
        .after(&self.engine.load());
        if let Some(front) = &self.documents {
            front.renew(&self.config.load(), engine.mapping());
        }
        if let Some(shared) = self.shared.get() {
            shared.mapping.store(engine.mapping().clone());
        }
        self.complete.refresh(&self.journal, engine.mapping());
        self.engine.store(Arc::new(engine));
        self.engine_changed.notify_waiters();
    }

    /// Keeps what is known of the stores' catalogs where proxies without a disk find it when they start while a store is down.
    pub(crate) async fn keep_catalogs(&self) {
        if let (Some(shared), true) = (&self.control, self.journal.is_in_primary())
            && let Some(text) = self.catalogs.text()
        {
            shared.keep_catalogs(&text).await;
        }
    }

    /// Builds the reconciler anew, after its settings changed.
    pub(crate) fn renew_engine(&self) {
        let mapping = Mapping::clone(&self.mapping());
        self.put_mapping(mapping);
    }

    /// The last reload.
    pub(crate) fn reload(&self) -> MutexGuard<'_, Reload> {
        lock(&self.reload)
    }

    /// Phases as published, by toggle.
    pub(crate) fn phases(&self) -> impl Iterator<Item = Phase> + '_ {
        self.toggles
            .values()
            .map(|toggle| toggle.gate().current().phase)
    }
}

/// A lock whose data stays whole when a holder panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses a file with stores that this release has no adapter for.
///
/// # Errors
/// Names the store.
pub(crate) fn supported(config: &Config) -> Result<(), Failure> {
    let unserved = |side: &str, store: &StoreConfig, takes: &str| {
        Err(Failure::usage(format!(
            "[{side}] names {}: this release moves from PostgreSQL to PostgreSQL or MongoDB; give a {takes} url",
            store.url
        )))
    };
    match (config.old.url.kind, config.new.url.kind) {
        (StoreKind::Postgres, StoreKind::Postgres | StoreKind::Mongo) => Ok(()),
        (StoreKind::Postgres, _) => unserved("new", &config.new, "postgres:// or mongodb://"),
        (_, _) => unserved("old", &config.old, "postgres://"),
    }
}

/// How sessions reach a store, where it speaks their protocol.
fn endpoint(store: &StoreConfig) -> Result<Option<Endpoint>, Failure> {
    match store.url.kind {
        StoreKind::Postgres => Ok(Some(Endpoint::new(store.clone())?)),
        StoreKind::Mongo | StoreKind::MySql => Ok(None),
    }
}

/// Both stores of a file; contacts none.
pub(crate) fn stores(config: &Config) -> Stores {
    // Below the client's bound, so that the server says which lock it was that did not come.
    let lock_timeout = config.writes.secondary_timeout.mul_f64(0.8);
    let store = |store: &StoreConfig, side| -> Arc<dyn Store> {
        match store.url.kind {
            StoreKind::Mongo => Arc::new(MongoStore::new(store.clone(), side)),
            StoreKind::Postgres | StoreKind::MySql => Arc::new(
                PostgresStore::new(store.clone(), side).with_secondary_lock_timeout(lock_timeout),
            ),
        }
    };
    Stores {
        old: store(&config.old, Side::Old),
        new: store(&config.new, Side::New),
    }
}

fn engine(
    config: &Config,
    stores: &Stores,
    mapping: Mapping,
    ledger: Arc<dyn Ledger>,
    toggles: &BTreeMap<String, Arc<Toggle>>,
) -> Engine {
    Engine::new(
        stores.clone(),
        Arc::new(mapping),
        ledger,
        Arc::new(toggles.clone()),
        Settings::from(&config.reconcile),
    )
}

/// What the reconciler remembers, here and, where there are others, with them.
fn ledger(
    journal: &Arc<Journal>,
    control: Option<&control::Shared>,
    others: Option<&Others>,
) -> Arc<dyn Ledger> {
    match control {
        None => Arc::new(Journal::clone(journal)),
        Some(shared) => {
            let seats = shared.seats().cloned().collect();
            let others = others.cloned();
            Arc::new(control::SharedLedger::new(journal.clone(), seats, others))
        }
    }
}

/// So that a renamed toggle keeps the dirty keys of its tables.
fn assign_tables(config: &Config, journal: &Journal) {
    for (name, toggle) in &config.toggles {
        for table in &toggle.tables {
            journal.assign(&table.old.to_string(), name);
        }
    }
}
