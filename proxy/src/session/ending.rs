//! Where transactions end: COMMIT by Execute, and Sync.

use bytes::Bytes;
use crossfade_crash::{self as crash, Point};
use crossfade_phase::Side;

use super::{
    End,
    backend::{Execute, Expect},
    commit::{self, Outcome},
    extended::shown,
    managed::Managed,
    transaction::{Effect, Transaction},
};
use crate::{
    errors::ClientError,
    route::Plan,
    wire::{backend::Status, frontend},
};

impl Managed {
    /// COMMIT by Execute: the images are all there before the sandwich begins.
    pub(super) async fn execute_commit(
        &mut self,
        side: Side,
        name: &Bytes,
        plan: &Plan,
    ) -> Result<(), End> {
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(());
        }
        let prepared = match self.prepare_commit(side).await {
            Ok(prepared) => prepared,
            Err(error) => return self.abort_block(side, &error).await,
        };
        self.begin_commit(side)?;
        self.push_intent(side, prepared.as_ref()).await?;
        let backend = self.backend(side)?;
        frontend::execute(&mut backend.out, name, 0);
        backend.expect.push_back(Expect::Execute(Execute {
            effect: plan.effect.clone(),
            ..shown()
        }));
        // Nearly always there: it saves a trip.
        let settled = if self.client.take_sync() {
            self.push_sync(side)?;
            self.commit_under_way().await;
            self.settle(side).await
        } else {
            self.settle_batch(side).await
        };
        self.conclude(side, prepared, settled).await
    }

    /// From here on an error of the server is one of the commit. Whatever was before it has been answered: another block may have failed in the same batch.
    pub(super) fn begin_commit(&mut self, side: Side) -> Result<(), End> {
        self.failed = false;
        self.backend(side)?.batch_failed = false;
        Ok(())
    }

    /// Where the journal is kept in the primary: the rows of its intents go into the transaction, in the trip of the commit that follows.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn push_intent(
        &mut self,
        side: Side,
        prepared: Option<&commit::Prepared>,
    ) -> Result<(), End> {
        let Some(prepared) = prepared else {
            return Ok(());
        };
        let mut intents = prepared.intents_sql().peekable();
        if intents.peek().is_none() {
            return Ok(());
        }
        // Of a block that has ended since in this batch it says nothing any more, and a Sync would commit what came behind that one.
        if self.transaction.in_block && self.backend(side)?.status == Status::Failed {
            // It may have gone back to a savepoint since. Within a block a Sync commits nothing.
            let backend = self.backend(side)?;
            frontend::sync(&mut backend.out);
            backend.expect.push_back(Expect::Sync { show: false });
            self.settle(side).await?;
            if self.backend(side)?.status == Status::Failed {
                // Its COMMIT will roll it back, and has to be answered so.
                return Ok(());
            }
        }
        for sql in intents {
            let intent = Execute {
                intent: true,
                ..Execute::default()
            };
            self.backend(side)?
                .push_own(b"crossfade_intent", &sql, intent);
        }
        Ok(())
    }

    /// Ends the sandwich once the primary has answered, or has not.
    pub(super) async fn conclude(
        &mut self,
        side: Side,
        prepared: Option<commit::Prepared>,
        settled: Result<(), End>,
    ) -> Result<(), End> {
        let undone = self.failed
            || self
                .backends
                .get_mut(side)
                .is_some_and(|backend| backend.batch_failed);
        let outcome = match &settled {
            // The end of a connection says nothing of the commit before it: that may have been answered in the same breath, or never (trap 43).
            Ok(()) if self.fatal_shown => Outcome::Unknown,
            Ok(()) if undone => Outcome::RolledBack,
            Ok(()) => Outcome::Committed,
            Err(_) => Outcome::Unknown,
        };
        let Some(prepared) = prepared else {
            return settled;
        };
        // The intent is durable, so the promise holds from here on; the session's pin is held until the secondary has committed
        // (docs/decision/14).
        crash::at_if(Point::PrimaryCommitted, || outcome == Outcome::Committed);
        prepared.conclude(outcome, &mut self.endings);
        crash::at_if(Point::BeforeAnswer, || outcome == Outcome::Committed);
        settled
    }

    /// The commit is refused: the block is rolled back and the client gets the error in its place.
    pub(super) async fn abort_block(&mut self, side: Side, error: &ClientError) -> Result<(), End> {
        self.note_refusal(error);
        let rollback = Execute {
            effect: Some(Effect::Rollback { chain: false }),
            ..Execute::default()
        };
        self.backend(side)?
            .push_own(b"crossfade_rollback", "ROLLBACK", rollback);
        // A warning about a missing block is no business of the client's.
        self.quiet = true;
        let settled = self.settle_batch(side).await;
        self.quiet = false;
        settled?;
        self.transaction = Transaction::default();
        if !std::mem::take(&mut self.told) {
            self.client.error(error);
        }
        let backend = self.backend(side)?;
        (backend.batch_failed, backend.skipping) = (true, true);
        Ok(())
    }

    /// Refuses a procedure or code block that may end the implicit transaction which it is part of: what mapped tables have got there would be committed without the
    /// other store. Within a block the server itself refuses such an end.
    pub(super) async fn ends_unseen(&mut self, side: Side) -> Result<bool, End> {
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(true);
        }
        let refused = self.is_pending();
        if refused {
            let error = ClientError::new("0A000", "crossfade refused a procedure or code block that may commit what came before it in one implicit transaction")
                .detail("mapped tables have been written there")
                .hint("send it behind a Sync or as a message of its own, or use BEGIN and COMMIT");
            self.refuse(&error)?;
        }
        Ok(refused)
    }

    /// Whether an implicit transaction has written mapped tables, as far as answers have come.
    fn is_pending(&self) -> bool {
        !self.transaction.in_block && !self.transaction.is_empty()
    }

    /// Whether a Query would end an implicit transaction that has written mapped tables. A batch that has failed may not have heard of its end yet.
    pub(super) async fn ends_pending(&mut self) -> Result<bool, End> {
        if self.is_pending() {
            self.settle_batch(self.active).await?;
        }
        Ok(self.is_pending())
    }

    /// Sync: ends the batch, and commits what it did outside of a block.
    pub(super) async fn sync(&mut self) -> Result<(), End> {
        if self.copying.is_some() {
            // Ignored by a server in copy-in mode.
            return Ok(());
        }
        let side = self.active;
        // Within a block a Sync commits nothing; only where BEGIN or COMMIT are still under way is that not known yet.
        let in_block = self.transaction.in_block && !self.effect_pending(side);
        if !in_block && self.captures_pending(side) {
            self.settle_or_copy(side).await?;
            if self.copying == Some(side) {
                // Of a COPY whose data is still to come: the client sends another Sync behind it.
                return Ok(());
            }
            if !self.transaction.in_block && !self.transaction.is_empty() && !self.skips() {
                return self.sync_commit(side).await;
            }
        }
        self.push_sync(side)
    }

    /// Whether a statement that begins or ends a block has not been answered yet.
    fn effect_pending(&mut self, side: Side) -> bool {
        self.backends.get_mut(side).is_some_and(|backend| {
            backend.expect.iter().any(|expect| match expect {
                Expect::Execute(execute) => execute.effect.is_some(),
                Expect::Query { .. } => true,
                _ => false,
            })
        })
    }

    /// Whether an implicit transaction has, or may yet come to have, images.
    pub(super) fn captures_pending(&mut self, side: Side) -> bool {
        let owed = self.backends.get_mut(side).is_some_and(|backend| {
            backend.expect.iter().any(
                |expect| matches!(expect, Expect::Execute(execute) if execute.capture.is_some()),
            )
        });
        owed || !self.transaction.is_empty() || !self.upserts.is_empty()
    }

    pub(super) fn push_sync(&mut self, side: Side) -> Result<(), End> {
        if self.names_moved && (!self.transaction.in_block || self.effect_pending(side)) {
            // What has changed them may yet be rolled back with all that this ends.
            self.path = None;
        }
        let backend = self.backend(side)?;
        frontend::sync(&mut backend.out);
        backend.batch = false;
        // What comes after it is not skipped any more, though the answer to it may be under way (trap 14).
        backend.skipping = false;
        backend.expect.push_back(Expect::Sync { show: true });
        self.active = self.home;
        self.batch_wrote = false;
        self.refused = false;
        self.prepared.batch += 1;
        Ok(())
    }

    /// The sandwich around the Sync that commits an implicit transaction.
    pub(super) async fn sync_commit(&mut self, side: Side) -> Result<(), End> {
        match self.prepare_commit(side).await {
            Ok(prepared) => {
                self.begin_commit(side)?;
                self.push_intent(side, prepared.as_ref()).await?;
                self.push_sync(side)?;
                self.commit_under_way().await;
                let settled = self.settle(side).await;
                self.conclude(side, prepared, settled).await
            }
            Err(error) => {
                self.abort_block(side, &error).await?;
                self.push_sync(side)
            }
        }
    }
}
