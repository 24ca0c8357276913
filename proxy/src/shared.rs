//! What all sessions share. Built once by the composition root.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use crossfade_config::Config;
use crossfade_journal::Journal;
use crossfade_phase::{Phase, Side};
use crossfade_store::{Mapping, StoreError, StoreResult, TableMap, postgres::conn::Endpoint};
use crossfade_toggle::Toggle;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::{
    cancel::{Backends, Cancels},
    metrics::Metrics,
    route::Lookup,
    secondary::Secondaries,
    shapes::{Judge, Shapes, Tally, Traffic},
    sql::Analyzer,
};

/// Normal forms of statements that a thread remembers the facts of. An application has some hundreds; at a few kB each, this is some MB at the most.
const CACHED_STATEMENTS: usize = 2048;

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    /// The old store's server.
    pub old: Option<Endpoint>,
    /// The new store's server.
    pub new: Option<Endpoint>,
    /// Both stores are schemas of one database: every transaction writes both, and they cannot diverge.
    pub same_database: bool,
    /// The configuration in force; what can change live is read from here.
    pub config: ArcSwap<Config>,
    /// The toggles, in the file's order.
    pub toggles: Vec<Arc<Toggle>>,
    /// The mapping by both catalogs; replaced when a flip has read them again.
    pub mapping: ArcSwap<Mapping>,
    /// The journal of the dual phases.
    pub journal: Arc<Journal>,
    /// Notified after every flip, so that idle sessions follow it at once.
    pub flips: Arc<Notify>,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Connections for secondary writes.
    pub secondaries: Secondaries,
    /// Compares lookups of phase 4 behind the client's back.
    pub comparer: Box<dyn Comparer>,
    /// Tables whose every row is in the new store.
    pub complete: Box<dyn Completeness>,
    /// Tables that are in doubt.
    pub(crate) doubts: Box<dyn Doubts>,
    /// The shapes of live statements, where the new store may refuse some.
    shapes: Option<Arc<Shapes>>,
    analyzers: Vec<Mutex<Option<Arc<Mutex<Analyzer>>>>>,
    pub(crate) cancels: Cancels,
    pub(crate) clients: AtomicUsize,
    definitions: AtomicU64,
    stopping: AtomicBool,
}

/// Compares what both stores say of a row, in the background, and never blocks.
pub trait Comparer: Send + Sync + fmt::Debug {
    /// Takes a lookup that a client made.
    fn compare(&self, lookup: Lookup);
}

/// Knows which tables are complete.
pub trait Completeness: Send + Sync + fmt::Debug {
    /// Whether every row of the table is in the new store, backfilled and verified since.
    fn is_complete(&self, table: &TableMap) -> bool;
}

/// Notes what no key in the journal stands for.
pub trait Doubts: Send + Sync + fmt::Debug {
    /// Notes that the store of `secondary` may have changed rows of this table by itself; durable when it resolves. `None` where that is known already. A table whose doubt
    /// cannot be noted is the error.
    fn note(
        &self,
        table: &TableMap,
        secondary: Side,
    ) -> Option<BoxFuture<'static, Result<(), String>>>;
}

/// What [`Shared`] is built from.
#[derive(Debug)]
pub struct Parts {
    /// The old store's server.
    pub old: Option<Endpoint>,
    /// The new store's server.
    pub new: Option<Endpoint>,
    /// The configuration.
    pub config: Config,
    /// The toggles, in the file's order.
    pub toggles: Vec<Arc<Toggle>>,
    /// The mapping by both catalogs.
    pub mapping: Mapping,
    /// The journal.
    pub journal: Arc<Journal>,
    /// Counters.
    pub metrics: Metrics,
    /// Connections for secondary writes.
    pub secondaries: Secondaries,
    /// Compares lookups.
    pub comparer: Box<dyn Comparer>,
    /// Knows complete tables.
    pub complete: Box<dyn Completeness>,
    /// Notes tables that are in doubt.
    pub doubts: Box<dyn Doubts>,
    /// Knows what the new store serves, where that is no PostgreSQL server. Statements are counted only for it.
    pub judge: Option<Box<dyn Judge>>,
}

/// How a session works in the present phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Frames go to one store as they are.
    Relay(Side),
    /// Every statement is looked at.
    Managed,
}

impl Shared {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Shared> {
        let Parts {
            old,
            new,
            config,
            toggles,
            mapping,
            journal,
            metrics,
            secondaries,
            comparer,
            complete,
            doubts,
            judge,
        } = parts;
        Arc::new(Shared {
            same_database: config.old.url.same_database(&config.new.url),
            old,
            new,
            toggles,
            mapping: ArcSwap::from_pointee(mapping),
            journal,
            flips: Arc::default(),
            metrics,
            secondaries,
            comparer,
            complete,
            doubts,
            shapes: judge.map(|judge| Arc::new(Shapes::new(judge))),
            analyzers: (0..config.workers.max(1))
                .map(|_| Mutex::default())
                .collect(),
            cancels: Cancels::default(),
            clients: AtomicUsize::new(0),
            definitions: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            config: ArcSwap::from_pointee(config),
        })
    }

    /// The thread's analyzer for this mapping.
    pub(crate) fn analyzer(&self, worker: usize, mapping: &Arc<Mapping>) -> Arc<Mutex<Analyzer>> {
        let slot = &self.analyzers[worker % self.analyzers.len()];
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |analyzer: &Arc<Mutex<Analyzer>>| {
            Arc::ptr_eq(
                analyzer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .mapping(),
                mapping,
            )
        };
        match &*slot {
            Some(analyzer) if current(analyzer) => analyzer.clone(),
            _ => slot
                .insert(Arc::new(Mutex::new(Analyzer::new(
                    mapping.clone(),
                    CACHED_STATEMENTS,
                ))))
                .clone(),
        }
    }

    /// Counts a session's statements, where they are counted.
    pub(crate) fn tally(&self) -> Option<Box<Tally>> {
        let shapes = self.shapes.as_ref()?;
        Some(Box::new(Tally::new(shapes.clone())))
    }

    /// What is known of live traffic, where it is counted. Takes its time where there is much to judge: not for a thread that serves sessions.
    #[must_use]
    pub fn traffic(&self) -> Option<Traffic> {
        let shapes = self.shapes.as_ref()?;
        Some(shapes.traffic(&self.mapping.load_full()))
    }

    pub(crate) fn compare(&self, lookup: Lookup) {
        self.comparer.compare(lookup);
    }

    /// The server of a side.
    ///
    /// # Errors
    /// When the store is no PostgreSQL server, which alone takes a client's own statements.
    pub(crate) fn endpoint(&self, side: Side) -> StoreResult<&Endpoint> {
        let endpoint = match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        };
        endpoint.as_ref().ok_or_else(|| {
            let config = self.config.load();
            let url = match side {
                Side::Old => &config.old.url,
                Side::New => &config.new.url,
            };
            StoreError::Unexpected {
                store: url.to_string(),
                what: "statements for a store that does not speak PostgreSQL's protocol".to_owned(),
            }
        })
    }

    /// The store where statements go that name no table, by the phases as they are now.
    pub(crate) fn home(&self) -> Side {
        home(
            self.toggles
                .iter()
                .map(|toggle| toggle.gate().current().phase),
        )
    }

    /// The store that new clients authenticate with: the old one until nothing needs it any more.
    pub(crate) fn login_side(&self) -> Side {
        let done = self
            .toggles
            .iter()
            .all(|toggle| toggle.gate().current().phase == Phase::NewOnly);
        if done && !self.toggles.is_empty() {
            Side::New
        } else {
            Side::Old
        }
    }

    /// How sessions work in these phases.
    pub(crate) fn mode(&self, mut phases: impl Iterator<Item = Phase> + Clone) -> Mode {
        if phases.clone().all(|phase| phase <= Phase::UseOld) {
            return Mode::Relay(Side::Old);
        }
        if phases.all(|phase| phase == Phase::NewOnly)
            && self
                .mapping
                .load()
                .tables
                .iter()
                .all(|table| table.is_identity())
        {
            return Mode::Relay(Side::New);
        }
        Mode::Managed
    }

    /// Lets no session begin another transaction: each ends at its next pause between two, and its client is told why.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.flips.notify_waiters();
    }

    /// How many changes of definitions sessions have made: another table of a mapped one's name may have come, or gone.
    pub(crate) fn definitions(&self) -> u64 {
        self.definitions.load(Ordering::Acquire)
    }

    /// A session has changed a definition, or ended the transaction in which it did.
    pub(crate) fn note_definition(&self) {
        self.definitions.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The backends that sessions have, and had, at the store of `side`.
    #[must_use]
    pub fn backends(&self, side: Side) -> Backends {
        self.cancels.backends(side)
    }

    /// How many server connections sessions have given up so far. One that is given up counts before its session's pins are gone.
    #[must_use]
    pub fn backends_given_up(&self) -> u64 {
        self.cancels.given_up()
    }

    /// Clients connected now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

/// The store where statements go that name no table: the new one once it is the primary of every toggle.
pub(crate) fn home(mut phases: impl ExactSizeIterator<Item = Phase>) -> Side {
    if phases.len() > 0 && phases.all(|phase| phase.primary() == Side::New) {
        Side::New
    } else {
        Side::Old
    }
}
