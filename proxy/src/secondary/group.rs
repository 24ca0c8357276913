//! One transaction of the secondary that carries the changes of one or several of the primary's.
//!
//! ```text
//! sessions   request ──┐          ┌─ Staged: primary COMMIT ── vote ──┐          ┌─ concluded
//! group                └─ stage ──┘                                   └─ commit ─┘
//! ```
//!
//! The changes of a group never touch one row twice: each member's primary transaction holds its row locks until it votes.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_crash::{self as crash, Point};
use crossfade_store::{Change, Mapping, StoreResult, TableId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    Pool, StageError, Work,
    lane::{self, Idle, Owed, Turn},
};
use crate::patience::Patience;

/// How long a group is waited for by those who came after it began.
const COURTESY: Duration = Duration::from_millis(2);

/// What is to be done once it is known whether the secondary has committed. Dropped uncalled when the proxy stops before.
pub type Concluded = Box<dyn FnOnce(Result<(), &StageError>) + Send>;

/// A transaction that waits to be staged.
pub(super) struct Request {
    work: Work,
    arrived: Instant,
    answer: oneshot::Sender<Result<Staged, StageError>>,
}

impl Request {
    pub(super) fn new(work: Work, answer: oneshot::Sender<Result<Staged, StageError>>) -> Request {
        Request {
            work,
            arrived: Instant::now(),
            answer,
        }
    }

    pub(super) fn mapping(&self) -> &Arc<Mapping> {
        &self.work.mapping
    }

    /// Number of changes.
    pub(super) fn len(&self) -> usize {
        self.work.batch.len()
    }

    fn left(&self) -> Duration {
        self.work.within.saturating_sub(self.arrived.elapsed())
    }

    fn refuse(self, error: StageError) {
        // Nobody listens where the session is gone.
        drop(self.answer.send(Err(error)));
    }
}

/// What a member's primary did.
pub(super) enum Vote {
    Committed(Concluded),
    RolledBack,
}

/// A transaction that the secondary holds, uncommitted. Dropped, the store rolls back, if it [can](Pool::takes_back).
#[must_use = "a staged transaction that is not committed is rolled back"]
pub struct Staged {
    votes: mpsc::UnboundedSender<Vote>,
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").finish_non_exhaustive()
    }
}

impl Staged {
    pub(super) fn new(votes: mpsc::UnboundedSender<Vote>) -> Staged {
        Staged { votes }
    }

    /// The primary has committed. `concluded` is called when it is known whether the secondary has, too.
    pub fn commit(self, concluded: Concluded) {
        if let Err(mpsc::error::SendError(Vote::Committed(concluded))) =
            self.votes.send(Vote::Committed(concluded))
        {
            concluded(Err(&StageError::Companion));
        }
    }

    /// The primary has rolled back.
    pub fn rollback(self) {
        // The group has ended: then it was rolled back.
        drop(self.votes.send(Vote::RolledBack));
    }
}

/// Stages these in a task of its own, which sees to their end.
pub(super) fn spawn(pool: Arc<Pool>, worker: usize, requests: Vec<Request>, turn: Option<Turn>) {
    tokio::spawn(async move { run(&pool, worker, requests, turn).await });
}

async fn run(pool: &Arc<Pool>, worker: usize, mut requests: Vec<Request>, turn: Option<Turn>) {
    // Whoever is gone does not want it any more.
    requests.retain(|request| !request.answer.is_closed());
    let Some(left) = requests.iter().map(Request::left).min() else {
        return;
    };
    let began = Instant::now();
    let within = requests[0].work.within;
    let mapping = requests[0].work.mapping.clone();
    let (mut idle, permit) = match connection(pool, worker, &mapping, left).await {
        Ok(both) => both,
        Err(error) => return refuse(requests, &error),
    };
    let mut courtesy = std::mem::take(&mut idle.courtesy);
    let life = async {
        let left = left.saturating_sub(began.elapsed());
        see_through(pool, worker, &mut idle, requests, left, within).await;
        idle
    };
    let mut idle = in_turn(life, &mut courtesy, turn).await;
    idle.courtesy = courtesy;
    if idle.owed.is_some() && !idle.secondary.commits_with_next() {
        return commit_now(pool.clone(), worker, idle, Some(permit));
    }
    drop(permit);
    if idle.owed.is_some() || idle.secondary.is_usable() {
        lane::give_back(pool, worker, idle);
    }
}

/// Those who come later wait for a moment at the most.
async fn in_turn<T>(
    life: impl Future<Output = T>,
    courtesy: &mut Patience,
    turn: Option<Turn>,
) -> T {
    let mut life = pin!(life);
    if turn.is_some() {
        let soon = courtesy.within(COURTESY, life.as_mut()).await;
        drop(turn);
        if let Some(soon) = soon {
            return soon;
        }
    }
    life.await
}

/// Stages, and waits for the primaries.
async fn see_through(
    pool: &Arc<Pool>,
    worker: usize,
    idle: &mut Idle,
    mut requests: Vec<Request>,
    left: Duration,
    within: Duration,
) {
    // Their sessions have declared what they intend, and wait for that to be on the disk as well.
    pool.journal.urge();
    let batch = changes_of(&mut requests);
    crash::at(Point::BeforeStage);
    match stage(pool, idle, &batch, left).await {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            let error = StageError::from(error);
            if error.is_refusal() && requests.len() > 1 {
                // One of them is to blame; the others must not suffer from it (trap 11).
                each_alone(pool, worker, requests);
            } else {
                refuse(requests, &error);
            }
            return;
        }
        // Dropped with a batch under way: the connection is not usable any more and closes, and the store rolls back.
        None => return refuse(requests, &StageError::TimedOut(within)),
    }
    crash::at(Point::Staged);
    let several = requests.len() > 1;
    let votes = announce(requests);
    match count(&mut idle.patience, votes, within).await {
        Some(members) => {
            crash::at(Point::GroupCommitted);
            idle.owed = Some(Owed::new(members, within));
        }
        None => {
            if several {
                pool.keep_apart();
            }
            take_back(idle, within).await;
        }
    }
}

/// A connection and leave to use it.
async fn connection(
    pool: &Arc<Pool>,
    worker: usize,
    mapping: &Arc<Mapping>,
    within: Duration,
) -> Result<(Idle, OwnedSemaphorePermit), StageError> {
    // Nearly always there: then no timer is needed.
    if let Ok(permit) = pool.permits.clone().try_acquire_owned()
        && let Some(idle) = at_hand(pool, worker, mapping)
    {
        return Ok((idle, permit));
    }
    let connect = async {
        let permit = pool.permits.clone().acquire_owned().await;
        // The semaphore is never closed.
        let permit = permit.map_err(|_| StageError::Stopping)?;
        if let Some(idle) = at_hand(pool, worker, mapping) {
            return Ok((idle, permit));
        }
        let secondary = pool.store.secondary(mapping.clone()).await?;
        Ok((Idle::new(secondary, mapping.clone()), permit))
    };
    tokio::time::timeout(within, connect)
        .await
        .unwrap_or(Err(StageError::TimedOut(within)))
}

fn at_hand(pool: &Arc<Pool>, worker: usize, mapping: &Arc<Mapping>) -> Option<Idle> {
    let (idle, late) = pool.lane(worker).take(mapping);
    for late in late {
        commit_now(pool.clone(), worker, late, None);
    }
    idle
}

/// The changes of all, in the order in which the store takes them.
fn changes_of(requests: &mut [Request]) -> Vec<(TableId, Change)> {
    let mut batch = match requests {
        [only] => std::mem::take(&mut only.work.batch),
        // Kept, should each have to go alone.
        ref several => several
            .iter()
            .flat_map(|request| request.work.batch.iter().cloned())
            .collect(),
    };
    if let Some(first) = requests.first() {
        first.work.order.sort(&first.work.mapping, &mut batch);
    }
    batch
}

/// Stages a batch, behind the commit that the connection still owes. `None` when the time is up.
async fn stage(
    pool: &Pool,
    idle: &mut Idle,
    batch: &[(TableId, Change)],
    within: Duration,
) -> Option<StoreResult<()>> {
    let Idle {
        secondary,
        patience,
        owed,
        ..
    } = idle;
    let Some(owed) = owed.take() else {
        return patience.within(within, secondary.stage(batch)).await;
    };
    crash::at(Point::BeforeSecondaryCommit);
    let both = secondary.commit_and_stage(batch);
    let (committed, staged) = match patience.within(within.max(owed.within), both).await {
        Some((committed, staged)) => (committed.map_err(StageError::from), Some(staged)),
        None => (Err(StageError::TimedOut(owed.within)), None),
    };
    conclude(pool, owed, committed);
    staged
}

fn each_alone(pool: &Arc<Pool>, worker: usize, requests: Vec<Request>) {
    for request in requests {
        spawn(pool.clone(), worker, vec![request], None);
    }
}

fn refuse(requests: Vec<Request>, error: &StageError) {
    for request in requests {
        request.refuse(error.clone());
    }
}

/// Tells the members that they are staged. Whoever does not hear it votes by being gone.
fn announce(requests: Vec<Request>) -> (usize, mpsc::UnboundedReceiver<Vote>) {
    let (votes, inbox) = mpsc::unbounded_channel();
    let members = requests.len();
    for request in requests {
        let votes = votes.clone();
        drop(request.answer.send(Ok(Staged::new(votes))));
    }
    (members, inbox)
}

/// Waits for every member's vote; `None` when one has not committed. Those that have are told so.
///
/// A primary may take its time to commit, but members whose primary has committed do not wait for the others' longer than `within`.
pub(super) async fn count(
    patience: &mut Patience,
    (members, mut inbox): (usize, mpsc::UnboundedReceiver<Vote>),
    within: Duration,
) -> Option<Vec<Concluded>> {
    let mut committed = Vec::with_capacity(members);
    while committed.len() < members {
        let vote = if committed.is_empty() {
            inbox.recv().await
        } else {
            patience.within(within, inbox.recv()).await.flatten()
        };
        match vote {
            Some(Vote::Committed(concluded)) => committed.push(concluded),
            Some(Vote::RolledBack) | None => {
                inbox.close();
                while let Ok(vote) = inbox.try_recv() {
                    if let Vote::Committed(concluded) = vote {
                        committed.push(concluded);
                    }
                }
                for concluded in committed {
                    concluded(Err(&StageError::Companion));
                }
                return None;
            }
        }
    }
    Some(committed)
}

/// Rolls a staged group back. A failure closes the connection, which rolls back as well.
pub(super) async fn take_back(idle: &mut Idle, within: Duration) {
    let rollback = idle.secondary.rollback();
    if !matches!(idle.patience.within(within, rollback).await, Some(Ok(()))) {
        tracing::warn!("a staged batch was rolled back by closing its connection");
    }
}

/// Sends a commit that goes with no batch, in a task of its own, which keeps the leave to use the connection if there is one.
pub(super) fn commit_now(
    pool: Arc<Pool>,
    worker: usize,
    mut idle: Idle,
    permit: Option<OwnedSemaphorePermit>,
) {
    let Some(owed) = idle.owed.take() else { return };
    tokio::spawn(async move {
        let _permit = permit;
        crash::at(Point::BeforeSecondaryCommit);
        let commit = idle.secondary.commit();
        let outcome = match idle.patience.within(owed.within, commit).await {
            Some(outcome) => outcome.map_err(StageError::from),
            None => Err(StageError::TimedOut(owed.within)),
        };
        conclude(&pool, owed, outcome);
        if idle.secondary.is_usable() {
            lane::give_back(&pool, worker, idle);
        }
    });
}

fn conclude(pool: &Pool, owed: Owed, outcome: Result<(), StageError>) {
    if outcome.is_err() {
        pool.breaker.failed();
    }
    for concluded in owed.members {
        concluded(outcome.as_ref().copied());
    }
}
