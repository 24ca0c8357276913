//! The keeper's side: what to write, and what was found.

use std::{collections::HashMap, future::poll_fn, sync::Arc, task::Poll};

use crossfade_phase::Side;

use super::{
    DirtyLine, IntentRow, Line, Rows, Touched,
    body::{NamedKey, decode},
};
use crate::{
    Reason, Stale,
    codec::{Keys, put_bytes, put_varint},
    shared::{Core, Shared},
};

/// Lines to be written in one transaction.
#[derive(Debug)]
pub struct Batch {
    ticket: u64,
    lines: Vec<Line>,
}

impl Batch {
    /// The lines, of each key the last one only.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// What a keeper of a journal's rows works with. One keeper a store.
#[derive(Debug, Clone)]
pub struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    pub(crate) fn new(shared: Arc<Shared>) -> Feed {
        Feed { shared }
    }

    fn rows<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> Option<T> {
        self.shared.lock_core().rows.as_mut().map(look)
    }

    /// Whose rows are ours.
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.rows(|rows| rows.owner).unwrap_or_default()
    }

    /// Whether the journal is being closed: what is queued is written, and the keeper ends.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.lock_core().stop
    }

    /// Whether rows of the store are to be kept: it is a toggle's home, or about to become it.
    #[must_use]
    pub fn is_wanted(&self, side: Side) -> bool {
        self.rows(|rows| rows.on(side).wanted).unwrap_or(false)
    }

    /// Whether the store is a toggle's home.
    #[must_use]
    pub fn is_home(&self, side: Side) -> bool {
        self.rows(|rows| rows.is_home(side)).unwrap_or(false)
    }

    /// Waits until somebody waits for a line of this store, the store begins or ceases to be wanted, or the journal is closed. Cancel-safe.
    pub async fn work(&self, side: Side) {
        poll_fn(|cx| {
            let mut core = self.shared.lock_core();
            let stop = core.stop;
            let Some(rows) = &mut core.rows else {
                return Poll::Ready(());
            };
            if stop || rows.on(side).poll(cx.waker()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// What is queued for a store. It has to be [`Feed::written`] or [`Feed::put_back`].
    #[must_use]
    pub fn take(&self, side: Side) -> Option<Batch> {
        let (ticket, lines) = self.rows(|rows| rows.on(side).take()).flatten()?;
        Some(Batch {
            ticket,
            lines: folded(lines),
        })
    }

    /// The batch is durable in the store.
    pub fn written(&self, side: Side, batch: Batch) {
        let woken = self.rows(|rows| rows.on(side).written(batch.ticket));
        woken.into_iter().flatten().for_each(|waker| waker.wake());
    }

    /// The batch may not be in the store: it comes again.
    pub fn put_back(&self, side: Side, batch: Batch) {
        let _ = self.rows(|rows| rows.on(side).put_back(batch.lines));
    }

    /// The store's rows cannot be written: whoever waits is told, and intents are refused until [`Feed::opened`].
    pub fn failing(&self, side: Side, reason: &str) {
        let woken = self.rows(|rows| rows.on(side).fail(reason));
        woken.into_iter().flatten().for_each(|waker| waker.wake());
    }

    /// What others left there was taken over, and rows can be written.
    pub fn opened(&self, side: Side) {
        let woken = self.rows(|rows| {
            rows.on(side).recover();
            rows.on(side).all_waiters()
        });
        woken.into_iter().flatten().for_each(|waker| waker.wake());
    }

    /// The store is no toggle's home any more and does not answer: what was queued for it means nothing now.
    pub fn discard(&self, side: Side) {
        let _ = self.rows(|rows| rows.on(side).discard());
    }

    /// Whether a process that is gone may have transactions there that are not over, and whose intents nobody sees yet.
    pub fn unsettled(&self, side: Side, unsettled: bool) {
        let _ = self.rows(|rows| rows.on(side).unsettled = unsettled);
    }

    /// Takes over intents of processes that are gone: their keys are dirty. Says how many keys.
    pub fn adopt_intents(&self, side: Side, found: &[IntentRow]) -> usize {
        let mut adopted = 0;
        for row in found {
            match decode(&row.body) {
                Ok((target, keys)) => adopted += self.adopt_intent(side, row, target, &keys),
                Err(error) => {
                    tracing::error!(owner = row.owner, id = row.id, %error, "an intent in the {side} store cannot be read; verify the toggles' tables");
                }
            }
            let (owner, id) = (row.owner, row.id);
            let _ = self.rows(|rows| rows.push(side, Line::Closed { owner, id }));
        }
        adopted
    }

    fn adopt_intent(
        &self,
        side: Side,
        row: &IntentRow,
        target: Side,
        keys: &[NamedKey<'_>],
    ) -> usize {
        let mut core = self.shared.lock_core();
        // Settled since it was read.
        let ours = core
            .rows
            .as_ref()
            .is_some_and(|rows| rows.owner == row.owner);
        if ours && core.open.contains(row.id) {
            return 0;
        }
        let mut section = Vec::new();
        let mut count = 0;
        for named in keys {
            let number = self.table(named.toggle, named.table);
            put_varint(&mut section, number.into());
            put_bytes(&mut section, named.key);
            count += 1;
        }
        let keys = Keys {
            count,
            section: &section,
        };
        let (stale, reason) = (Stale::only(target), Reason::ProxyStopped);
        let _ = self
            .shared
            .mark_since(&mut core, stale, keys, reason, None, Some(side));
        keys.count as usize
    }

    /// Takes over dirty keys of processes that are gone.
    pub fn adopt_dirty(&self, side: Side, found: &[DirtyLine]) {
        for line in found {
            let mut core = self.shared.lock_core();
            let known = Reason::from_byte(line.reason).zip(Stale::from_byte(line.stale));
            let number = self.table(&line.toggle, &line.table);
            if let Some((reason, stale)) = known {
                let mut section = Vec::new();
                put_varint(&mut section, number.into());
                put_bytes(&mut section, &line.key);
                let key = Keys {
                    count: 1,
                    section: &section,
                };
                let since_s = Some(line.since_s);
                let also = Some(side);
                let _ = self
                    .shared
                    .mark_since(&mut core, stale, key, reason, since_s, also);
            }
            if let Some(rows) = &mut core.rows {
                rows.push(
                    side,
                    Line::Clean {
                        owner: line.owner,
                        table: Arc::clone(&line.table),
                        key: line.key.clone(),
                        generation: line.generation,
                    },
                );
            }
        }
    }

    /// The number of a table. What is found is dirty wherever it is found: this process may not know yet that a toggle has moved, or that it has not, and a row that
    /// a move has left behind costs a needless repair.
    fn table(&self, toggle: &str, table: &str) -> u32 {
        let registry = &self.shared.registry;
        let known = registry.table(table);
        known
            .unwrap_or_else(|| registry.define(toggle, table))
            .number
    }

    /// Intents of our own that the store still has and memory does not: rows of transactions whose outcome nobody knew, and that were committed after their keys
    /// had been given up.
    #[must_use]
    pub fn forgotten(&self, ids: &[u64]) -> Vec<u64> {
        let core = self.shared.lock_core();
        ids.iter()
            .copied()
            .filter(|id| !core.open.contains(*id))
            .collect()
    }
}

/// Of several lines of one key the last counts: a later mark has a later generation.
fn folded(lines: Vec<Line>) -> Vec<Line> {
    let mut places: HashMap<(u64, Arc<str>, Vec<u8>), usize> = HashMap::new();
    let mut kept: Vec<Line> = Vec::with_capacity(lines.len());
    for line in lines {
        let name = match &line {
            Line::Dirty(dirty) => (dirty.owner, Arc::clone(&dirty.table), dirty.key.clone()),
            Line::Clean {
                owner, table, key, ..
            } => (*owner, Arc::clone(table), key.clone()),
            Line::Closed { .. } => {
                kept.push(line);
                continue;
            }
        };
        match places.get(&name) {
            Some(&at) => kept[at] = later(&kept[at], line),
            None => {
                places.insert(name, kept.len());
                kept.push(line);
            }
        }
    }
    kept
}

fn later(known: &Line, line: Line) -> Line {
    match (known, &line) {
        // It names a mark that was cleaned later, or marked again.
        (Line::Dirty(dirty), Line::Clean { generation, .. }) if dirty.generation > *generation => {
            known.clone()
        }
        (
            Line::Clean {
                generation: known_generation,
                ..
            },
            Line::Clean { generation, .. },
        ) if known_generation > generation => known.clone(),
        _ => line,
    }
}

impl Shared {
    /// Queues a line for each of these keys, which are marked in memory, in their home and in the store `also`.
    pub(crate) fn log_marks(&self, core: &mut Core, keys: Keys<'_>, also: Option<Side>) -> Touched {
        let mut touched = Touched::default();
        let Some(rows) = &mut core.rows else {
            return touched;
        };
        // Keys that cannot be read were not marked.
        let _ = keys.each(|number, key| {
            let Some(table) = self.registry.by_number(number) else {
                return;
            };
            let Some(entry) = table.get(key) else { return };
            let side = rows.home(self.registry.toggle_number_of(&table));
            touched.add(side);
            let line = DirtyLine {
                owner: rows.owner,
                toggle: self.registry.toggle_of(&table),
                table: Arc::clone(&table.name),
                key: key.to_vec(),
                generation: entry.generation,
                reason: entry.reason.byte(),
                stale: entry.stale.0,
                since_s: entry.since_s,
            };
            if let Some(also) = also.filter(|also| *also != side) {
                touched.add(also);
                rows.push(also, Line::Dirty(line.clone()));
            }
            rows.push(side, Line::Dirty(line));
        });
        touched
    }
}
