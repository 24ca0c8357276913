//! What a transaction sends ahead of its commit once its images have grown past `max_transaction_bytes`, or are very many: to the secondary the rows, uncommitted,
//! and to the journal the intents of their keys.
//!
//! ```text
//! primary     INSERT …                                        COMMIT
//! journal     ── intent ─ intent ─ intent ──────────── intent ──┐
//! secondary   ──── rows ──── rows ──── rows ── the rest, locks ─┴─ COMMIT
//! ```
//!
//! The last two columns are the commit sandwich. Until then nobody was promised anything: whatever happens, the secondary rolls back and the intents are taken
//! back. Dies the process, the intents become dirty keys on the next start, which costs needless repairs.
//!
//! Deletes stay in the session until the commit: they hold a lock on a key that need not have a row ([`Secondary::stage`](crossfade_store::Secondary::stage)),
//! and others would wait for it as long as the transaction takes.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crossfade_crash::{self as crash, Point};
use crossfade_journal::{Intent, JournalError, Reason};
use crossfade_phase::Side;
use crossfade_store::{Change, Key, Mapping, TableId, WriteOrder};

use super::{
    commit::{Rest, declare, may_stage, reason_of},
    managed::Managed,
    transaction::{Portion, size},
};
use crate::{
    errors::ClientError,
    secondary::{Ahead, Staged},
    shared::Shared,
};

/// Bytes of images that go at once, from the second time on: some thousand ordinary rows, which a healthy store takes in a fraction of `secondary_timeout`.
pub(super) const PORTION_BYTES: usize = 2 << 20;

/// Changes that go at once. So many are more than a store should have to take within `secondary_timeout` when they all come with the commit, however small
/// they are.
pub(super) const AHEAD_ROWS: usize = crate::secondary::PORTION_ROWS;

/// A transaction that has sent something ahead. Dropped, the primary has not committed it.
pub(crate) struct Early {
    shared: Arc<Shared>,
    mapping: Arc<Mapping>,
    secondary: Side,
    order: Arc<WriteOrder>,
    intents: Vec<Intent>,
    tables: BTreeSet<TableId>,
    /// The secondary's part, or why it has none any more: then only keys are kept.
    sent: Result<Ahead, Reason>,
}

impl fmt::Debug for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Early")
            .field("intents", &self.intents.len())
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl Early {
    /// Opens the secondary's transaction. Where that fails, only keys are kept.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        worker: usize,
        mapping: &Arc<Mapping>,
        order: Arc<WriteOrder>,
        secondary: Side,
    ) -> Early {
        let within = shared.config.load().writes.secondary_timeout;
        let pool = shared.secondaries.on(secondary);
        let sent = if may_stage(shared, secondary) {
            pool.begin_ahead(worker, mapping, order.clone(), within)
                .await
                .map_err(|error| reason_of(None, 0, &error))
        } else {
            Err(Reason::BreakerOpen)
        };
        Early {
            shared: shared.clone(),
            mapping: mapping.clone(),
            secondary,
            order,
            intents: Vec::new(),
            tables: BTreeSet::new(),
            sent,
        }
    }

    /// The tables of what has gone.
    pub(super) fn tables(&self) -> impl Iterator<Item = TableId> + '_ {
        self.tables.iter().copied()
    }

    /// Whether images are still wanted.
    pub(super) fn takes_images(&self) -> bool {
        self.sent.is_ok()
    }

    /// Takes back what the secondary has, and goes on with keys only.
    pub(super) fn give_up(&mut self) {
        if self.sent.is_ok() {
            self.sent = Err(Reason::NotWritten);
        }
    }

    /// Sends a portion. A secondary that does not take it costs the images, no more.
    ///
    /// # Errors
    /// What the client is told when the journal cannot take the keys: then the primary must not commit.
    pub(super) async fn send(&mut self, portion: Portion) -> Result<(), ClientError> {
        let Portion { mut rows, keys } = portion;
        if !keys.is_empty() {
            // The secondary would lack what was done to them.
            self.give_up();
        }
        // What parents have is there before their children, within a portion as in a batch.
        self.order.sort(&self.mapping, &mut rows);
        for keys in keys.chunks(PORTION_BYTES / 64) {
            self.declare(keys).await?;
        }
        while !rows.is_empty() {
            let later = rows.split_off(piece(&rows));
            let keys: Vec<(TableId, Key)> = rows
                .iter()
                .filter_map(|(table, change)| Some((*table, self.key_of(*table, change)?)))
                .collect();
            self.declare(&keys).await?;
            crash::at(Point::PortionDeclared);
            if let Ok(ahead) = &mut self.sent
                && let Err(error) = ahead.put(&rows).await
            {
                let table = self.mapping.tables[keys[0].0.0].old.name.to_string();
                self.sent = Err(reason_of(Some(&table), rows.len(), &error));
            }
            rows = later;
        }
        Ok(())
    }

    fn key_of(&self, table: TableId, change: &Change) -> Option<Key> {
        match change {
            Change::Upsert(row) => self.mapping.tables[table.0].key_of(row),
            Change::Delete(key) => Some(key.clone()),
        }
    }

    /// An intent over these keys; over none where there are none: it would stand for nothing, and belong to no store's journal.
    async fn declare(&mut self, keys: &[(TableId, Key)]) -> Result<(), ClientError> {
        if keys.is_empty() {
            return Ok(());
        }
        let intent = declare(&self.shared, &self.mapping, self.secondary, keys);
        self.intents
            .push(intent.await.map_err(|error| too_much(&error))?);
        self.tables.extend(keys.iter().map(|(table, _)| *table));
        Ok(())
    }

    /// The first two steps of the sandwich, for what is left.
    ///
    /// # Errors
    /// As [`Early::send`].
    pub(super) async fn finish(
        &mut self,
        rest: Rest,
    ) -> Result<Result<Staged, Reason>, ClientError> {
        self.declare(&rest.keys).await?;
        let rows = rest.batch.len();
        Ok(
            match std::mem::replace(&mut self.sent, Err(Reason::NotWritten)) {
                Ok(ahead) if rest.whole => ahead
                    .stage(rest.batch)
                    .await
                    .map_err(|error| reason_of(None, rows, &error)),
                Ok(_) => Err(Reason::NotWritten),
                Err(reason) => Err(reason),
            },
        )
    }

    /// Hands the intents, durable each, and their tables over to the sandwich.
    pub(super) fn into_intents(mut self) -> (Vec<Intent>, BTreeSet<TableId>) {
        (
            std::mem::take(&mut self.intents),
            std::mem::take(&mut self.tables),
        )
    }
}

impl Drop for Early {
    /// COMMIT was never sent, so the primary has rolled back or is about to.
    fn drop(&mut self) {
        let keeps = self.shared.secondaries.on(self.secondary).takes_back() == Some(false);
        for intent in self.intents.drain(..) {
            if keeps {
                // Durable already: nobody has to wait for the mark.
                drop(intent.dirty(Reason::NotTakenBack));
            } else {
                intent.done();
            }
        }
    }
}

/// How many of the rows go at once.
fn piece(rows: &[(TableId, Change)]) -> usize {
    let mut bytes = 0;
    let fits = |(_, change): &&(TableId, Change)| {
        let fits = bytes < PORTION_BYTES;
        bytes += size(change);
        fits
    };
    rows.iter().take_while(fits).count()
}

fn too_much(error: &JournalError) -> ClientError {
    match error {
        JournalError::Full { .. } | JournalError::TooLarge { .. } => ClientError::new(
            "54000",
            format!("the transaction was refused because crossfade's journal cannot name all its rows: {error}"),
        )
        .hint("make it several smaller ones, or run it in a phase that writes one store (use-old, new-only)"),
        JournalError::Unwritable { .. } | JournalError::Closed => super::commit::journal_failed(error),
    }
}

impl Managed {
    /// Sends ahead what the present transaction holds, which is more than it may. Nothing is read from the primary meanwhile.
    pub(super) async fn send_ahead(&mut self, side: Side) {
        let Some(secondary) = self
            .secondary_of(side)
            .filter(|_| !self.shared.same_database)
        else {
            self.transaction.keep_keys();
            return;
        };
        let mut early = match self.transaction.take_early() {
            Some(early) => early,
            None => {
                let order = self.router.order(secondary);
                let (shared, mapping) = (&self.shared, &self.mapping);
                Box::new(Early::begin(shared, self.worker, mapping, order, secondary).await)
            }
        };
        let most = self.shared.config.load().writes.max_transaction_bytes;
        let portion = self.transaction.take_portion(early.takes_images(), most);
        match early.send(portion).await {
            Ok(()) => self.transaction.set_early(early),
            Err(error) => self.transaction.refuse(error),
        }
    }
}
