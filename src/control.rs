//! Several proxies over one migration: they share each toggle's phase, and how its tables stand, in a record in the store that is the primary (docs/decision/19).
//!
//! - [`record`]: what they share, and what may be done to it, each time by one compare-and-set;
//! - [`place`]: in which of the two stores it is, and how it moves when the primary does;
//! - [`row`]: what each proxy says of itself: its sign of life, and its answer to a flip;
//! - [`seat`]: one proxy's seat at the control of one toggle;
//! - [`member`]: the loop that says and reads, several times a second, and moves the gate as the record says;
//! - [`flip`]: the proxy that makes a flip changes the record and waits for the others' answers; nobody's gate moves but by the record, its own included;
//! - [`forget`]: an operator's word that a proxy will not come back;
//! - [`ledger`]: the reconciler's memory, with what it knows of tables in the record.
//!
//! Safety rests on no clock (trap 44): whoever is counted in is waited for, until it leaves by itself or an operator has it forgotten. The [lease](crossfade_toggle::Lease) is
//! for the latter alone: one that is out of touch commits nothing in the phases that write both stores.

mod flip;
mod forget;
mod ledger;
mod member;
mod open;
mod place;
mod record;
mod row;
mod seat;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use crossfade_config::{Config, StoreConfig, StoreKind};
use crossfade_journal::Journal;
use crossfade_phase::{Phase, Side};
use crossfade_store::{Control, mongo::MongoControl, postgres::PostgresControl};
use tokio::task::JoinHandle;

pub(crate) use flip::{Called, Step, change_tables, together};
pub(crate) use forget::forget;
pub(crate) use ledger::SharedLedger;
pub(crate) use record::{Published, Record};
pub(crate) use seat::{Other, Seat, Unheard};

use crate::{
    app::{App, Counts, Whose, lock},
    failure::Failure,
};
use seat::Controls;

/// The seats of this proxy; only where several share the migration.
pub(crate) struct Shared {
    seats: BTreeMap<String, Arc<Seat>>,
    /// Toggles that this proxy was the first to share: its file says where they go.
    first: BTreeSet<String>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    controls: Controls,
    /// What was kept of the catalogs in each store.
    kept: tokio::sync::Mutex<HashMap<Side, String>>,
}

/// The entry of no toggle that holds what is known of the stores' catalogs.
const CATALOGS: &str = "catalogs";

impl Shared {
    /// Finds out where the toggles are, and takes that over into this proxy's own state. `first` decides, and notes there, where toggles begin that nobody shares yet.
    ///
    /// # Errors
    /// When that cannot be told, or the proxies cannot share it.
    pub(crate) async fn open(
        config: &Config,
        journal: &Journal,
        first: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Shared, Failure> {
        let controls = controls(config);
        let me = open::me(config, journal)?;
        let mut found = BTreeMap::new();
        for (name, wish) in &config.toggles {
            // In phase 1 the new store is not contacted.
            let phase = journal.state().phase(name).unwrap_or(wish.phase);
            let asks_new = phase > Phase::DeployNew;
            if let Some(there) = open::find(&controls, name, asks_new).await? {
                follow(journal, name, &there.1)?;
                found.insert(name.clone(), there);
            }
        }
        first()?;
        let mut firsts = BTreeSet::new();
        for name in config.toggles.keys() {
            if !found.contains_key(name) {
                open::share(config, &controls, journal, name).await?;
                let shared = open::find(&controls, name, true).await?;
                let (side, record) = shared.ok_or_else(|| {
                    Failure::broken(format!(
                        "toggle \"{name}\" is shared, and its record is gone at once; start again"
                    ))
                })?;
                follow(journal, name, &record)?;
                found.insert(name.clone(), (side, record));
                firsts.insert(name.clone());
            }
        }
        let mut seats = BTreeMap::new();
        for (name, (home, record)) in found {
            let seat = Seat::new(&name, me.clone(), controls.clone(), home, record);
            open::check_mapping(&seat, config)?;
            if journal.is_in_primary() {
                open::is_alone(&seat).await?;
            }
            seats.insert(name, Arc::new(seat));
        }
        Ok(Shared {
            seats,
            first: firsts,
            tasks: Mutex::default(),
            controls,
            kept: tokio::sync::Mutex::default(),
        })
    }

    /// Whether others had the toggle before: then this proxy's file is no wish on the start.
    pub(crate) fn is_followed(&self, toggle: &str) -> bool {
        !self.first.contains(toggle)
    }

    /// The seat at a toggle.
    pub(crate) fn seat(&self, toggle: &str) -> Option<&Arc<Seat>> {
        self.seats.get(toggle)
    }

    /// The stores that a toggle's record is in.
    fn homes(&self) -> HashSet<Side> {
        self.seats().map(|seat| seat.view().home).collect()
    }

    /// What was known of the stores' catalogs when a toggle was moved last, or a proxy started, where it is kept.
    pub(crate) async fn catalogs(&self) -> Option<String> {
        for side in self.homes() {
            // Where it cannot be had, the stores are asked.
            let entries = self.controls.on(side).entries("").await.unwrap_or_default();
            if let Some(entry) = entries.into_iter().find(|entry| entry.name == CATALOGS) {
                return Some(entry.body);
            }
        }
        None
    }

    /// Keeps that beside the records.
    pub(crate) async fn keep_catalogs(&self, text: &str) {
        let mut kept = self.kept.lock().await;
        for side in self.homes() {
            if kept.get(&side).is_some_and(|known| known == text) {
                continue;
            }
            match self.controls.on(side).put("", CATALOGS, text).await {
                Ok(()) => drop(kept.insert(side, text.to_owned())),
                Err(error) => {
                    tracing::warn!(%side, %error, "what the stores' catalogs say could not be kept for the next start")
                }
            }
        }
    }

    /// Says of the owner of rows in the primary whose they are.
    pub(crate) fn counts(&self) -> Counts {
        let seats: Vec<Arc<Seat>> = self.seats().cloned().collect();
        let known = |whose: &Whose| *whose != Whose::Nobodys;
        Arc::new(move |owner| {
            let mut all = seats.iter().map(|seat| seat.whose(owner));
            all.find(known).unwrap_or(Whose::Nobodys)
        })
    }

    /// All of them.
    pub(crate) fn seats(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.seats.values()
    }
}

/// Counts this proxy in, and follows the others from now on. Does nothing where it is the only one.
///
/// # Errors
/// When a store does not answer.
pub(crate) async fn join(app: &Arc<App>) -> Result<(), Failure> {
    let Some(shared) = &app.control else {
        return Ok(());
    };
    for seat in shared.seats() {
        let member = member::join(app, seat).await.map_err(|trouble| {
            Failure::broken(format!(
                "this proxy cannot join the others of toggle \"{}\": {trouble}; `crossfade check` tries both stores",
                seat.toggle
            ))
        })?;
        lock(&shared.tasks).push(tokio::spawn(member.run()));
    }
    app.keep_catalogs().await;
    Ok(())
}

/// Counts this proxy out, as far as nothing is left in its journal that the others must know of.
pub(crate) async fn leave(app: &Arc<App>) {
    let Some(shared) = &app.control else {
        return;
    };
    let tasks = std::mem::take(&mut *lock(&shared.tasks));
    for task in tasks {
        task.abort();
        // Aborted, or ended: either way it is over.
        drop(task.await);
    }
    for seat in shared.seats() {
        member::leave(app, seat).await;
    }
}

/// Takes a record over into this proxy's own state, which says the same from then on.
fn follow(journal: &Journal, toggle: &str, record: &record::Record) -> Result<(), Failure> {
    Ok(journal
        .state()
        .follow(toggle, &record.state, &record.tables)?)
}

/// A toggle's mapping as all proxies must have it.
pub(crate) fn mapping(config: &Config, toggle: &str) -> Vec<String> {
    config
        .toggles
        .get(toggle)
        .map(|toggle| open::mapping(config, &toggle.tables))
        .unwrap_or_default()
}

fn controls(config: &Config) -> Controls {
    let control = |store: &StoreConfig, side| -> Arc<dyn Control> {
        match store.url.kind {
            StoreKind::Mongo => Arc::new(MongoControl::new(store.clone(), side)),
            StoreKind::Postgres | StoreKind::MySql => {
                Arc::new(PostgresControl::new(store.clone(), side))
            }
        }
    };
    Controls {
        old: control(&config.old, Side::Old),
        new: control(&config.new, Side::New),
    }
}
