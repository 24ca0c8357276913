//! Cuts the table into chunks.

use std::collections::VecDeque;

use crossfade_store::{Key, KeyRange};

use super::{Run, record::Record};
use crate::{Error, Reach, error::During as _, ledger::Checkpoint};

/// Chunks whose ends are noted in one durable write.
const RESERVE: usize = 8;

/// A chunk to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Its keys.
    pub(super) range: KeyRange,
    /// Whether a run that was killed may have been at it: what it wrote has to be looked up in the source (trap 8).
    pub(super) suspect: bool,
}

/// The chunks of a table, in key order.
pub(super) struct Walk {
    after: Option<Key>,
    /// The end of what an earlier run had reached. Keys are never compared here, as only a store knows their order: the suspect zone is
    /// walked to its end, then the rest.
    suspect: Reach,
    cut: VecDeque<Span>,
    ended: bool,
}

impl Walk {
    pub(super) fn new(checkpoint: &Checkpoint) -> Walk {
        Walk {
            after: checkpoint.upto.clone(),
            suspect: checkpoint.reached.clone(),
            cut: VecDeque::new(),
            ended: false,
        }
    }

    /// The next chunk. Its end is durably noted as reached.
    pub(super) async fn next(
        &mut self,
        run: &Run,
        record: &mut Record,
    ) -> Result<Option<Span>, Error> {
        if self.cut.is_empty() && !self.ended {
            self.cut_some(run).await?;
            let suspect = self.cut.iter().all(|span| span.suspect);
            let reached = match self.cut.back().and_then(|span| span.range.upto.clone()) {
                Some(key) => Reach::Upto(key),
                None => Reach::End,
            };
            // Inside the suspect zone its end stays noted: the whole zone is in doubt until the checkpoint has passed it.
            if !suspect {
                record.reserve(reached, run.map()).await?;
            }
        }
        Ok(self.cut.pop_front())
    }

    async fn cut_some(&mut self, run: &Run) -> Result<(), Error> {
        while self.cut.len() < RESERVE && !self.ended {
            let (suspect, end) = match &self.suspect {
                Reach::Nowhere => (false, None),
                Reach::Upto(key) => (true, Some(key.clone())),
                Reach::End => (true, None),
            };
            let rest = KeyRange {
                after: self.after.clone(),
                upto: end,
            };
            let rows = run.engine.settings.chunk_rows.max(1);
            let cut = run
                .source()
                .nth_key(run.map(), &rest, rows)
                .await
                .during("looking for the next chunk", run.map())?;
            let upto = match cut {
                Some(key) => Some(key),
                None => {
                    // The last chunk of the zone, or of the table.
                    self.ended = rest.upto.is_none();
                    self.suspect = Reach::Nowhere;
                    rest.upto.clone()
                }
            };
            self.cut.push_back(Span {
                range: KeyRange {
                    after: self.after.clone(),
                    upto: upto.clone(),
                },
                suspect,
            });
            self.after = upto.or(self.after.take());
            if suspect && matches!(self.suspect, Reach::Nowhere) {
                // The reservation that follows covers chunks of one kind.
                return Ok(());
            }
        }
        Ok(())
    }
}
