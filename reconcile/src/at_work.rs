//! One repair of a key at a time.
//!
//! A repair of many writes what it has read and looks again (`Repair::many`). In between the keys have to stay dirty; but somebody else who has the same key, an operator's
//! command for one, or rows that exchange their values with others, may have read its row later, found the stores alike, and cleaned it.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use crossfade_config::QualifiedName;
use crossfade_store::{Key, TableMap};
use tokio::sync::Notify;

/// The keys that are being repaired, with their tables' old names. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct AtWork(Arc<Shared>);

#[derive(Default)]
struct Shared {
    keys: Mutex<HashSet<(QualifiedName, Key)>>,
    freed: Notify,
}

/// Keys that nobody else repairs until it is dropped.
pub(crate) struct Held {
    at_work: AtWork,
    keys: Vec<(QualifiedName, Key)>,
}

impl AtWork {
    /// Waits until nobody is at work on any of the keys. Nobody waits with keys in hand, so that no two wait for each other. Cancel-safe.
    pub(crate) async fn take(&self, table: &TableMap, keys: &[Key]) -> Held {
        let name = &table.old.name;
        let keys: Vec<_> = keys.iter().map(|key| (name.clone(), key.clone())).collect();
        loop {
            let mut freed = pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if self.mark(&keys) {
                let at_work = self.clone();
                return Held { at_work, keys };
            }
            freed.await;
        }
    }

    /// All of them, or none where somebody is at work on one.
    fn mark(&self, keys: &[(QualifiedName, Key)]) -> bool {
        let mut busy = lock(&self.0.keys);
        let free = !keys.iter().any(|key| busy.contains(key));
        if free {
            busy.extend(keys.iter().cloned());
        }
        free
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut busy = lock(&self.at_work.0.keys);
        for key in &self.keys {
            busy.remove(key);
        }
        drop(busy);
        self.at_work.0.freed.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
