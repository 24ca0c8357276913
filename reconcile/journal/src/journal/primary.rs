//! The journal kept in the primary.

use std::{path::Path, sync::Arc, thread};

use crossfade_phase::Side;

use super::{AtomicUsize, Inner, Journal, Mutex, Options};
use crate::{
    Durable, Feed, IntentRow, JournalError, OpenError, State,
    codec::Keys,
    disk::Disk,
    lock::DirLock,
    primary::{Line, Touched, encode},
    replay::{replay, segment_numbers},
    segment::file_name,
    shared::{Mode, Shared},
};

impl Journal {
    /// Opens the journal of a folder whose intents and dirty keys are rows in the primary; phases and checkpoints stay in the folder. Blocks for as long as that
    /// takes; the stores are not contacted.
    ///
    /// `owner` is a number that no other process uses; `keeper` runs on a thread of its own and writes the rows, until [`Feed::is_stopping`]. Every toggle
    /// has to be told its home ([`Journal::live_in`]) before the keeper begins to read.
    ///
    /// # Errors
    /// As [`Journal::open`], and when the journal on the disk has dirty keys.
    pub fn open_in_primary(
        dir: impl AsRef<Path>,
        options: Options,
        owner: u64,
        keeper: impl FnOnce(Feed) + Send + 'static,
    ) -> Result<Journal, OpenError> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir).map_err(OpenError::io("create", dir))?;
        let dir_lock = DirLock::take(dir)?;
        let disk = Disk::new(dir);
        let state = leave_disk(dir, &disk, options)?;
        Journal::with_rows(options, owner, keeper, (state, disk, Some(dir_lock)))
    }

    /// As [`Journal::open_in_primary`], for a process that has no folder: phases and checkpoints are in memory, and whoever starts it tells them from a record elsewhere.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open_without_disk(
        options: Options,
        owner: u64,
        keeper: impl FnOnce(Feed) + Send + 'static,
    ) -> Result<Journal, OpenError> {
        let disk = Disk::new(Path::new(""));
        Journal::with_rows(options, owner, keeper, (State::in_memory(), disk, None))
    }

    fn with_rows(
        options: Options,
        owner: u64,
        keeper: impl FnOnce(Feed) + Send + 'static,
        (state, disk, dir_lock): (State, Disk, Option<DirLock>),
    ) -> Result<Journal, OpenError> {
        let shared = Arc::new(Shared::with_rows(options, owner));
        let feed = Feed::new(Arc::clone(&shared));
        let handle = thread::Builder::new()
            .name("journal".into())
            .spawn(move || keeper(feed))
            .map_err(OpenError::io("start the keeper thread of", disk.path("")))?;
        let inner = Inner {
            shared,
            state,
            disk,
            writer: Mutex::new(Some(handle)),
            turn: AtomicUsize::new(0),
            _lock: dir_lock,
        };
        Ok(Journal {
            inner: Arc::new(inner),
        })
    }

    /// Whether intents are rows of the primary's own transactions.
    #[must_use]
    pub fn is_in_primary(&self) -> bool {
        self.owner().is_some()
    }

    /// Whose rows in the primary are this process's; `None` where the journal is kept on the disk.
    #[must_use]
    pub fn owner(&self) -> Option<u64> {
        let core = self.inner.shared.lock_core();
        core.rows.as_ref().map(|rows| rows.owner)
    }

    /// Where the rows of a toggle are, as it was told last.
    #[must_use]
    pub fn home_of(&self, toggle: &str) -> Option<Side> {
        let shared = &self.inner.shared;
        let core = shared.lock_core();
        core.rows
            .as_ref()?
            .told_home(shared.registry.toggle_number(toggle)?)
    }

    /// Says in which store the rows of a toggle are: the primary of its phase. What is dirty is queued for it, and there when the future resolves. Does nothing
    /// where the journal is kept on the disk.
    ///
    /// A move of the primary calls it when nothing of the toggle is open, and before the phase is published.
    pub fn live_in(&self, toggle: &str, side: Side) -> Durable {
        let shared = &self.inner.shared;
        let mut core = shared.lock_core();
        let number = shared.registry.define_toggle(toggle);
        let Some(rows) = &mut core.rows else {
            return Durable::new(shared, core.outcome(Touched::default()));
        };
        let moves = rows.told_home(number).is_some_and(|home| home != side);
        rows.set_home(number, side);
        let mut touched = Touched::default();
        touched.add(side);
        if moves {
            for table in shared.registry.tables_of(toggle) {
                table.each(|key| {
                    let mut section = Vec::new();
                    crate::codec::put_varint(&mut section, table.number.into());
                    crate::codec::put_bytes(&mut section, key);
                    let key = Keys {
                        count: 1,
                        section: &section,
                    };
                    let _ = shared.log_marks(&mut core, key, None);
                });
            }
        }
        shared.nudge(&mut core, true);
        let outcome = core.outcome(touched);
        drop(core);
        Durable::new(shared, outcome)
    }

    /// Has the rows of a store read that is about to become a toggle's home. [`Journal::answers`] says when they are.
    pub fn need(&self, side: Side) {
        if let Some(rows) = &mut self.inner.shared.lock_core().rows {
            rows.need(side);
        }
    }

    /// Whether rows can be written in the store of `side`; always, where the journal is kept on the disk.
    ///
    /// # Errors
    /// Why not.
    pub fn answers(&self, side: Side) -> Result<(), JournalError> {
        let core = self.inner.shared.lock_core();
        let refusal = core.rows.as_ref().and_then(|rows| rows.refusal(side));
        refusal.map_or(Ok(()), Err)
    }

    /// Whether the rows in the store of `side` were tried, and cannot be written. Before the first attempt nobody knows.
    #[must_use]
    pub fn has_failed(&self, side: Side) -> bool {
        let core = self.inner.shared.lock_core();
        core.rows.as_ref().is_some_and(|rows| rows.has_failed(side))
    }

    /// Takes the rows of a toggle out of a store that is not its home any more. Lazily: read again, they would only cost a needless repair.
    pub fn leave(&self, toggle: &str, side: Side) {
        let shared = &self.inner.shared;
        let mut core = shared.lock_core();
        let number = shared.registry.toggle_number(toggle);
        let Some(rows) = &mut core.rows else { return };
        // Nothing is there either where nobody has looked after the rows of that store.
        if number.is_none_or(|number| rows.home(number) == side) || !rows.on(side).wanted {
            return;
        }
        let owner = rows.owner;
        for table in shared.registry.tables_of(toggle) {
            table.each(|key| {
                let line = Line::Clean {
                    owner,
                    table: Arc::clone(&table.name),
                    key: key.to_vec(),
                    generation: u64::MAX >> 1,
                };
                rows.push(side, line);
            });
        }
        rows.release(side);
    }

    /// The row of an intent that is about to be opened; its number comes with that.
    pub(super) fn row(&self, target: Side, count: u32, section: &[u8]) -> Option<IntentRow> {
        let owner = {
            let core = self.inner.shared.lock_core();
            core.rows.as_ref()?.owner
        };
        let keys = Keys { count, section };
        Some(IntentRow {
            owner,
            id: 0,
            body: encode(&self.inner.shared.registry, target, keys),
        })
    }
}

/// Nothing may be left on the disk that would be forgotten there.
fn leave_disk(dir: &Path, disk: &Disk, options: Options) -> Result<State, OpenError> {
    let before = Shared::new(options);
    let found = replay(dir, &before)?;
    let dirty = before.registry.dirty();
    if dirty > 0 {
        return Err(OpenError::KeptOnDisk {
            dir: dir.into(),
            dirty,
        });
    }
    let state = State::open(dir, found.any)?;
    state
        .set_in_primary(true)
        .map_err(|error| OpenError::io("write", &error.path)(error.source))?;
    for number in segment_numbers(dir)? {
        let name = file_name(number);
        disk.remove(&name)
            .map_err(OpenError::io("remove", disk.path(&name)))?;
    }
    Ok(state)
}

/// After the keeper has ended: nobody may wait any more, and a journal that left nothing in any store may be kept on the disk the next time.
pub(super) fn closed(shared: &Shared, state: &State) {
    let mut core = shared.lock_core();
    let open = core.open.keys();
    let Some(rows) = &mut core.rows else { return };
    let empty = rows.is_empty() && open == 0 && shared.registry.dirty() == 0;
    let woken = rows.waiters();
    core.mode = Mode::Closed;
    drop(core);
    woken.into_iter().for_each(std::task::Waker::wake);
    if empty && let Err(error) = state.set_in_primary(false) {
        tracing::warn!(%error, "that the journal has nothing in the primary any more could not be noted");
    }
}
