//! What sessions and the writer thread share: the queue of records, the open intents, the tables.
//!
//! Lock order: `core`, then the registry's names, then a table. Everything that changes what a record means takes `core`,
//! so that the order of records in the log is the order in which memory changed. Lookups of dirty keys take no `core`.

mod core;

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::SystemTime,
};

use crossfade_phase::Side;

pub(crate) use self::core::{Core, Mode, Sleep, Ticket};

use crate::{
    Health, JournalError, Options, Reason, Stale,
    codec::{Keys, Record},
    frame::FRAME_HEADER,
    key::{Keyed, put_key},
    open_set::{OpenSet, Verdict},
    primary::{Line, Rows, Touched},
    registry::{Registry, Toggles},
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
                rows: None,
            }),
            wake: Condvar::new(),
            recovered: Condvar::new(),
            durable: AtomicU64::new(0),
            registry: Registry::default(),
            options,
        }
    }

    /// As [`Shared::new`], with rows of this owner in the primary.
    pub(crate) fn with_rows(options: Options, owner: u64) -> Shared {
        let shared = Shared::new(options);
        {
            let mut core = lock(&shared.core);
            core.rows = Some(Rows::new(owner));
            core.mode = Mode::Healthy;
        }
        shared
    }

    /// Wakes the writer where it sleeps too deep for what was queued.
    pub(crate) fn nudge(&self, core: &mut Core, urgent: bool) {
        if let Some(rows) = &mut core.rows {
            if urgent {
                rows.urge();
            }
            return;
        }
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
    ) -> Result<(u64, Ticket), JournalError> {
        let toggles = self.registry.toggles_of(Keys {
            count,
            section: &section,
        });
        let mut core = lock(&self.core);
        let home = self.home_of(&core, &toggles)?;
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
        core.open.insert(id, target, home, count, section, toggles);
        core.wanted += 1;
        Ok((id, self.intent_ticket(&core)))
    }

    /// Where an intent over these toggles goes: they share one primary. An error where it cannot.
    fn home_of(&self, core: &Core, toggles: &Toggles) -> Result<Side, JournalError> {
        let Some(rows) = &core.rows else {
            return core.refusal().map_or(Ok(Side::Old), Err);
        };
        if core.mode == Mode::Closed {
            return Err(JournalError::Closed);
        }
        let home = toggles.iter().next().map(|toggle| rows.home(toggle));
        let home = home.unwrap_or(Side::Old);
        rows.refusal(home).map_or(Ok(home), Err)
    }

    /// A row is durable with the transaction that it is part of: nobody waits for it here.
    fn intent_ticket(&self, core: &Core) -> Ticket {
        match core.rows {
            Some(_) => Ticket::Rows([0, 0]),
            None => Ticket::Log(core.ticket),
        }
    }

    /// Has everything that is queued written now. Does nothing where it is already.
    pub(crate) fn urge(&self) {
        let mut core = lock(&self.core);
        // Of rows nothing is (`Core::log`): those that somebody waits for are written by themselves.
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
    pub(crate) fn settle(&self, id: u64, verdict: Verdict) -> Result<Ticket, JournalError> {
        let mut core = lock(&self.core);
        let touched = match verdict {
            Verdict::Committed => {
                core.open.commit(id);
                return Ok(self.intent_ticket(&core));
            }
            Verdict::Done => self.close(&mut core, id, None),
            Verdict::Dirty(reason) => self.close(&mut core, id, Some(reason)),
        };
        self.nudge(&mut core, matches!(verdict, Verdict::Dirty(_)));
        core.outcome(touched)
    }

    /// Closes an open intent, and marks its keys when there is a reason to.
    pub(crate) fn close(&self, core: &mut Core, id: u64, dirty: Option<Reason>) -> Touched {
        let mut touched = Touched::default();
        let Some(intent) = core.open.remove(id) else {
            return touched;
        };
        if let Some(reason) = dirty {
            let keys = Keys {
                count: intent.count,
                section: &intent.section,
            };
            let stale = Stale::only(intent.target);
            // Also where the intent is, should the toggle be on its way to another home: the two stores are written each by itself.
            touched = self.mark_since(core, stale, keys, reason, None, Some(intent.home));
        }
        core.log(&Record::Close { id });
        if let Some(rows) = &mut core.rows {
            // In the batch of the marks, where there are any: one transaction.
            let owner = rows.owner;
            rows.push(intent.home, Line::Closed { owner, id });
            touched.add(intent.home);
        }
        touched
    }

    /// Marks keys in memory and queues the record. Says for which stores, where rows are queued.
    pub(crate) fn mark_in(
        &self,
        core: &mut Core,
        stale: Stale,
        keys: Keys<'_>,
        reason: Reason,
    ) -> Touched {
        self.mark_since(core, stale, keys, reason, None, None)
    }

    /// As [`Shared::mark_in`]; they may be dirty for longer than from now on, and rows are queued for the store `also` as well.
    pub(crate) fn mark_since(
        &self,
        core: &mut Core,
        stale: Stale,
        keys: Keys<'_>,
        reason: Reason,
        since_s: Option<u32>,
        also: Option<Side>,
    ) -> Touched {
        let generation = core.next_generation;
        let since_s = since_s.unwrap_or_else(unix_now_s);
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
        self.log_marks(core, keys, also)
    }

    /// Marks keys for a caller who waits until that is durable.
    pub(crate) fn mark(
        &self,
        stale: Stale,
        count: u32,
        section: &[u8],
        reason: Reason,
    ) -> Result<Ticket, JournalError> {
        let mut core = lock(&self.core);
        self.admit(&core, count)?;
        let touched = self.mark_in(&mut core, stale, Keys { count, section }, reason);
        self.nudge(&mut core, true);
        core.outcome(touched)
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
            if let Some(rows) = &mut core.rows {
                let (owner, home) = (rows.owner, rows.home(self.registry.toggle_number_of(table)));
                let line = Line::Clean {
                    owner,
                    table: Arc::clone(&table.name),
                    key: key.to_vec(),
                    generation,
                };
                rows.push(home, line);
            }
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
