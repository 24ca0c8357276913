//! The checkpoint: how far all chunks are done.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crossfade_crash::{self as crash, Point};
use crossfade_store::{Key, TableMap};
use tokio::time::Instant;

use super::{chunk::Copied, walk::Span};
use crate::{
    Direction, Reach,
    ledger::{Checkpoint, Ledger, LedgerResult},
};

/// What a kill may cost: chunks of so much time are copied again.
const SAVE_EVERY: Duration = Duration::from_millis(500);

/// Chunks under way, and the checkpoint behind them.
pub(super) struct Record {
    ledger: Arc<dyn Ledger>,
    direction: Direction,
    checkpoint: Checkpoint,
    /// From the first chunk that is not done.
    open: VecDeque<Open>,
    /// Index of the first of `open`.
    first: u64,
    saved: Instant,
    unsaved: bool,
}

struct Open {
    upto: Option<Key>,
    done: Option<Copied>,
}

impl Record {
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        direction: Direction,
        checkpoint: Checkpoint,
    ) -> Record {
        Record {
            ledger,
            direction,
            checkpoint,
            open: VecDeque::new(),
            first: 0,
            saved: Instant::now(),
            unsaved: false,
        }
    }

    /// Notes, durably, that everything up to `reached` may be written from now on.
    pub(super) async fn reserve(&mut self, reached: Reach, table: &TableMap) -> LedgerResult {
        self.checkpoint.reached = reached;
        self.unsaved = true;
        self.save(table).await?;
        crash::at(Point::ChunksReserved);
        Ok(())
    }

    /// A chunk begins. Chunks begin in the order of their indexes.
    pub(super) fn begin(&mut self, index: u64, span: &Span) {
        debug_assert_eq!(index, self.first + self.open.len() as u64);
        self.open.push_back(Open {
            upto: span.range.upto.clone(),
            done: None,
        });
    }

    /// A chunk ended; the checkpoint moves over it once all before it have ended well.
    pub(super) async fn end(
        &mut self,
        index: u64,
        copied: &Copied,
        table: &TableMap,
    ) -> LedgerResult {
        let at = usize::try_from(index - self.first).unwrap_or(usize::MAX);
        if let Some(open) = self.open.get_mut(at) {
            open.done = Some(copied.clone());
        }
        while let Some(done) = self.open.front().and_then(|open| open.done.clone()) {
            // The last chunk has no end: the table is done, or a refused row keeps it open.
            let Some(upto) = self
                .open
                .front()
                .and_then(|open| open.upto.clone())
                .filter(|_| done.stuck.is_none())
            else {
                break;
            };
            self.open.pop_front();
            self.first += 1;
            self.checkpoint.upto = Some(upto);
            self.checkpoint.rows_seen += done.seen;
            self.unsaved = true;
        }
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save(table).await
        } else {
            Ok(())
        }
    }

    /// Makes the checkpoint durable.
    pub(super) async fn save(&mut self, table: &TableMap) -> LedgerResult {
        if std::mem::take(&mut self.unsaved) {
            crash::at(Point::BeforeCheckpoint);
            self.ledger
                .save_checkpoint(table, self.direction, &self.checkpoint)
                .await?;
            crash::at(Point::Checkpointed);
            self.saved = Instant::now();
        }
        Ok(())
    }
}
