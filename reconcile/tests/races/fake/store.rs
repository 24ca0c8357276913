//! What the reconciler calls.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crossfade_config::QualifiedName;
use crossfade_phase::Side;
use crossfade_store::{
    Alias, Change, Digest, Exchanged, Finding, Form, Horizon, Key, KeyRange, LetGo, Life,
    LockedRow, Mapping, Relation, Row, Secondary, Store, StoreError, StoreResult, TableMap,
};
use futures::future::BoxFuture;
use tokio::sync::OwnedMutexGuard;

use super::{MemStore, Op, key_of};

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

struct MemLife(Arc<MemStore>);

impl Life for MemLife {
    fn flush(&mut self) -> BoxFuture<'_, StoreResult<bool>> {
        Box::pin(async {
            if self.0.down.load(Ordering::SeqCst) {
                return Ok(false);
            }
            self.0.flush();
            Ok(true)
        })
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

    fn relation<'a>(
        &'a self,
        name: &'a QualifiedName,
    ) -> BoxFuture<'a, StoreResult<Option<Relation>>> {
        Box::pin(async move { Ok(Some(Relation::named(name.clone()))) })
    }

    fn aliases<'a>(
        &'a self,
        _tables: &'a [QualifiedName],
    ) -> BoxFuture<'a, StoreResult<Vec<(QualifiedName, Alias)>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn findings<'a>(
        &'a self,
        _table: &'a TableMap,
        _mapping: &'a Mapping,
    ) -> BoxFuture<'a, StoreResult<Vec<Finding>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn estimate_rows<'a>(&'a self, _table: &'a TableMap) -> BoxFuture<'a, StoreResult<u64>> {
        Box::pin(async { Ok(self.inner.lock().unwrap().rows.len() as u64) })
    }

    fn scan<'a>(
        &'a self,
        _table: &'a TableMap,
        range: &'a KeyRange,
        limit: u32,
        _form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Row>>> {
        Box::pin(async move {
            self.begin(Op::Scan).await?;
            let mut rows = self.range(range);
            rows.truncate(limit as usize);
            self.end(Op::Scan).await;
            Ok(rows)
        })
    }

    fn fetch<'a>(
        &'a self,
        _table: &'a TableMap,
        keys: &'a [Key],
        _form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Option<Row>>>> {
        Box::pin(async move {
            self.begin(Op::Fetch).await?;
            let rows = {
                let inner = self.inner.lock().unwrap();
                keys.iter()
                    .map(|key| inner.rows.get(key).cloned())
                    .collect()
            };
            self.end(Op::Fetch).await;
            Ok(rows)
        })
    }

    fn digest<'a>(
        &'a self,
        _table: &'a TableMap,
        range: &'a KeyRange,
    ) -> BoxFuture<'a, StoreResult<Digest>> {
        Box::pin(async move {
            self.begin(Op::Digest).await?;
            let rows = self.range(range);
            let mut sum = DefaultHasher::new();
            rows.hash(&mut sum);
            self.end(Op::Digest).await;
            Ok(Digest {
                rows: rows.len() as u64,
                sum: sum.finish().to_string(),
                last: rows.last().map(key_of),
            })
        })
    }

    fn insert_absent<'a>(
        &'a self,
        _table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        Box::pin(self.insert(rows, false))
    }

    fn copy_up<'a>(
        &'a self,
        _table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        Box::pin(self.insert(rows, true))
    }

    fn nth_key<'a>(
        &'a self,
        _table: &'a TableMap,
        range: &'a KeyRange,
        nth: u32,
    ) -> BoxFuture<'a, StoreResult<Option<Key>>> {
        Box::pin(async move { Ok(self.range(range).get(nth as usize - 1).map(key_of)) })
    }

    fn apply<'a>(
        &'a self,
        _table: &'a TableMap,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(self.change(changes, false))
    }

    fn exchange<'a>(
        &'a self,
        _table: &'a TableMap,
        _way: &'a LetGo,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<Exchanged>> {
        Box::pin(async move {
            self.change(changes, true).await?;
            Ok(Exchanged::Written)
        })
    }

    fn lock_row<'a>(
        &'a self,
        _table: &'a TableMap,
        key: &'a Key,
    ) -> BoxFuture<'a, StoreResult<Box<dyn LockedRow>>> {
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

    fn horizon(&self) -> BoxFuture<'_, StoreResult<Horizon>> {
        let open = self.open_now();
        Box::pin(async move { Ok(open) })
    }

    fn has_passed(&self, horizon: Horizon) -> BoxFuture<'_, StoreResult<bool>> {
        let passed = self.ended_upto(horizon);
        Box::pin(async move { Ok(passed) })
    }

    fn sequence_positions<'a>(
        &'a self,
        _table: &'a TableMap,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn advance_sequences<'a>(
        &'a self,
        _table: &'a TableMap,
        floor: &'a BTreeMap<String, i64>,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>> {
        Box::pin(async { Ok(floor.clone()) })
    }

    fn life(&self) -> BoxFuture<'_, StoreResult<Box<dyn Life>>> {
        Box::pin(async {
            if self.down.load(Ordering::SeqCst) {
                return Err(StoreError::Unreachable {
                    store: self.side.to_string(),
                    reason: "connection refused".into(),
                });
            }
            Ok(Box::new(MemLife(self.this.upgrade().unwrap())) as Box<dyn Life>)
        })
    }

    fn takes_back(&self) -> Option<bool> {
        Some(!self.keeps.load(Ordering::SeqCst))
    }

    fn secondary(&self, _mapping: Arc<Mapping>) -> BoxFuture<'_, StoreResult<Box<dyn Secondary>>> {
        let store = self.side.to_string();
        Box::pin(async {
            Err(StoreError::Unexpected {
                store,
                what: "tests write through World".into(),
            })
        })
    }
}
