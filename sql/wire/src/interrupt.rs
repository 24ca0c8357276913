//! Requests to stop what a session does: by its client, or by its own time limit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crossfade_values::{Error, Result};
use tokio::{sync::Notify, time::Instant};

/// The keys of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashMap<(i32, i32), Arc<Notify>>>);

/// A session's key. Dropping it takes the key out.
#[derive(Debug)]
pub(crate) struct Key {
    keys: Arc<Keys>,
    pub(crate) process_id: i32,
    pub(crate) secret: i32,
    requested: Arc<Notify>,
}

impl Keys {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(i32, i32), Arc<Notify>>> {
        // Every critical section leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key that nobody has.
    pub(crate) fn enter(self: &Arc<Keys>) -> Key {
        let requested = Arc::new(Notify::new());
        let mut keys = self.lock();
        loop {
            let (process_id, secret) = (rand::random::<i32>() & i32::MAX, rand::random());
            if process_id != 0 && !keys.contains_key(&(process_id, secret)) {
                keys.insert((process_id, secret), requested.clone());
                return Key {
                    keys: self.clone(),
                    process_id,
                    secret,
                    requested,
                };
            }
        }
    }

    /// Stops what the session with this key does now, if it does anything.
    pub(crate) fn request(&self, process_id: i32, secret: i32) {
        if let Some(requested) = self.lock().get(&(process_id, secret)) {
            requested.notify_waiters();
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.keys.lock().remove(&(self.process_id, self.secret));
    }
}

impl Key {
    /// Does the work until it is done, the client wants no more of it, or the time is over. What is dropped half way has failed.
    pub(crate) async fn watch<T>(
        &self,
        until: Option<Instant>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let timeout = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = self.requested.notified() => Err(Error::new("57014", "canceling statement due to user request")),
            () = timeout => Err(Error::new("57014", "canceling statement due to statement timeout")),
        }
    }
}
