//! A store in memory whose every step can be scripted.

mod fate;
mod store;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Bound,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossfade_phase::Side;
use crossfade_store::{Change, Horizon, Key, KeyRange, Row, StoreError, StoreResult};
use futures::future::BoxFuture;
use tokio::sync::{Mutex as KeyLock, OwnedMutexGuard};

pub(crate) use fate::Fate;

/// A step of a store that a script can hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Scan,
    Fetch,
    Digest,
    Insert,
    Apply,
    Lock,
}

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

#[derive(Default)]
struct Rows {
    rows: BTreeMap<Key, Row>,
    tombstones: HashSet<Key>,
    locks: HashMap<Key, Arc<KeyLock<()>>>,
    /// By the value of the second column, with the SQLSTATE.
    refuses: HashMap<Vec<u8>, &'static str>,
    /// What a crash leaves of rows whose commit was acknowledged and not flushed.
    unflushed: BTreeMap<Key, Option<Row>>,
    /// Numbers of transactions that are under way.
    open: BTreeSet<i64>,
    next: i64,
}

/// The store.
pub(crate) struct MemStore {
    this: Weak<MemStore>,
    side: Side,
    fate: Arc<Fate>,
    inner: Arc<Mutex<Rows>>,
    hooks: Mutex<HashMap<(Op, bool), Vec<Hook>>>,
    down: AtomicBool,
    /// Has no transactions: what is staged is written.
    keeps: AtomicBool,
    /// No two rows have the same in their second column.
    unique: AtomicBool,
    ping_ms: AtomicU64,
    pub writes: AtomicUsize,
    pub applies: AtomicUsize,
}

impl MemStore {
    pub(crate) fn new(side: Side, fate: &Arc<Fate>) -> Arc<MemStore> {
        Arc::new_cyclic(|this| MemStore {
            this: this.clone(),
            side,
            fate: Arc::clone(fate),
            inner: Arc::default(),
            hooks: Mutex::default(),
            down: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            unique: AtomicBool::new(false),
            ping_ms: AtomicU64::new(0),
            writes: AtomicUsize::new(0),
            applies: AtomicUsize::new(0),
        })
    }

    /// Runs `hook` before the next `op` that has no hook yet.
    pub(crate) fn before<F: Future<Output = ()> + Send + 'static>(
        &self,
        op: Op,
        hook: impl FnOnce() -> F + Send + 'static,
    ) {
        self.hooks
            .lock()
            .unwrap()
            .entry((op, true))
            .or_default()
            .push(Box::new(|| Box::pin(hook())));
    }

    /// Runs `hook` after the next `op` that has no hook yet took effect, before its answer.
    pub(crate) fn after<F: Future<Output = ()> + Send + 'static>(
        &self,
        op: Op,
        hook: impl FnOnce() -> F + Send + 'static,
    ) {
        self.hooks
            .lock()
            .unwrap()
            .entry((op, false))
            .or_default()
            .push(Box::new(|| Box::pin(hook())));
    }

    /// What has not happened by now happens no more.
    pub(crate) fn forget_hooks(&self) {
        self.hooks.lock().unwrap().clear();
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// From now on it is a store without transactions.
    pub(crate) fn keep_what_is_staged(&self) {
        self.keeps.store(true, Ordering::SeqCst);
    }

    /// From now on a row whose second column another one has is refused.
    pub(crate) fn keep_unique(&self) {
        self.unique.store(true, Ordering::SeqCst);
    }

    pub(crate) fn set_ping(&self, latency: Duration) {
        self.ping_ms.store(
            u64::try_from(latency.as_millis()).unwrap(),
            Ordering::SeqCst,
        );
    }

    /// From now on rows with this in their second column are refused.
    pub(crate) fn refuse(&self, value: &[u8]) {
        self.refuse_as(value, "22021");
    }

    /// The same, as for a row whose parent is not there yet.
    pub(crate) fn refuse_orphan(&self, value: &[u8]) {
        self.refuse_as(value, "23503");
    }

    fn refuse_as(&self, value: &[u8], sqlstate: &'static str) {
        let mut inner = self.inner.lock().unwrap();
        inner.refuses.insert(value.to_vec(), sqlstate);
    }

    /// Its parent has come.
    pub(crate) fn accept(&self, value: &[u8]) {
        self.inner.lock().unwrap().refuses.remove(value);
    }

    pub(crate) fn accept_all(&self) {
        self.inner.lock().unwrap().refuses.clear();
    }

    pub(crate) fn put(&self, row: Row) {
        self.inner.lock().unwrap().rows.insert(key_of(&row), row);
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.inner.lock().unwrap().rows.remove(key);
    }

    pub(crate) fn bury(&self, key: &Key) {
        self.inner.lock().unwrap().tombstones.insert(key.clone());
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Row> {
        self.inner.lock().unwrap().rows.get(key).cloned()
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.inner.lock().unwrap().rows.values().cloned().collect()
    }

    /// A commit that is acknowledged and not on the disk.
    pub(crate) fn put_unflushed(&self, row: Row) {
        let mut inner = self.inner.lock().unwrap();
        let before = inner.rows.insert(key_of(&row), row.clone());
        inner.unflushed.insert(key_of(&row), before);
    }

    fn flush(&self) {
        self.inner.lock().unwrap().unflushed.clear();
    }

    /// Comes back without what was not flushed.
    pub(crate) fn crash(&self) {
        let mut inner = self.inner.lock().unwrap();
        for (key, before) in std::mem::take(&mut inner.unflushed) {
            match before {
                Some(row) => inner.rows.insert(key, row),
                None => inner.rows.remove(&key),
            };
        }
    }

    /// Begins a transaction that has written something that nobody sees yet.
    pub(crate) fn begin_unseen(&self) -> i64 {
        let mut inner = self.inner.lock().unwrap();
        inner.next += 1;
        let number = inner.next;
        inner.open.insert(number);
        number
    }

    /// Commits it: its row is there.
    pub(crate) fn commit_unseen(&self, number: i64, row: Row) {
        let mut inner = self.inner.lock().unwrap();
        inner.open.remove(&number);
        inner.rows.insert(key_of(&row), row);
    }

    fn open_now(&self) -> Horizon {
        Horizon(self.inner.lock().unwrap().next + 1)
    }

    fn ended_upto(&self, horizon: Horizon) -> bool {
        let inner = self.inner.lock().unwrap();
        inner.open.first().is_none_or(|first| *first >= horizon.0)
    }

    /// Waits for the key's lock, as any writer does.
    pub(crate) async fn lock(&self, key: &Key) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(
            self.inner
                .lock()
                .unwrap()
                .locks
                .entry(key.clone())
                .or_default(),
        );
        lock.lock_owned().await
    }

    async fn begin(&self, op: Op) -> StoreResult<()> {
        self.fate.step().await;
        tokio::task::yield_now().await;
        self.hook(op, true).await;
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable {
                store: self.side.to_string(),
                reason: "connection refused".into(),
            });
        }
        Ok(())
    }

    async fn end(&self, op: Op) {
        self.hook(op, false).await;
        tokio::task::yield_now().await;
        self.fate.step().await;
    }

    async fn hook(&self, op: Op, before: bool) {
        let hook = self
            .hooks
            .lock()
            .unwrap()
            .get_mut(&(op, before))
            .filter(|hooks| !hooks.is_empty())
            .map(|hooks| hooks.remove(0));
        if let Some(hook) = hook {
            hook().await;
        }
    }

    async fn insert(&self, rows: &[Row], minds_tombstones: bool) -> StoreResult<u64> {
        self.begin(Op::Insert).await?;
        let mut held = Vec::new();
        for row in rows {
            held.push(self.lock(&key_of(row)).await);
        }
        let inserted = {
            let mut inner = self.inner.lock().unwrap();
            for row in rows
                .iter()
                .filter(|row| !inner.rows.contains_key(&key_of(row)))
            {
                self.check(&inner, row)?;
            }
            let mut inserted = 0;
            for row in rows {
                let key = key_of(row);
                let hidden = minds_tombstones && inner.tombstones.contains(&key);
                if !hidden && !inner.rows.contains_key(&key) {
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
        let value = row.0[1].as_deref().unwrap_or_default();
        match inner.refuses.get(value) {
            Some(sqlstate) => Err(self.refusal(sqlstate)),
            None => Ok(()),
        }
    }

    fn refusal(&self, sqlstate: &str) -> StoreError {
        StoreError::Rejected {
            store: self.side.to_string(),
            sqlstate: sqlstate.into(),
            message: "this row is refused".into(),
            constraint: None,
        }
    }

    /// One transaction; of rows that `exchange` their values, only what is there in the end counts.
    async fn change(&self, changes: &[Change], exchange: bool) -> StoreResult<()> {
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
            let mut rows = inner.rows.clone();
            let is_taken = |rows: &BTreeMap<Key, Row>, row: &Row| {
                let others = rows.values().filter(|other| key_of(other) != key_of(row));
                let mut values = others.map(|other| &other.0[1]);
                self.unique.load(Ordering::SeqCst) && values.any(|value| *value == row.0[1])
            };
            for change in changes {
                match change {
                    Change::Upsert(row) => {
                        self.check(&inner, row)?;
                        if !exchange && is_taken(&rows, row) {
                            return Err(self.refusal("23505"));
                        }
                        rows.insert(key_of(row), row.clone());
                    }
                    Change::Delete(key) => drop(rows.remove(key)),
                }
            }
            if rows.values().any(|row| is_taken(&rows, row)) {
                return Err(self.refusal("23505"));
            }
            inner.rows = rows;
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.applies.fetch_add(1, Ordering::SeqCst);
        drop(held);
        self.end(Op::Apply).await;
        Ok(())
    }

    fn range(&self, range: &KeyRange) -> Vec<Row> {
        let after = range
            .after
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let upto = range
            .upto
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Included);
        if let (Some(after), Some(upto)) = (&range.after, &range.upto)
            && after >= upto
        {
            return Vec::new();
        }
        let inner = self.inner.lock().unwrap();
        inner
            .rows
            .range::<Key, _>((after, upto))
            .map(|(_, row)| row.clone())
            .collect()
    }
}

pub(crate) fn key_of(row: &Row) -> Key {
    Key(vec![row.0[0].clone().unwrap()])
}
