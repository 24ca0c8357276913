//! A store in memory whose every step can be scripted.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Bound,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossfade_config::QualifiedName;
use crossfade_phase::Side;
use crossfade_store::{
    Alias, Change, Digest, Finding, Form, Key, KeyRange, LockedRow, Mapping, Relation, Row, Secondary, Store, StoreError, StoreResult,
    TableMap,
};
use futures::future::BoxFuture;
use tokio::sync::{Mutex as KeyLock, Notify, OwnedMutexGuard};

/// A step of a store that a script can hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Scan,
    Fetch,
    Digest,
    Insert,
    Apply,
    Lock,
}

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// What both stores of one test share: the number of steps so far, and the step at which the process dies.
#[derive(Default)]
pub struct Fate {
    steps: AtomicUsize,
    dies_at: AtomicUsize,
    died: Notify,
    dead: AtomicBool,
}

impl Fate {
    /// Lets the process die at the `step`-th step from now, counted from 1.
    pub fn die_at(&self, step: usize) {
        self.steps.store(0, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
        self.dies_at.store(step, Ordering::SeqCst);
    }

    /// Resolves when it died.
    pub async fn death(&self) {
        loop {
            let died = self.died.notified();
            if self.dead.load(Ordering::SeqCst) {
                return;
            }
            died.await;
        }
    }

    /// A new process.
    pub fn revive(&self) {
        self.dies_at.store(0, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
    }

    async fn step(&self) {
        let step = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        let dies_at = self.dies_at.load(Ordering::SeqCst);
        if dies_at != 0 && step >= dies_at {
            self.dead.store(true, Ordering::SeqCst);
            self.died.notify_waiters();
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Default)]
struct Rows {
    rows: BTreeMap<Key, Row>,
    tombstones: HashSet<Key>,
    locks: HashMap<Key, Arc<KeyLock<()>>>,
    refuses: HashSet<Vec<u8>>,
}

/// The store.
pub struct MemStore {
    side: Side,
    fate: Arc<Fate>,
    inner: Arc<Mutex<Rows>>,
    hooks: Mutex<HashMap<(Op, bool), Vec<Hook>>>,
    down: AtomicBool,
    ping_ms: AtomicU64,
    pub writes: AtomicUsize,
    pub applies: AtomicUsize,
    pub most_rows: AtomicUsize,
}

impl MemStore {
    pub fn new(side: Side, fate: &Arc<Fate>) -> Arc<MemStore> {
        Arc::new(MemStore {
            side,
            fate: Arc::clone(fate),
            inner: Arc::default(),
            hooks: Mutex::default(),
            down: AtomicBool::new(false),
            ping_ms: AtomicU64::new(0),
            writes: AtomicUsize::new(0),
            applies: AtomicUsize::new(0),
            most_rows: AtomicUsize::new(0),
        })
    }

    /// Runs `hook` before the next `op` that has no hook yet.
    pub fn before<F: Future<Output = ()> + Send + 'static>(&self, op: Op, hook: impl FnOnce() -> F + Send + 'static) {
        self.hooks.lock().unwrap().entry((op, true)).or_default().push(Box::new(|| Box::pin(hook())));
    }

    /// Runs `hook` after the next `op` that has no hook yet took effect, before its answer.
    pub fn after<F: Future<Output = ()> + Send + 'static>(&self, op: Op, hook: impl FnOnce() -> F + Send + 'static) {
        self.hooks.lock().unwrap().entry((op, false)).or_default().push(Box::new(|| Box::pin(hook())));
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub fn set_ping(&self, latency: Duration) {
        self.ping_ms.store(u64::try_from(latency.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// From now on rows with this in their second column are refused.
    pub fn refuse(&self, value: &[u8]) {
        self.inner.lock().unwrap().refuses.insert(value.to_vec());
    }

    pub fn accept_all(&self) {
        self.inner.lock().unwrap().refuses.clear();
    }

    pub fn put(&self, row: Row) {
        self.inner.lock().unwrap().rows.insert(key_of(&row), row);
    }

    pub fn remove(&self, key: &Key) {
        self.inner.lock().unwrap().rows.remove(key);
    }

    pub fn bury(&self, key: &Key) {
        self.inner.lock().unwrap().tombstones.insert(key.clone());
    }

    pub fn get(&self, key: &Key) -> Option<Row> {
        self.inner.lock().unwrap().rows.get(key).cloned()
    }

    pub fn rows(&self) -> Vec<Row> {
        self.inner.lock().unwrap().rows.values().cloned().collect()
    }

    /// Waits for the key's lock, as any writer does.
    pub async fn lock(&self, key: &Key) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(self.inner.lock().unwrap().locks.entry(key.clone()).or_default());
        lock.lock_owned().await
    }

    async fn begin(&self, op: Op) -> StoreResult<()> {
        self.fate.step().await;
        tokio::task::yield_now().await;
        self.hook(op, true).await;
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable { store: self.side.to_string(), reason: "connection refused".into() });
        }
        Ok(())
    }

    async fn end(&self, op: Op) {
        self.hook(op, false).await;
        tokio::task::yield_now().await;
        self.fate.step().await;
    }

    async fn hook(&self, op: Op, before: bool) {
        let hook = self.hooks.lock().unwrap().get_mut(&(op, before)).filter(|hooks| !hooks.is_empty()).map(|hooks| hooks.remove(0));
        if let Some(hook) = hook {
            hook().await;
        }
    }

    async fn insert(&self, rows: &[Row], minds_tombstones: bool) -> StoreResult<u64> {
        self.begin(Op::Insert).await?;
        self.most_rows.fetch_max(rows.len(), Ordering::SeqCst);
        let mut held = Vec::new();
        for row in rows {
            held.push(self.lock(&key_of(row)).await);
        }
        let inserted = {
            let mut inner = self.inner.lock().unwrap();
            for row in rows.iter().filter(|row| !inner.rows.contains_key(&key_of(row))) {
                self.check(&inner, row)?;
            }
            let mut inserted = 0;
            for row in rows {
                let key = key_of(row);
                if !inner.rows.contains_key(&key) && !(minds_tombstones && inner.tombstones.contains(&key)) {
                    inner.rows.insert(key, row.clone());
                    inserted += 1;
                }
            }
            inserted
        };
        self.writes.fetch_add(1, Ordering::SeqCst);
        drop(held);
        self.end(Op::Insert).await;
        Ok(inserted)
    }

    fn check(&self, inner: &Rows, row: &Row) -> StoreResult<()> {
        match &row.0[1] {
            Some(value) if inner.refuses.contains(value.as_ref()) => Err(StoreError::Rejected {
                store: self.side.to_string(),
                sqlstate: "22021".into(),
                message: "invalid byte sequence".into(),
                constraint: None,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn range(&self, range: &KeyRange) -> Vec<Row> {
        let after = range.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let upto = range.upto.as_ref().map_or(Bound::Unbounded, Bound::Included);
        if let (Some(after), Some(upto)) = (&range.after, &range.upto)
            && after >= upto
        {
            return Vec::new();
        }
        let inner = self.inner.lock().unwrap();
        inner.rows.range::<Key, _>((after, upto)).map(|(_, row)| row.clone()).collect()
    }
}

pub fn key_of(row: &Row) -> Key {
    Key(vec![row.0[0].clone().unwrap()])
}

struct Held {
    row: Option<Row>,
    _lock: Option<OwnedMutexGuard<()>>,
}

impl LockedRow for Held {
    fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, StoreResult<()>> {
        Box::pin(async move { Ok(()) })
    }
}

impl Store for MemStore {
    fn side(&self) -> Side {
        self.side
    }

    fn ping(&self) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(self.ping_ms.load(Ordering::SeqCst))).await;
            Ok(())
        })
    }

    fn relation<'a>(&'a self, name: &'a QualifiedName) -> BoxFuture<'a, StoreResult<Option<Relation>>> {
        Box::pin(async move { Ok(Some(Relation::named(name.clone()))) })
    }

    fn aliases<'a>(&'a self, _tables: &'a [QualifiedName]) -> BoxFuture<'a, StoreResult<Vec<(QualifiedName, Alias)>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn findings<'a>(&'a self, _table: &'a TableMap, _mapping: &'a Mapping) -> BoxFuture<'a, StoreResult<Vec<Finding>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn estimate_rows<'a>(&'a self, _table: &'a TableMap) -> BoxFuture<'a, StoreResult<u64>> {
        Box::pin(async { Ok(self.inner.lock().unwrap().rows.len() as u64) })
    }

    fn scan<'a>(&'a self, _table: &'a TableMap, range: &'a KeyRange, limit: u32, _form: Form) -> BoxFuture<'a, StoreResult<Vec<Row>>> {
        Box::pin(async move {
            self.begin(Op::Scan).await?;
            let mut rows = self.range(range);
            rows.truncate(limit as usize);
            self.end(Op::Scan).await;
            Ok(rows)
        })
    }

    fn fetch<'a>(&'a self, _table: &'a TableMap, keys: &'a [Key], _form: Form) -> BoxFuture<'a, StoreResult<Vec<Option<Row>>>> {
        Box::pin(async move {
            self.begin(Op::Fetch).await?;
            let rows = {
                let inner = self.inner.lock().unwrap();
                keys.iter().map(|key| inner.rows.get(key).cloned()).collect()
            };
            self.end(Op::Fetch).await;
            Ok(rows)
        })
    }

    fn digest<'a>(&'a self, _table: &'a TableMap, range: &'a KeyRange) -> BoxFuture<'a, StoreResult<Digest>> {
        Box::pin(async move {
            self.begin(Op::Digest).await?;
            let rows = self.range(range);
            let mut sum = DefaultHasher::new();
            rows.hash(&mut sum);
            self.end(Op::Digest).await;
            Ok(Digest { rows: rows.len() as u64, sum: sum.finish().to_string(), last: rows.last().map(key_of) })
        })
    }

    fn insert_absent<'a>(&'a self, _table: &'a TableMap, rows: &'a [Row]) -> BoxFuture<'a, StoreResult<u64>> {
        Box::pin(self.insert(rows, false))
    }

    fn copy_up<'a>(&'a self, _table: &'a TableMap, rows: &'a [Row]) -> BoxFuture<'a, StoreResult<u64>> {
        Box::pin(self.insert(rows, true))
    }

    fn nth_key<'a>(&'a self, _table: &'a TableMap, range: &'a KeyRange, nth: u32) -> BoxFuture<'a, StoreResult<Option<Key>>> {
        Box::pin(async move { Ok(self.range(range).get(nth as usize - 1).map(key_of)) })
    }

    fn apply<'a>(&'a self, _table: &'a TableMap, changes: &'a [Change]) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(async move {
            self.begin(Op::Apply).await?;
            let key = |change: &Change| match change {
                Change::Upsert(row) => key_of(row),
                Change::Delete(key) => key.clone(),
            };
            let mut held = Vec::new();
            for change in changes {
                held.push(self.lock(&key(change)).await);
            }
            {
                let mut inner = self.inner.lock().unwrap();
                for change in changes {
                    if let Change::Upsert(row) = change {
                        self.check(&inner, row)?;
                    }
                }
                for change in changes {
                    match change {
                        Change::Upsert(row) => drop(inner.rows.insert(key_of(row), row.clone())),
                        Change::Delete(key) => drop(inner.rows.remove(key)),
                    }
                }
            }
            self.writes.fetch_add(1, Ordering::SeqCst);
            self.applies.fetch_add(1, Ordering::SeqCst);
            drop(held);
            self.end(Op::Apply).await;
            Ok(())
        })
    }

    fn lock_row<'a>(&'a self, _table: &'a TableMap, key: &'a Key) -> BoxFuture<'a, StoreResult<Box<dyn LockedRow>>> {
        Box::pin(async move {
            self.begin(Op::Lock).await?;
            let lock = self.lock(key).await;
            let row = self.get(key);
            self.end(Op::Lock).await;
            // What is not there cannot be locked.
            let lock = row.is_some().then_some(lock);
            Ok(Box::new(Held { row, _lock: lock }) as Box<dyn LockedRow>)
        })
    }

    fn sequence_positions<'a>(&'a self, _table: &'a TableMap) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn advance_sequences<'a>(&'a self, _table: &'a TableMap, floor: &'a BTreeMap<String, i64>) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        Box::pin(async { Ok(floor.clone()) })
    }

    fn secondary(&self, _mapping: Arc<Mapping>) -> BoxFuture<'_, StoreResult<Box<dyn Secondary>>> {
        let store = self.side.to_string();
        Box::pin(async { Err(StoreError::Unexpected { store, what: "tests write through World".into() }) })
    }
}
