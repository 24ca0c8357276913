//! Two stores, a toggle, a journal, and clients that write as the proxy does (DESIGN 3).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use crossfade_config::QualifiedName;
use crossfade_journal::{Intent, Journal, KeyRef, OpenError, Options, Reason};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{
    BackfillReport, Direction, Engine, Error, Gates, OnProgress, Progress, Settings, Stores,
    VerifyOptions, VerifyReport,
};
use crossfade_store::{
    Column, ColumnMap, Key, Mapping, Relation, Row, TableId, TableMap, UniqueIndex,
};
use crossfade_toggle::{Epoch, Move, Proof, Reason as Because, Snapshot, Toggle};
use tempfile::TempDir;
use tokio::sync::OwnedMutexGuard;

use crate::fake::{Fate, MemStore, key_of};

pub(crate) const T: TableId = TableId(0);
const TOGGLE: &str = "shop";

pub(crate) struct World {
    pub fate: Arc<Fate>,
    pub old: Arc<MemStore>,
    pub new: Arc<MemStore>,
    pub toggle: Arc<Toggle>,
    journal: Option<Journal>,
    engine: Option<Engine>,
    pub progress: Arc<Mutex<Vec<Progress>>>,
    settings: Settings,
    mapping: Arc<Mapping>,
    dir: TempDir,
}

pub(crate) fn settings() -> Settings {
    Settings {
        chunk_rows: 4,
        workers: 2,
        max_rows_per_s: None,
        brake_latency: Duration::from_millis(50),
        repair_workers: 2,
        repair_batch: 64,
        lock_hold: Duration::from_secs(1),
        settle_pause: Duration::from_millis(10),
        settle_reads: 3,
    }
}

fn try_open(dir: &TempDir) -> Result<Journal, OpenError> {
    let journal = Journal::open_with(
        dir.path(),
        Options {
            segment_bytes: 1 << 16,
            ..Options::default()
        },
    )?;
    journal.assign("public.t", TOGGLE);
    Ok(journal)
}

fn open(dir: &TempDir) -> Journal {
    try_open(dir).unwrap()
}

impl World {
    pub(crate) fn new(phase: Phase) -> World {
        World::with(phase, settings())
    }

    pub(crate) fn with(phase: Phase, settings: Settings) -> World {
        let fate = Arc::new(Fate::default());
        let (old, new) = (
            MemStore::new(Side::Old, &fate),
            MemStore::new(Side::New, &fate),
        );
        let toggle = Arc::new(Toggle::new(
            TOGGLE,
            Snapshot {
                epoch: Epoch::FIRST,
                phase,
            },
            phase,
        ));
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        let mapping = Arc::new(mapping());
        let engine = engine(&old, &new, &mapping, &journal, &toggle, &settings);
        World {
            fate,
            old,
            new,
            toggle,
            journal: Some(journal),
            engine: Some(engine),
            progress: Arc::default(),
            settings,
            mapping,
            dir,
        }
    }

    /// The process died and starts again.
    pub(crate) async fn restart(&mut self) {
        self.fate.revive();
        self.old.forget_hooks();
        self.new.forget_hooks();
        // The folder is free when the last handle has gone.
        self.engine = None;
        self.journal = None;
        let journal = loop {
            match try_open(&self.dir) {
                Ok(journal) => break journal,
                // A write to a state file may be under way still, on a thread of its own.
                Err(OpenError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        };
        self.engine = Some(engine(
            &self.old,
            &self.new,
            &self.mapping,
            &journal,
            &self.toggle,
            &self.settings,
        ));
        self.journal = Some(journal);
    }

    pub(crate) fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub(crate) fn on(&self, side: Side) -> &Arc<MemStore> {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    pub(crate) fn fill(&self, side: Side, keys: std::ops::Range<u32>) {
        keys.for_each(|n| self.on(side).put(row(n, "first", 1)));
    }

    pub(crate) fn client(&self) -> Client {
        Client {
            old: Arc::clone(&self.old),
            new: Arc::clone(&self.new),
            toggle: Arc::clone(&self.toggle),
            journal: self.journal().clone(),
        }
    }

    pub(crate) async fn flip(&self, to: Phase) {
        flip(&self.toggle, to).await;
    }

    pub(crate) fn on_progress(&self) -> OnProgress {
        let seen = Arc::clone(&self.progress);
        Arc::new(move |progress| seen.lock().unwrap().push(progress))
    }

    pub(crate) async fn backfill(&self, direction: Direction) -> Result<BackfillReport, Error> {
        self.engine()
            .backfill(T, direction, self.on_progress())
            .await
    }

    pub(crate) async fn verify(&self, direction: Direction) -> Result<VerifyReport, Error> {
        self.engine()
            .verify(T, direction, VerifyOptions::default(), self.on_progress())
            .await
    }

    pub(crate) async fn verify_and_repair(
        &self,
        direction: Direction,
    ) -> Result<VerifyReport, Error> {
        let options = VerifyOptions {
            repair: true,
            ..VerifyOptions::default()
        };
        self.engine()
            .verify(T, direction, options, self.on_progress())
            .await
    }

    pub(crate) async fn mark(&self, stale: Side, n: u32) {
        mark(self.journal(), stale, &key(n)).await;
    }

    pub(crate) async fn mark_for(&self, stale: Side, n: u32, reason: Reason) {
        self.journal()
            .mark_dirty(stale, &[key_ref(&key(n))], reason)
            .await
            .unwrap();
    }

    pub(crate) fn is_dirty(&self, n: u32) -> bool {
        self.journal().is_dirty("public.t", &key(n).0)
    }

    pub(crate) fn assert_equal(&self) {
        assert_eq!(self.old.rows(), self.new.rows());
    }
}

pub(crate) async fn mark(journal: &Journal, stale: Side, key: &Key) {
    journal
        .mark_dirty(stale, &[key_ref(key)], Reason::SecondaryFailed)
        .await
        .unwrap();
}

pub(crate) async fn flip(toggle: &Toggle, to: Phase) {
    let step = Move::new(toggle.gate().current().phase, to).unwrap();
    let proof = Proof::overridden(step, Because::new("a test").unwrap());
    let inside = |_| async { Ok::<(), ()>(()) };
    toggle
        .gate()
        .flip(proof, Duration::from_secs(60), inside, |_| Ok(()))
        .await
        .unwrap();
}

fn engine(
    old: &Arc<MemStore>,
    new: &Arc<MemStore>,
    mapping: &Arc<Mapping>,
    journal: &Journal,
    toggle: &Arc<Toggle>,
    settings: &Settings,
) -> Engine {
    let stores = Stores {
        old: Arc::clone(old) as _,
        new: Arc::clone(new) as _,
    };
    let gates: Arc<dyn Gates> = Arc::new(BTreeMap::from([(TOGGLE.to_owned(), Arc::clone(toggle))]));
    Engine::new(
        stores,
        Arc::clone(mapping),
        Arc::new(journal.clone()),
        gates,
        settings.clone(),
    )
}

fn mapping() -> Mapping {
    let column = |name: &str, type_oid, type_name: &str| {
        let column = Column {
            name: name.into(),
            type_oid,
            type_name: type_name.into(),
            ..Column::default()
        };
        ColumnMap {
            old: column.clone(),
            new: column,
        }
    };
    let name = QualifiedName {
        schema: "public".into(),
        name: "t".into(),
    };
    // What stands in a store's way only once it keeps it (`MemStore::keep_unique`).
    let relation = Relation {
        unique: vec![UniqueIndex {
            name: "t_note_key".into(),
            columns: vec!["note".into()],
            ..UniqueIndex::default()
        }],
        ..Relation::named(name)
    };
    let table = TableMap {
        id: T,
        toggle: TOGGLE.into(),
        old: relation.clone(),
        new: relation,
        columns: vec![
            column("id", 25, "text"),
            column("note", 25, "text"),
            column("version", 20, "bigint"),
        ],
        key: vec![0],
        version: Some(2),
        dropped: Vec::new(),
    };
    Mapping {
        tables: vec![table],
        ..Mapping::default()
    }
}

pub(crate) fn key(n: u32) -> Key {
    Key(vec![Bytes::from(format!("{n:04}"))])
}

pub(crate) fn row(n: u32, note: &str, version: u32) -> Row {
    Row(vec![
        Some(Bytes::from(format!("{n:04}"))),
        Some(Bytes::copy_from_slice(note.as_bytes())),
        Some(Bytes::from(version.to_string())),
    ])
}

fn key_ref(key: &Key) -> KeyRef<'_, Bytes> {
    KeyRef {
        toggle: TOGGLE,
        table: "public.t",
        parts: &key.0,
    }
}

/// Writes as the proxy does.
#[derive(Clone)]
pub(crate) struct Client {
    old: Arc<MemStore>,
    new: Arc<MemStore>,
    toggle: Arc<Toggle>,
    journal: Journal,
}

impl Client {
    pub(crate) async fn upsert(&self, n: u32, note: &str, version: u32) {
        self.write(row(n, note, version), false).await;
    }

    pub(crate) async fn delete(&self, n: u32) {
        self.write(row(n, "", 0), true).await;
    }

    /// One transaction in the phase it pins.
    async fn write(&self, row: Row, delete: bool) {
        let mut slot = self.toggle.gate().slot("client");
        let permit = slot.permit().await;
        let phase = permit.snapshot().phase;
        let key = key_of(&row);
        let (primary, secondary) = match phase.primary() {
            Side::Old => (&self.old, &self.new),
            Side::New => (&self.new, &self.old),
        };
        let change = |store: &MemStore| {
            if delete {
                store.remove(&key)
            } else {
                store.put(row.clone())
            }
        };
        let held = primary.lock(&key).await;
        let Some(side) = phase.secondary() else {
            if delete && phase.primary() == Side::New {
                primary.bury(&key);
            }
            return change(primary);
        };
        let staged = secondary.lock(&key).await;
        let intent = self.journal.intend(side, &[key_ref(&key)]).await.unwrap();
        change(primary);
        if delete && phase.primary() == Side::New {
            primary.bury(&key);
        }
        drop(held);
        tokio::task::yield_now().await;
        change(secondary);
        drop(staged);
        intent.done();
    }
}

/// A client's transaction that the secondary has, and the primary has not committed.
pub(crate) struct Staged {
    primary: Arc<MemStore>,
    key: Key,
    row: Option<Row>,
    intent: Intent,
    _held: OwnedMutexGuard<()>,
}

impl Client {
    /// As far as the primary's commit, where the secondary has no transactions: the intent first, then the row, which nothing locks.
    pub(crate) async fn stage(&self, n: u32, note: &str, version: u32) -> Staged {
        self.stage_image(key(n), Some(row(n, note, version))).await
    }

    pub(crate) async fn stage_delete(&self, n: u32) -> Staged {
        self.stage_image(key(n), None).await
    }

    async fn stage_image(&self, key: Key, row: Option<Row>) -> Staged {
        let held = self.old.lock(&key).await;
        let intend = self.journal.intend(Side::New, &[key_ref(&key)]);
        let intent = intend.await.unwrap();
        put_image(&self.new, &key, row.as_ref());
        Staged {
            primary: Arc::clone(&self.old),
            key,
            row,
            intent,
            _held: held,
        }
    }
}

impl Staged {
    pub(crate) fn commit(self) {
        put_image(&self.primary, &self.key, self.row.as_ref());
        self.intent.done();
    }
}

fn put_image(store: &MemStore, key: &Key, row: Option<&Row>) {
    match row {
        Some(row) => store.put(row.clone()),
        None => store.remove(key),
    }
}
