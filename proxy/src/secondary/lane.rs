//! What one thread has of a store: its idle connections and the transactions that wait to be staged together.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crossfade_store::{Mapping, Secondary};
use tokio::runtime::Handle;

use super::{
    Pool,
    group::{self, Concluded, Request},
};
use crate::patience::Patience;

/// How long a commit waits for a batch to go with. The rows stay locked as long.
const LINGER: Duration = Duration::from_millis(1);
/// Changes that are staged together at the most.
const GROUP: usize = 256;

/// A thread's part of a pool.
#[derive(Default)]
pub(super) struct Lane(Mutex<State>);

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    waiting: Vec<Request>,
    /// A group is being staged, and not for long: who comes now waits and is in the next one.
    busy: bool,
    /// Somebody looks after commits that linger.
    swept: bool,
}

/// A connection that waits for work.
pub(super) struct Idle {
    pub(super) secondary: Box<dyn Secondary>,
    pub(super) mapping: Arc<Mapping>,
    /// For calls bounded by `secondary_timeout`.
    pub(super) patience: Patience,
    /// For the time in which others wait.
    pub(super) courtesy: Patience,
    /// A group that was staged and that every primary has committed: it has only to be committed here.
    pub(super) owed: Option<Owed>,
}

/// A commit that is still to be sent.
pub(super) struct Owed {
    pub(super) since: Instant,
    pub(super) within: Duration,
    pub(super) members: Vec<Concluded>,
}

impl Idle {
    /// A connection that was opened for this mapping.
    pub(super) fn new(secondary: Box<dyn Secondary>, mapping: Arc<Mapping>) -> Idle {
        Idle {
            secondary,
            mapping,
            patience: Patience::default(),
            courtesy: Patience::default(),
            owed: None,
        }
    }
}

impl Owed {
    /// The commit of these, from now on.
    pub(super) fn new(members: Vec<Concluded>, within: Duration) -> Owed {
        Owed {
            since: Instant::now(),
            within,
            members,
        }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes idle connections. One that owes a commit is about to be used.
    pub(super) fn close_idle(&self) {
        self.lock().idle.retain(|idle| idle.owed.is_some());
    }

    /// A connection for another batch, best one that owes a commit: both go in one trip. Second, those that owe one as well: the batch might
    /// wait for their locks, so they must not linger.
    pub(super) fn take(&self, mapping: &Arc<Mapping>) -> (Option<Idle>, Vec<Idle>) {
        let mut state = self.lock();
        let mut taken: Option<Idle> = None;
        let mut late = Vec::new();
        let mut kept = Vec::with_capacity(state.idle.len());
        for idle in state.idle.drain(..) {
            // Statements are prepared by one mapping; connections of an older one are of no use.
            let fits = Arc::ptr_eq(&idle.mapping, mapping);
            match &idle.owed {
                Some(_) if fits && taken.is_none() => taken = Some(idle),
                Some(_) => late.push(idle),
                None if fits => kept.push(idle),
                None => {}
            }
        }
        state.idle = kept;
        let taken = taken.or_else(|| state.idle.pop());
        (taken, late)
    }

    /// A connection that owes nothing.
    pub(super) fn take_free(&self, mapping: &Arc<Mapping>) -> Option<Idle> {
        let mut state = self.lock();
        let fits = |idle: &Idle| idle.owed.is_none() && Arc::ptr_eq(&idle.mapping, mapping);
        let at = state.idle.iter().position(fits)?;
        Some(state.idle.swap_remove(at))
    }

    /// Takes a connection back. Says whether somebody has to be found who looks after its commit.
    #[must_use]
    fn put(&self, idle: Idle) -> bool {
        let mut state = self.lock();
        let owes = idle.owed.is_some();
        let sweeps = owes && !state.swept;
        state.swept |= owes;
        state.idle.push(idle);
        sweeps
    }

    /// The next group, or leave for whoever comes next to begin one.
    fn next_group(&self) -> Vec<Request> {
        let mut state = self.lock();
        let group = match state.waiting.first() {
            None => Vec::new(),
            Some(first) => {
                let mapping = first.mapping().clone();
                let mut room = GROUP;
                let fits = |request: &mut Request| {
                    let fits = room >= request.len() && Arc::ptr_eq(request.mapping(), &mapping);
                    if fits {
                        room -= request.len();
                    }
                    fits
                };
                state.waiting.extract_if(.., fits).collect()
            }
        };
        state.busy = !group.is_empty();
        group
    }

    /// Connections whose commits have lingered for long enough, and whether others linger still.
    fn lingering(&self) -> (Vec<Idle>, bool) {
        let mut state = self.lock();
        let due = |idle: &mut Idle| {
            idle.owed
                .as_ref()
                .is_some_and(|owed| owed.since.elapsed() >= LINGER)
        };
        let late = state.idle.extract_if(.., due).collect();
        state.swept = state.idle.iter().any(|idle| idle.owed.is_some());
        (late, state.swept)
    }
}

/// Puts a transaction into the next group of the thread, and begins that group unless one is being staged.
pub(super) fn join(pool: &Arc<Pool>, worker: usize, request: Request) {
    let lane = pool.lane(worker);
    let begins = {
        let mut state = lane.lock();
        state.waiting.push(request);
        !mem::replace(&mut state.busy, true)
    };
    if begins {
        // Not at once: what other sessions of this thread are about to stage in this turn of its loop comes along.
        let turn = Turn {
            pool: pool.clone(),
            worker,
        };
        tokio::spawn(async move { drop(turn) });
    }
}

/// The right to stage while others wait. Given up, the next group begins.
pub(super) struct Turn {
    pool: Arc<Pool>,
    worker: usize,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let requests = self.pool.lane(self.worker).next_group();
        if requests.is_empty() {
            return;
        }
        let next = Turn {
            pool: self.pool.clone(),
            worker: self.worker,
        };
        // Outside of a runtime the proxy is at its end: the requests are dropped, and their sessions hear of it.
        if Handle::try_current().is_ok() {
            group::spawn(self.pool.clone(), self.worker, requests, Some(next));
        }
    }
}

/// Takes a connection back, and sees to it that what it owes is sent soon.
pub(super) fn give_back(pool: &Arc<Pool>, worker: usize, idle: Idle) {
    if pool.lane(worker).put(idle) {
        let pool = pool.clone();
        tokio::spawn(async move { sweep(&pool, worker).await });
    }
}

async fn sweep(pool: &Arc<Pool>, worker: usize) {
    loop {
        tokio::time::sleep(LINGER).await;
        let (late, more) = pool.lane(worker).lingering();
        for idle in late {
            group::commit_now(pool.clone(), worker, idle, None);
        }
        if !more {
            return;
        }
    }
}
