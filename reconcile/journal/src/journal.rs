//! The journal as its users see it.

mod primary;
mod repair;
mod view;

use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    thread::{self, JoinHandle},
};

use crossfade_phase::Side;

pub use repair::DirtyKey;
pub use view::{Backlog, DirtyTable};

use crate::{
    Durable, Intend, JournalError, Keyed, OpenError, Reason, Stale, State,
    disk::Disk,
    lock::DirLock,
    primary::Touched,
    replay::replay,
    segment::{SNAPSHOT, SPARE},
    shared::{Core, Mode, Shared},
    sync::{lock, wait},
    writer::Writer,
};

/// Size and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Size of a segment file, in bytes. The default of 16 MB holds some 400,000 intents: long enough that rotation is rare, short
    /// enough that its zeros are written in a fraction of a second.
    pub segment_bytes: u64,
    /// Most keys that may be dirty or open at once. A dirty key takes about 100 bytes of memory (`examples/cost.rs`
    /// measures it), so the default of 10 million is about 1 GB.
    pub max_keys: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: 16 << 20,
            max_keys: 10_000_000,
        }
    }
}

/// Whether the journal takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Writable,
    /// It does not: dual phases must refuse writes.
    Unwritable(JournalError),
}

/// All commits up to a moment, for one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    target: Side,
    upto: u64,
}

/// The journal of one `state_dir`. Clones share it; the last one dropped closes it.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    state: State,
    disk: Disk,
    /// Writes the log, or keeps the rows.
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Where [`Journal::take_dirty`] begins, so that no table comes always last.
    turn: AtomicUsize,
    /// `None` for a process without a folder.
    _lock: Option<DirLock>,
}

impl Journal {
    /// Opens the folder, creating it when it is not there. Blocks.
    ///
    /// Open intents found there become dirty keys. Where the folder can be read but not written (a full disk), the
    /// journal opens unwritable: see [`Journal::health`].
    ///
    /// # Errors
    /// When another process has the folder, when it is damaged, or when it cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Journal, OpenError> {
        Journal::open_with(dir, Options::default())
    }

    /// As [`Journal::open`], with other limits.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Journal, OpenError> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir).map_err(OpenError::io("create", dir))?;
        let dir_lock = DirLock::take(dir)?;
        let disk = Disk::new(dir);
        for leftover in [SPARE, SNAPSHOT] {
            disk.remove(leftover)
                .map_err(OpenError::io("remove", disk.path(leftover)))?;
        }
        let shared = Arc::new(Shared::new(options));
        let found = replay(dir, &shared)?;
        let state = State::open(dir, found.any)?;
        if state.is_in_primary() {
            return Err(OpenError::KeptInPrimary { dir: dir.into() });
        }
        let mut writer = Writer::new(Arc::clone(&shared), disk.clone(), &found);
        writer.establish();
        if matches!(shared.health(), Health::Writable) {
            state
                .journal_began()
                .map_err(|e| OpenError::io("write", &e.path)(e.source))?;
        }
        let handle = thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())
            .map_err(OpenError::io("start the writer thread of", dir))?;
        let writer = Mutex::new(Some(handle));
        let turn = AtomicUsize::new(0);
        let inner = Inner {
            shared,
            state,
            disk,
            writer,
            turn,
            _lock: Some(dir_lock),
        };
        Ok(Journal {
            inner: Arc::new(inner),
        })
    }

    /// Phases, completeness and checkpoints.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.inner.state
    }

    /// Declares that a transaction over these keys is about to commit in the primary and then in the store of `target`
    /// (DESIGN 3, step 2). Callers at the same time share one flush.
    ///
    /// The future resolves to an error when the journal is unwritable or full: then the primary must not commit. Until it is polled, or
    /// [`Journal::urge`] is called, nothing is written.
    /// It may be dropped at any time: see [`Intend`].
    pub fn intend<K: Keyed>(&self, target: Side, keys: &[K]) -> Intend {
        let shared = &self.inner.shared;
        let encoded = shared.encode(keys);
        let row = encoded
            .as_ref()
            .ok()
            .and_then(|(count, section)| self.row(target, *count, section));
        let opened =
            encoded.and_then(|(count, section)| shared.open_intent(target, count, section));
        Intend::new(shared, opened, row)
    }

    /// Has everything that is queued written to the disk now, in one batch. Whoever awaits an [`Intend`] does so by that; a caller that is about to have
    /// several of them awaited says so here, once all are declared, and they share one flush.
    pub fn urge(&self) {
        self.inner.shared.urge();
    }

    /// Resolves when everything said so far is on the disk: the verdicts and cleanings, too, that otherwise travel with a later batch.
    ///
    /// Asked for before the stores change their parts. A crash may bring back an intent or a dirty key whose end was not durable, which costs a needless
    /// repair; but only as long as the same store is the secondary.
    pub fn flushed(&self) -> Durable {
        let shared = &self.inner.shared;
        let mut core = shared.lock_core();
        let outcome = core.outcome(core.queued());
        if core.has_pending() || core.rows.is_some() {
            shared.nudge(&mut core, true);
        }
        drop(core);
        Durable::new(shared, outcome)
    }

    /// Marks keys whose row in the store of `target` is not what it should be. They are dirty in memory at once, even where the
    /// future resolves to [`JournalError::Unwritable`], and on the disk when it resolves well. Nothing is marked when it
    /// resolves to [`JournalError::Full`] or [`JournalError::TooLarge`].
    pub fn mark_dirty<K: Keyed>(&self, target: Side, keys: &[K], reason: Reason) -> Durable {
        let shared = &self.inner.shared;
        let outcome = shared
            .encode(keys)
            .and_then(|(count, section)| shared.mark(Stale::only(target), count, &section, reason));
        Durable::new(shared, outcome)
    }

    /// Says that a table belongs to a toggle. Called for every mapped table on start and after a change of the file, so that a
    /// renamed toggle keeps the dirty keys of its tables.
    pub fn assign(&self, table: &str, toggle: &str) {
        self.inner.shared.table_for(toggle, table);
    }

    /// Captures all transactions that are committed so far and not confirmed in the store of `target`.
    #[must_use]
    pub fn confirm_horizon(&self, target: Side) -> Horizon {
        Horizon {
            target,
            upto: self.inner.shared.lock_core().open.commits(),
        }
    }

    /// The store has flushed everything up to the horizon: those transactions are done. Says how many there were.
    pub fn confirm(&self, horizon: Horizon) -> usize {
        self.close_unconfirmed(&mut self.inner.shared.lock_core(), horizon, None)
            .0
    }

    /// The store of `target` crashed: what it acknowledged and may not have flushed becomes dirty.
    pub fn unconfirmed_to_dirty(&self, target: Side, reason: Reason) -> Durable {
        let all = Horizon {
            target,
            upto: u64::MAX,
        };
        let mut core = self.inner.shared.lock_core();
        let (_, touched) = self.close_unconfirmed(&mut core, all, Some(reason));
        let outcome = core.outcome(touched);
        drop(core);
        Durable::new(&self.inner.shared, outcome)
    }

    fn close_unconfirmed(
        &self,
        core: &mut Core,
        upto: Horizon,
        dirty: Option<Reason>,
    ) -> (usize, Touched) {
        let shared = &self.inner.shared;
        let (mut closed, mut touched) = (0, Touched::default());
        while let Some(id) = core.open.next_unconfirmed(upto.target, upto.upto) {
            let [old, new] = shared.close(core, id, dirty).0;
            touched.0[0] |= old;
            touched.0[1] |= new;
            closed += 1;
        }
        shared.nudge(core, dirty.is_some());
        (closed, touched)
    }

    /// Whether the journal takes writes.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    /// Tries to make an unwritable journal writable again, by writing everything alive into a new file. Blocks as long as that
    /// takes; nothing to do where it is writable.
    ///
    /// # Errors
    /// When it still cannot be written.
    pub fn try_recover(&self) -> Result<(), JournalError> {
        let shared = &self.inner.shared;
        let mut core = shared.lock_core();
        let Some(refusal) = core.refusal() else {
            return Ok(());
        };
        if refusal == JournalError::Closed {
            return Err(refusal);
        }
        if let Some(rows) = &mut core.rows {
            // Their keepers try all the time.
            rows.poke();
            return Err(refusal);
        }
        let before = core.attempts;
        core.recover = true;
        shared.nudge(&mut core, true);
        while core.attempts == before && core.mode != Mode::Closed {
            core = wait(&shared.recovered, core);
        }
        let outcome = core.refusal().map_or(Ok(()), Err);
        drop(core);
        if outcome.is_ok() {
            self.inner
                .state
                .journal_began()
                .map_err(|error| JournalError::Unwritable {
                    reason: error.to_string().into(),
                })?;
        }
        outcome
    }

    #[cfg(test)]
    pub(crate) fn inject(&self, fault: crate::disk::Fault) {
        self.inner.disk.inject(fault);
    }
}

impl Drop for Inner {
    /// Writes what is queued and waits for the writer thread.
    fn drop(&mut self) {
        let mut core = self.shared.lock_core();
        core.stop = true;
        self.shared.nudge(&mut core, true);
        if let Some(rows) = &mut core.rows {
            rows.poke();
        }
        drop(core);
        if let Some(writer) = lock(&self.writer).take()
            && writer.join().is_err()
        {
            tracing::error!(dir = %self.disk.path("").display(), "the journal's writer thread panicked");
        }
        primary::closed(&self.shared, &self.state);
    }
}
