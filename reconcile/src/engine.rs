//! The composition of everything a job needs.

use std::{sync::Arc, time::Duration};

use crossfade_config::ReconcileSettings;
use crossfade_phase::Side;
use crossfade_store::{Key, Mapping, Store, TableId, TableMap};
use crossfade_toggle::Snapshot;

use crate::{
    Direction, Error, Standing,
    at_work::AtWork,
    error::During as _,
    flush::Flushing,
    gates::Gates,
    ledger::{Dirty, Ledger},
    settle::Settling,
    turns::{Turn, Turns},
};

/// Both stores.
#[derive(Clone)]
pub struct Stores {
    /// The store the application comes from.
    pub old: Arc<dyn Store>,
    /// The store the application moves to.
    pub new: Arc<dyn Store>,
}

impl Stores {
    /// The store of `side`.
    #[must_use]
    pub fn on(&self, side: Side) -> &Arc<dyn Store> {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }
}

/// How jobs behave.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Rows of a chunk.
    pub chunk_rows: u32,
    /// Chunks in flight at once.
    pub workers: usize,
    /// Most rows a second that a backfill reads; `None` is as fast as the brake allows.
    pub max_rows_per_s: Option<u32>,
    /// Latency of a store above which a backfill slows down.
    pub brake_latency: Duration,
    /// Keys that are repaired at once.
    pub repair_workers: usize,
    /// Keys that are taken from the journal in one go.
    pub repair_batch: usize,
    /// Longest time that a repair keeps a row of the primary locked; a client that wants to write the row waits that long.
    pub lock_hold: Duration,
    /// First pause before a differing row is read again; each further one is twice as long.
    pub settle_pause: Duration,
    /// How often a differing row is read again before it is called a difference.
    pub settle_reads: u32,
}

/// Few enough to leave the default pool of a store to the clients' writes.
const REPAIR_WORKERS: usize = 4;
/// A lease of the journal must outlast a batch.
const REPAIR_BATCH: usize = 256;
/// Well below the patience of a client, well above a healthy store's write.
const LOCK_HOLD: Duration = Duration::from_secs(1);
/// 20 + 40 + 80 + 160 ms: longer than a secondary's commit takes when nothing is wrong; open intents cover the rest.
const SETTLE_PAUSE: Duration = Duration::from_millis(20);
const SETTLE_READS: u32 = 5;

impl From<&ReconcileSettings> for Settings {
    fn from(file: &ReconcileSettings) -> Settings {
        Settings {
            chunk_rows: file.chunk_rows,
            workers: file.workers,
            max_rows_per_s: file.max_rows_per_s,
            brake_latency: file.brake_latency,
            repair_workers: REPAIR_WORKERS,
            repair_batch: REPAIR_BATCH,
            lock_hold: LOCK_HOLD,
            settle_pause: SETTLE_PAUSE,
            settle_reads: SETTLE_READS,
        }
    }
}

/// The reconciler over one mapping. Clones share everything; a changed mapping needs a new engine
/// ([`Engine::after`]).
#[derive(Clone)]
pub struct Engine {
    pub(crate) stores: Stores,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) gates: Arc<dyn Gates>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) settling: Settling,
    pub(crate) flushing: Flushing,
    pub(crate) turns: Turns,
    pub(crate) at_work: AtWork,
}

impl Engine {
    /// An engine; contacts nothing.
    pub fn new(
        stores: Stores,
        mapping: Arc<Mapping>,
        ledger: Arc<dyn Ledger>,
        gates: Arc<dyn Gates>,
        settings: Settings,
    ) -> Engine {
        Engine {
            stores,
            mapping,
            ledger,
            gates,
            settings: Arc::new(settings),
            settling: Settling::default(),
            flushing: Flushing::default(),
            turns: Turns::default(),
            at_work: AtWork::default(),
        }
    }

    /// The same engine in the place of an earlier one: it waits for jobs and repairs of that one that are at work still.
    #[must_use]
    pub fn after(self, earlier: &Engine) -> Engine {
        Engine {
            turns: earlier.turns.clone(),
            at_work: earlier.at_work.clone(),
            ..self
        }
    }

    /// The mapping it works on.
    #[must_use]
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// The table of this old name, with or without its schema.
    ///
    /// # Errors
    /// [`Error::UnknownTable`].
    pub fn table(&self, name: &str) -> Result<TableId, Error> {
        let full = self
            .mapping
            .tables
            .iter()
            .find(|table| table.old.name.to_string() == name);
        let mut short = self
            .mapping
            .tables
            .iter()
            .filter(|table| table.old.name.name == name);
        match (full, short.next(), short.next()) {
            (Some(table), _, _) | (None, Some(table), None) => Ok(table.id),
            (None, _, _) => Err(Error::UnknownTable(name.to_owned())),
        }
    }

    /// The tables of a toggle in an order in which each comes after those that its foreign keys in the target of `direction` point to, so
    /// that no copied row is refused for want of its parent. Tables in a circle come last, in the order of the mapping.
    #[must_use]
    pub fn copy_order(&self, toggle: &str, direction: Direction) -> Vec<TableId> {
        let side = direction.to();
        let mut left: Vec<&TableMap> = self
            .mapping
            .tables
            .iter()
            .filter(|table| table.toggle == toggle)
            .collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let waits_for = |table: &TableMap, other: &TableMap| {
                table.id != other.id
                    && table
                        .on(side)
                        .foreign_keys
                        .iter()
                        .any(|key| key.parent == other.on(side).name)
            };
            let free = left
                .iter()
                .position(|table| !left.iter().any(|other| waits_for(table, other)));
            order.push(left.remove(free.unwrap_or(0)).id);
        }
        order
    }

    /// Waits until no row that an earlier job copied, and gave up, can arrive behind this one. Before a job reads.
    pub(crate) async fn nothing_given_up(&self, table: &TableMap) -> Result<(), Error> {
        for store in [&self.stores.old, &self.stores.new] {
            let ended = Settling::given_up(&**store).await;
            ended.during("waiting for writes that were given up", table)?;
        }
        Ok(())
    }

    /// Waits until no other job is at a table.
    pub(crate) async fn turn(&self, table: &TableMap) -> Result<Turn, Error> {
        let here = self.turns.take(table).await;
        Ok((here, self.ledger.turn(table).await?))
    }

    pub(crate) fn map(&self, table: TableId) -> &TableMap {
        &self.mapping.tables[table.0]
    }

    /// The published epoch of a table's toggle.
    pub(crate) async fn published(&self, table: &TableMap) -> Result<Snapshot, Error> {
        let pin = self.gates.pin(&table.toggle).await;
        pin.map(|pin| pin.snapshot())
            .ok_or_else(|| Error::UnknownToggle(table.toggle.clone()))
    }

    /// What is on record of a table: whether it is backfilled, verified, complete.
    #[must_use]
    pub fn standing(&self, table: TableId, direction: Direction) -> Standing {
        self.ledger.standing(self.map(table), direction)
    }

    /// For each key whether the journal says that the old store's row is not the one that counts: it is stale there, or a write to it
    /// is under way.
    pub(crate) fn hidden_in_old(&self, table: &TableMap, keys: &[Key]) -> Vec<bool> {
        let doubts = self.ledger.doubts(table, keys);
        let marks = self.ledger.marks(table, keys);
        let hidden =
            |(doubt, mark): (bool, Option<Dirty>)| doubt && mark.is_none_or(|mark| mark.stale_old);
        std::iter::zip(doubts, marks).map(hidden).collect()
    }

    /// For each key whether the journal suspects its row in the store of `side`. Nothing is copied or repaired from such a row on the journal's own
    /// account: after a forced move of the primary the other store's may be the newer one. The caller holds a pin, as within a phase a row of the
    /// primary does not become stale.
    pub(crate) fn stale_in(&self, side: Side, table: &TableMap, keys: &[Key]) -> Vec<bool> {
        let marks = self.ledger.marks(table, keys).into_iter();
        marks
            .map(|mark| mark.is_some_and(|mark| mark.is_stale(side)))
            .collect()
    }
}
