//! Cancel requests: which server connections stand behind the key that a client holds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::shared::Shared;

/// Process id and secret, as `BackendKeyData` carries them.
pub(crate) type CancelKey = Bytes;

/// The keys that clients hold, and what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    sessions: Mutex<HashMap<CancelKey, Arc<Mutex<Targets>>>>,
}

/// The server connections of one session: side and key of each.
pub(crate) type Targets = Vec<(Side, CancelKey)>;

/// A session's entry; dropping it takes the entry out.
#[derive(Debug)]
pub(crate) struct CancelEntry {
    shared: Arc<Shared>,
    key: CancelKey,
    targets: Arc<Mutex<Targets>>,
}

impl CancelEntry {
    /// Enters a session whose client was given `key` by the server of `side`.
    pub(crate) fn new(shared: Arc<Shared>, side: Side, key: CancelKey) -> CancelEntry {
        let targets = Arc::new(Mutex::new(vec![(side, key.clone())]));
        lock(&shared.cancels.sessions).insert(key.clone(), targets.clone());
        CancelEntry {
            shared,
            key,
            targets,
        }
    }

    /// Sets the session's connection to one side.
    pub(crate) fn set(&self, side: Side, key: Option<CancelKey>) {
        let mut targets = lock(&self.targets);
        targets.retain(|(known, _)| *known != side);
        targets.extend(key.map(|key| (side, key)));
    }
}

impl Drop for CancelEntry {
    fn drop(&mut self) {
        lock(&self.shared.cancels.sessions).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Every critical section here leaves the map whole, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes a CancelRequest on to each server connection of the session. A key that no session here holds goes to the home store as it
/// is: the client may have connected through another proxy of the same migration.
pub(crate) async fn cancel(shared: &Shared, process_id: i32, secret: &[u8]) {
    let mut key = BytesMut::new();
    key.put_i32(process_id);
    key.put_slice(secret);
    let key = key.freeze();
    let known = lock(&shared.cancels.sessions).get(&key).cloned();
    let targets = known.map_or_else(
        || vec![(shared.home(), key)],
        |targets| lock(&targets).clone(),
    );
    for (side, key) in targets {
        if let Err(error) = send(shared, side, &key).await {
            tracing::warn!(%side, %error, "a cancel request could not be passed on");
        }
    }
}

async fn send(shared: &Shared, side: Side, key: &[u8]) -> Result<(), crossfade_store::StoreError> {
    const CANCEL_REQUEST: u32 = 80_877_102;
    let endpoint = shared.endpoint(side)?;
    let mut stream = endpoint.open().await?;
    let mut request = BytesMut::new();
    request.put_u32(u32::try_from(8 + key.len()).unwrap_or(u32::MAX));
    request.put_u32(CANCEL_REQUEST);
    request.put_slice(key);
    let broken = |error| crossfade_store::StoreError::unreachable(&endpoint.config.url, &error);
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    // The server closes once it has dealt with the request; the client takes our closing for the same.
    let mut rest = [0; 1];
    let _closed = stream.read(&mut rest).await.map_err(broken)?;
    Ok(())
}
