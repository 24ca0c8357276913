//! What sessions and the writer thread share: the queue of records, the open intents, the tables.
//!
//! Lock order: `core`, then the registry's names, then a table. Everything that changes what a record means takes `core`,
//! so that the order of records in the log is the order in which memory changed. Lookups of dirty keys take no `core`.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::SystemTime,
};

use crossfade_phase::Side;

use crate::{
    Health, JournalError, Options, Reason, Stale,
    codec::{Keys, Record},
    frame::FRAME_HEADER,
    key::{Keyed, put_key},
    open_set::{OpenSet, Verdict},
    registry::Registry,
    sync::lock,
    table::{Entry, Table},
};

/// Largest list of keys of one record, in bytes.
const RECORD_BYTES: usize = 256 << 20;

/// Shared by the journal, its intents and its writer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: Mutex<Core>,
    /// Wakes the writer.
    pub(crate) wake: Condvar,
    /// Tells a caller of `try_recover` that the attempt ended.
    pub(crate) recovered: Condvar,
    /// Every batch up to this ticket is on the disk.
    pub(crate) durable: AtomicU64,
    pub(crate) registry: Registry,
    pub(crate) options: Options,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct Core {
    /// Records for the next batch, behind room for the batch's header.
    pub(crate) pending: Vec<u8>,
    /// Ticket of the next batch.
    pub(crate) ticket: u64,
    /// Somebody waits for the next batch.
    pub(crate) urgent: bool,
    /// How many wait for the next batch.
    pub(crate) wanted: usize,
    /// Who waits for which ticket.
    pub(crate) waiters: Vec<(u64, Waker)>,
    pub(crate) open: OpenSet,
    pub(crate) next_generation: u64,
    pub(crate) mode: Mode,
    /// The last ticket that failed, and why.
    pub(crate) failed: Option<(u64, Arc<str>)>,
    pub(crate) sleep: Sleep,
    pub(crate) stop: bool,
    pub(crate) recover: bool,
    /// Ended attempts to recover.
    pub(crate) attempts: u64,
}

/// Whether the log takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It does.
    Healthy,
    /// A write failed. Memory goes on changing; a snapshot will hold it all.
    Poisoned,
    /// A snapshot is being written; records queue up for the segment after it.
    Recovering,
    /// The writer has gone.
    Closed,
}

/// What the writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Works, or was woken.
    Awake,
    /// Waits for a while, for lazy records.
    Light,
    /// Waits until it is woken.
    Deep,
}

impl Core {
    pub(crate) fn has_pending(&self) -> bool {
        self.pending.len() > FRAME_HEADER
    }

    /// Whether records are taken at all.
    fn logs(&self) -> bool {
        matches!(self.mode, Mode::Healthy | Mode::Recovering)
    }

    /// Notes that something was queued; says whether the writer sleeps too deep for it.
    #[must_use]
    fn must_wake(&mut self, urgent: bool) -> bool {
        self.urgent |= urgent;
        self.wanted += usize::from(urgent);
        let wakes = match self.sleep {
            Sleep::Awake => false,
            Sleep::Light => urgent,
            Sleep::Deep => true,
        };
        if wakes {
            self.sleep = Sleep::Awake;
        }
        wakes
    }

    /// Queues a record.
    pub(crate) fn log(&mut self, record: &Record<'_>) {
        if self.logs() {
            record.put(&mut self.pending);
        }
    }

    /// The ticket with which everything logged so far becomes durable.
    pub(crate) fn outcome(&self) -> Result<u64, JournalError> {
        let last = if self.has_pending() {
            self.ticket
        } else {
            self.ticket - 1
        };
        self.refusal().map_or(Ok(last), Err)
    }

    /// Why a durable write cannot be taken now.
    pub(crate) fn refusal(&self) -> Option<JournalError> {
        match self.mode {
            Mode::Healthy => None,
            Mode::Closed => Some(JournalError::Closed),
            Mode::Poisoned | Mode::Recovering => Some(self.unwritable()),
        }
    }

    pub(crate) fn unwritable(&self) -> JournalError {
        let reason = self.failed.as_ref().map(|(_, reason)| Arc::clone(reason));
        JournalError::Unwritable {
            reason: reason.unwrap_or_else(|| "it is being opened".into()),
        }
    }
}

impl Shared {
    pub(crate) fn new(options: Options) -> Shared {
        Shared {
            core: Mutex::new(Core {
                pending: vec![0; FRAME_HEADER],
                ticket: 1,
                urgent: false,
                wanted: 0,
                waiters: Vec::new(),
                open: OpenSet::default(),
                next_generation: 1,
                mode: Mode::Recovering,
                failed: None,
                sleep: Sleep::Awake,
                stop: false,
                recover: false,
                attempts: 0,
            }),
            wake: Condvar::new(),
            recovered: Condvar::new(),
            durable: AtomicU64::new(0),
            registry: Registry::default(),
            options,
        }
    }

    /// Wakes the writer where it sleeps too deep for what was queued.
    pub(crate) fn nudge(&self, core: &mut Core, urgent: bool) {
        if core.must_wake(urgent) {
            self.wake.notify_one();
        }
    }

    /// The table of a key, made known when it is new.
    pub(crate) fn table_for(&self, toggle: &str, table: &str) -> Arc<Table> {
        if let Some(known) = self.registry.known(toggle, table) {
            return known;
        }
        let mut core = lock(&self.core);
        let defined = self.registry.define(toggle, table);
        core.log(&Record::Table {
            number: defined.number,
            toggle,
            table,
        });
        self.nudge(&mut core, false);
        defined
    }

    /// Keys as a record holds them.
    pub(crate) fn encode<K: Keyed>(&self, keys: &[K]) -> Result<(u32, Vec<u8>), JournalError> {
        let mut section = Vec::with_capacity(keys.len().saturating_mul(24));
        for key in keys {
            let table = self.table_for(key.toggle(), key.table());
            crate::codec::put_varint(&mut section, table.number.into());
            put_key(&mut section, key);
        }
        match u32::try_from(keys.len()) {
            Ok(count) if section.len() <= RECORD_BYTES => Ok((count, section)),
            _too_many => Err(JournalError::TooLarge {
                bytes: section.len(),
            }),
        }
    }

    /// Whether `more` keys fit beside those that are dirty or open.
    fn admit(&self, core: &Core, more: u32) -> Result<(), JournalError> {
        let keys = self.registry.dirty() + core.open.keys();
        let limit = self.options.max_keys;
        if keys.saturating_add(more as usize) > limit {
            return Err(JournalError::Full { keys, limit });
        }
        Ok(())
    }

    /// Opens an intent; gives its identity and the ticket with which it becomes durable.
    pub(crate) fn open_intent(
        &self,
        target: Side,
        count: u32,
        section: Vec<u8>,
    ) -> Result<(u64, u64), JournalError> {
        let toggles = self.registry.toggles_of(Keys {
            count,
            section: &section,
        });
        let mut core = lock(&self.core);
        if let Some(refusal) = core.refusal() {
            return Err(refusal);
        }
        self.admit(&core, count)?;
        let id = core.open.next_id();
        core.log(&Record::Intent {
            id,
            target,
            keys: Keys {
                count,
                section: &section,
            },
        });
        core.open.insert(id, target, count, section, toggles);
        core.wanted += 1;
        Ok((id, core.ticket))
    }

    /// Has everything that is queued written now. Does nothing where it is already.
    pub(crate) fn urge(&self) {
        let mut core = lock(&self.core);
        if !core.has_pending() {
            return;
        }
        core.urgent = true;
        let wakes = core.sleep != Sleep::Awake;
        core.sleep = Sleep::Awake;
        // Without the lock: the writer takes it first thing.
        drop(core);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Settles an intent. Its keys become dirty when the verdict says so; the ticket tells when that is durable.
    pub(crate) fn settle(&self, id: u64, verdict: Verdict) -> Result<u64, JournalError> {
        let mut core = lock(&self.core);
        match verdict {
            Verdict::Committed => {
                core.open.commit(id);
                return Ok(core.ticket);
            }
            Verdict::Done => self.close(&mut core, id, None),
            Verdict::Dirty(reason) => self.close(&mut core, id, Some(reason)),
        }
        self.nudge(&mut core, matches!(verdict, Verdict::Dirty(_)));
        core.outcome()
    }

    /// Closes an open intent, and marks its keys when there is a reason to.
    pub(crate) fn close(&self, core: &mut Core, id: u64, dirty: Option<Reason>) {
        let Some(intent) = core.open.remove(id) else {
            return;
        };
        if let Some(reason) = dirty {
            let keys = Keys {
                count: intent.count,
                section: &intent.section,
            };
            self.mark_in(core, Stale::only(intent.target), keys, reason);
        }
        core.log(&Record::Close { id });
    }

    /// Marks keys in memory and queues the record.
    pub(crate) fn mark_in(&self, core: &mut Core, stale: Stale, keys: Keys<'_>, reason: Reason) {
        let generation = core.next_generation;
        let since_s = unix_now_s();
        core.next_generation += u64::from(keys.count);
        let first = Entry {
            generation,
            since_s,
            attempts: 0,
            reason,
            stale,
        };
        // The keys were encoded by this process or read back under a checksum and checked then.
        if self.registry.mark(keys, first).is_err() {
            tracing::error!(%reason, "keys that cannot be read were not marked dirty");
        }
        core.log(&Record::Mark {
            generation,
            reason,
            stale,
            since_s,
            keys,
        });
    }

    /// Marks keys for a caller who waits until that is durable.
    pub(crate) fn mark(
        &self,
        stale: Stale,
        count: u32,
        section: &[u8],
        reason: Reason,
    ) -> Result<u64, JournalError> {
        let mut core = lock(&self.core);
        self.admit(&core, count)?;
        self.mark_in(&mut core, stale, Keys { count, section }, reason);
        self.nudge(&mut core, true);
        core.outcome()
    }

    /// Removes a dirty key unless it was marked later.
    pub(crate) fn clean(&self, table: &Table, key: &[u8], generation: u64) -> bool {
        let mut core = lock(&self.core);
        let cleaned = self.registry.clean(table, key, generation);
        if cleaned {
            core.log(&Record::Clean {
                generation,
                table: table.number,
                key,
            });
            self.nudge(&mut core, false);
        }
        cleaned
    }

    /// Marks all batches up to `ticket` durable and says whom to wake.
    pub(crate) fn complete(&self, core: &mut Core, ticket: u64, woken: &mut Vec<Waker>) {
        self.durable.fetch_max(ticket, Ordering::Release);
        take_waiters(core, ticket, woken);
    }

    /// Makes the log refuse everything: nothing queued or in flight counts as durable.
    pub(crate) fn poison(&self, reason: &str, mode: Mode) {
        let mut woken = Vec::new();
        let mut core = lock(&self.core);
        let ticket = core.ticket;
        core.mode = mode;
        core.failed = Some((ticket, reason.into()));
        core.ticket += 1;
        core.urgent = false;
        core.wanted = 0;
        core.pending.truncate(FRAME_HEADER);
        take_waiters(&mut core, ticket, &mut woken);
        drop(core);
        woken.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn health(&self) -> Health {
        let core = lock(&self.core);
        match core.refusal() {
            None => Health::Writable,
            Some(error) => Health::Unwritable(error),
        }
    }

    pub(crate) fn lock_core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }
}

fn take_waiters(core: &mut Core, ticket: u64, woken: &mut Vec<Waker>) {
    woken.extend(
        core.waiters
            .extract_if(.., |(waits_for, _)| *waits_for <= ticket)
            .map(|(_, w)| w),
    );
}

/// Unix time in seconds, for display.
pub(crate) fn unix_now_s() -> u32 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
