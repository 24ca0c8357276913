//! The keeper of the journal's rows: a thread of its own, so that the journal's last lines can be waited for from anywhere.

mod lines;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_crash::{self as crash, Point};
use crossfade_journal::{DirtyLine, Feed, IntentRow};
use crossfade_phase::Side;
use crossfade_store::{Horizon, StoreResult, journal::JournalRows};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

pub(super) use lines::signed;
use lines::{changes, dirty_line, intent_row, unsigned};

/// Longest time that a line waits which nobody waits for.
const LAZY: Duration = Duration::from_millis(100);
/// Between two signs of life, and two looks for those of others.
const BEAT: Duration = Duration::from_secs(5);
/// Between two looks for what those have left that do not count any more, where several proxies share the phases.
const ORPHANS: Duration = Duration::from_secs(1);
/// An owner whose last sign of life is older is gone. By our own clock (trap 44); a mistake costs needless repairs.
const GONE: Duration = Duration::from_secs(30);
/// Failures before whoever waits is told: a connection that broke is made anew first.
const PATIENCE: u32 = 2;
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Time for the last lines.
const LAST: Duration = Duration::from_secs(5);
/// Rows that are taken over at once.
const PAGE: u32 = 5_000;

/// One that does not count, and whose last sign of life is older, will not join any more, or has lost its place.
const LEFT: Duration = Duration::from_secs(6);

/// Whose rows an owner's are, where several proxies share the phases (docs/decision/26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Another proxy's that counts.
    Anothers,
    /// Of an earlier run of this one.
    Ours,
    /// Nobody's that counts; or of one that is about to join.
    Nobodys,
}

/// Tells whose an owner's rows are.
pub(crate) type Counts = Arc<dyn Fn(u64) -> Whose + Send + Sync>;

/// Runs until the journal is closed.
pub(super) fn run(
    feed: &Feed,
    stores: [Arc<dyn JournalRows>; 2],
    begin: oneshot::Receiver<Option<Counts>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            for side in [Side::Old, Side::New] {
                feed.failing(side, &format!("no thread to write them: {error}"));
            }
            return;
        }
    };
    runtime.block_on(async {
        // An error: the process gave up before there was anything to keep.
        if let Ok(counts) = begin.await {
            let [old, new] = stores.map(|store| Keeper::new(feed.clone(), store, counts.clone()));
            tokio::join!(old.run(), new.run());
        }
    });
}

/// The keeper of one store.
struct Keeper {
    feed: Feed,
    side: Side,
    store: Arc<dyn JournalRows>,
    owner: i64,
    /// `None` for the only proxy.
    counts: Option<Counts>,
    /// What others left was taken over once.
    read: bool,
    /// Transactions of processes that are gone have ended when this has passed.
    horizon: Option<Horizon>,
    /// The last sign of life of every other, and when it was new to us.
    signs: HashMap<i64, (i64, Instant)>,
    next_beat: Instant,
    next_look: Instant,
    /// Intents of our own that memory did not know at the last look.
    strays: Vec<u64>,
}

impl Keeper {
    fn new(feed: Feed, store: Arc<dyn JournalRows>, counts: Option<Counts>) -> Keeper {
        Keeper {
            owner: signed(feed.owner()),
            feed,
            side: store.side(),
            store,
            counts,
            read: false,
            horizon: None,
            signs: HashMap::new(),
            next_beat: Instant::now(),
            next_look: Instant::now(),
            strays: Vec::new(),
        }
    }

    async fn run(mut self) {
        let mut failures = 0;
        loop {
            while !self.feed.is_wanted(self.side) && !self.feed.is_stopping() {
                self.feed.work(self.side).await;
            }
            if self.feed.is_stopping() {
                return self.end().await;
            }
            match self.keep(&mut failures).await {
                Ok(()) => {}
                Err(error) => {
                    failures += 1;
                    if failures >= PATIENCE {
                        if failures == PATIENCE {
                            tracing::warn!(side = %self.side, %error, "the journal's rows cannot be written; they are tried again");
                        }
                        self.feed.failing(self.side, &error.to_string());
                        let pause = LAZY.saturating_mul(failures).min(PAUSE_MAX);
                        tokio::select! {
                            () = sleep(pause) => {}
                            () = self.feed.work(self.side) => {}
                        }
                    }
                }
            }
        }
    }

    /// Reads what is there, then writes for as long as the store is wanted.
    async fn keep(&mut self, failures: &mut u32) -> StoreResult<()> {
        self.store.prepare().await?;
        self.beat().await?;
        if !self.read {
            self.take_over().await?;
            self.read = true;
        }
        // Before anybody is told that all is well.
        self.write_queued().await?;
        self.feed.opened(self.side);
        *failures = 0;
        loop {
            tokio::select! {
                () = self.feed.work(self.side) => {}
                () = sleep(LAZY) => {}
            }
            if self.feed.is_stopping() {
                return Ok(());
            }
            self.write_queued().await?;
            if !self.feed.is_wanted(self.side) {
                return self.let_go().await;
            }
            if Instant::now() >= self.next_beat {
                self.beat().await?;
                self.look_for_gone().await?;
                self.look_for_strays().await?;
            } else if self.counts.is_some() && Instant::now() >= self.next_look {
                self.look_for_gone().await?;
            }
            self.look_at_horizon().await?;
        }
    }

    async fn write_queued(&mut self) -> StoreResult<()> {
        while let Some(batch) = self.feed.take(self.side) {
            crash::at(Point::LinesTaken);
            match self.store.write(&changes(&batch)).await {
                Ok(()) => {
                    crash::at(Point::LinesWritten);
                    self.feed.written(self.side, batch);
                }
                Err(error) => {
                    self.feed.put_back(self.side, batch);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn beat(&mut self) -> StoreResult<()> {
        let now = Instant::now();
        let mut signs = HashMap::new();
        for (owner, beat) in self.store.beat(self.owner).await? {
            let since = self.signs.get(&owner).filter(|(known, _)| *known == beat);
            signs.insert(owner, (beat, since.map_or(now, |(_, since)| *since)));
        }
        self.signs = signs;
        self.next_beat = now + BEAT;
        Ok(())
    }

    /// On start: whatever anybody left there is dirty who does not count. Of one that lives that costs needless repairs.
    async fn take_over(&mut self) -> StoreResult<()> {
        let mut gone: Vec<i64> = self.others().await?;
        gone.retain(|owner| self.counts.is_none() || self.is_gone(*owner));
        // Another proxy may have taken over, and forgotten, one whose last transaction has not ended: where there are others, nobody's absence says that nothing is open.
        let may_be_open =
            !gone.is_empty() || (self.counts.is_some() && self.feed.is_home(self.side));
        if !may_be_open {
            self.feed.unsettled(self.side, false);
            return Ok(());
        }
        self.horizon = Some(self.store.horizon().await?);
        for owner in gone {
            self.adopt(owner).await?;
        }
        Ok(())
    }

    /// Whether an owner has left its rows to others.
    fn is_gone(&self, owner: i64) -> bool {
        let sign = self.signs.get(&owner);
        let silent_for = sign.map(|(_, since)| since.elapsed());
        let silent = |limit| silent_for.is_none_or(|silent_for| silent_for >= limit);
        match self.counts.as_ref().map(|counts| counts(unsigned(owner))) {
            None => silent(GONE),
            // It may have had no time for a sign.
            Some(Whose::Anothers) => silent_for.is_some() && silent(GONE),
            Some(Whose::Ours) => true,
            Some(Whose::Nobodys) => silent(LEFT),
        }
    }

    async fn others(&self) -> StoreResult<Vec<i64>> {
        let mut owners = self.store.owners().await?;
        owners.retain(|owner| *owner != self.owner);
        Ok(owners)
    }

    /// Takes over what those have left that are gone: also what appears after they were forgotten, of a transaction that ended late.
    async fn look_for_gone(&mut self) -> StoreResult<()> {
        self.next_look = Instant::now() + ORPHANS;
        let mut gone = self.others().await?;
        gone.retain(|owner| self.is_gone(*owner));
        if self.counts.is_some() && gone.iter().any(|owner| !self.signs.contains_key(owner)) {
            // One that has just begun gave its first sign before it had a row.
            self.beat().await?;
            gone.retain(|owner| self.is_gone(*owner));
        }
        if gone.is_empty() {
            return Ok(());
        }
        if gone.iter().any(|owner| self.signs.contains_key(owner)) {
            self.feed.unsettled(self.side, true);
            self.horizon = Some(self.store.horizon().await?);
        }
        for owner in gone {
            self.adopt(owner).await?;
        }
        Ok(())
    }

    async fn adopt(&mut self, owner: i64) -> StoreResult<()> {
        let mut keys = 0;
        loop {
            let dirty = self.store.dirty_of(owner, PAGE).await?;
            let intents = self.store.intents_of(owner, PAGE).await?;
            if dirty.is_empty() && intents.is_empty() {
                break;
            }
            keys += dirty.len();
            let dirty: Vec<DirtyLine> = dirty.into_iter().map(dirty_line).collect();
            let intents: Vec<IntentRow> = intents.into_iter().map(intent_row).collect();
            self.feed.adopt_dirty(self.side, &dirty);
            keys += self.feed.adopt_intents(self.side, &intents);
            crash::at(Point::LinesAdopted);
            self.write_queued().await?;
        }
        self.store.forget(owner).await?;
        self.signs.remove(&owner);
        if keys > 0 {
            tracing::warn!(side = %self.side, owner, keys, "a proxy is gone that had transactions between their two commits, or dirty keys; its keys are repaired");
        }
        Ok(())
    }

    /// Once every transaction has ended that one of those may have had that are gone, all its intents can be seen.
    async fn look_at_horizon(&mut self) -> StoreResult<()> {
        let Some(horizon) = self.horizon else {
            return Ok(());
        };
        if !self.store.has_passed(horizon).await? {
            return Ok(());
        }
        self.look_for_gone_now().await?;
        self.horizon = None;
        self.feed.unsettled(self.side, false);
        Ok(())
    }

    async fn look_for_gone_now(&mut self) -> StoreResult<()> {
        let mut gone = self.others().await?;
        match &self.counts {
            None => gone.retain(|owner| !self.signs.contains_key(owner)),
            Some(_) => gone.retain(|owner| self.is_gone(*owner)),
        }
        for owner in gone {
            self.adopt(owner).await?;
        }
        Ok(())
    }

    /// Intents of our own that nothing in memory stands for: of transactions that were given up because their outcome was unknown, and that were committed later.
    /// Twice in a row, since those that are closed may not have been taken out yet.
    async fn look_for_strays(&mut self) -> StoreResult<()> {
        let intents = self.store.intents_of(self.owner, PAGE).await?;
        let ids: Vec<u64> = intents.iter().map(|row| unsigned(row.id)).collect();
        let unknown = self.feed.forgotten(&ids);
        let strays: Vec<IntentRow> = intents
            .into_iter()
            .map(intent_row)
            .filter(|row| unknown.contains(&row.id) && self.strays.contains(&row.id))
            .collect();
        self.feed.adopt_intents(self.side, &strays);
        self.strays = unknown;
        Ok(())
    }

    /// No toggle is at home here any more. The store may be switched off the next moment.
    async fn let_go(&mut self) -> StoreResult<()> {
        self.feed.discard(self.side);
        let _ = timeout(LAST, self.store.forget(self.owner)).await;
        self.read = false;
        Ok(())
    }

    /// The journal is closed: what is still queued is written, if that can be had.
    async fn end(&mut self) {
        if !self.read {
            return;
        }
        let last = async {
            self.write_queued().await?;
            // With nothing left nobody has to look after it.
            self.store.forget(self.owner).await
        };
        match timeout(LAST, last).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(side = %self.side, %error, "the journal's last rows were not written; the next start repairs some keys that need none")
            }
            Err(_) => {
                tracing::warn!(side = %self.side, "the journal's last rows were not written in time; the next start repairs some keys that need none")
            }
        }
    }
}
