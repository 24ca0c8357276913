//! Cancel requests: which server connections stand behind the key that a client holds.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::shared::Shared;

/// Process id and secret, as `BackendKeyData` carries them.
pub(crate) type CancelKey = Bytes;

/// How long a server connection is remembered that was given up. Its backend reads what was sent before as soon as it gets to it.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The keys that clients hold, and what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    sessions: Mutex<HashMap<CancelKey, Arc<Mutex<Targets>>>>,
    given_up: Mutex<GivenUp>,
}

/// Server connections that sessions have let go of.
#[derive(Debug, Default)]
struct GivenUp {
    count: u64,
    last: VecDeque<(Instant, Side, i32)>,
}

/// Backends of one store, by their process ids.
#[derive(Debug, Default)]
pub struct Backends {
    /// Of sessions that go on: whatever they are at, their pins tell.
    pub live: HashSet<i32>,
    /// Of connections that were given up a while ago at the most.
    pub given_up: HashSet<i32>,
}

impl Cancels {
    pub(crate) fn backends(&self, side: Side) -> Backends {
        let sessions = lock(&self.sessions);
        let targets = sessions.values().flat_map(|targets| lock(targets).clone());
        let live = targets.filter(|(of, _)| *of == side);
        let live = live.filter_map(|(_, key)| pid(&key)).collect();
        let given_up = lock(&self.given_up);
        let given_up = given_up.last.iter().filter(|(_, of, _)| *of == side);
        Backends {
            live,
            given_up: given_up.map(|(_, _, pid)| *pid).collect(),
        }
    }

    /// How many server connections were given up so far.
    pub(crate) fn given_up(&self) -> u64 {
        lock(&self.given_up).count
    }

    fn give_up(&self, targets: Targets) {
        let mut given_up = lock(&self.given_up);
        given_up.count += 1;
        let old = |(since, ..): &(Instant, Side, i32)| since.elapsed() > REMEMBERED;
        while given_up.last.front().is_some_and(old) {
            given_up.last.pop_front();
        }
        let now = Instant::now();
        let gone = targets
            .into_iter()
            .filter_map(|(side, key)| Some((now, side, pid(&key)?)));
        given_up.last.extend(gone);
    }
}

fn pid(key: &[u8]) -> Option<i32> {
    key.first_chunk().map(|pid| i32::from_be_bytes(*pid))
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
        let before = targets
            .extract_if(.., |(known, _)| *known == side)
            .collect();
        targets.extend(key.map(|key| (side, key)));
        drop(targets);
        self.shared.cancels.give_up(before);
    }
}

impl Drop for CancelEntry {
    fn drop(&mut self) {
        let cancels = &self.shared.cancels;
        let mut sessions = lock(&cancels.sessions);
        sessions.remove(&self.key);
        cancels.give_up(lock(&self.targets).clone());
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
