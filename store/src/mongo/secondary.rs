//! The secondary's part of transactions.
//!
//! On a replica set a batch is a transaction with majority write concern. MongoDB makes nobody wait for a document that another transaction has
//! written: it ends the later one with a WriteConflict, which is tried again until the caller's time is up.
//!
//! A server on its own has no transactions. There the batch is written when it is staged, while the primary holds its row locks, so that
//! both stores order every key alike; should the primary then roll back, the journal has the keys repaired.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::BoxFuture;
use mongodb::ClientSession;

use super::{
    MongoStore,
    attended::Attended,
    conn::{Deployment, WriteError},
    document::Shape,
    write::Commands,
};
use crate::{Change, Mapping, Secondary, StoreError, StoreResult, TableId};

/// What the connection is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Rows of a transaction are here, others are to come.
    Ahead,
    Staged,
    /// A call was dropped half way, or failed in a way that leaves its outcome open.
    Lost,
}

/// See the module.
pub(super) struct MongoSecondary {
    store: MongoStore,
    deployment: Deployment,
    session: Option<Attended>,
    shapes: BTreeMap<TableId, Shape>,
    /// Tables whose collections are there.
    there: BTreeSet<TableId>,
    state: State,
}

impl MongoSecondary {
    /// # Errors
    /// When no server answers.
    pub(super) async fn open(
        store: MongoStore,
        mapping: Arc<Mapping>,
    ) -> StoreResult<MongoSecondary> {
        let deployment = store.conn.deployment().await?;
        let session = match deployment {
            Deployment::Transactions => Some(Attended::new(&store, store.conn.session().await?)),
            Deployment::Standalone => None,
        };
        let shapes = mapping
            .tables
            .iter()
            .map(|table| (table.id, store.shape(table)))
            .collect();
        Ok(MongoSecondary {
            deployment,
            session,
            shapes,
            there: BTreeSet::new(),
            state: State::Idle,
            store,
        })
    }

    /// Writes a batch, in the transaction that rows of it have begun or in one of its own; `then` is what the connection is in the middle of behind it.
    async fn stage_batch(&mut self, batch: &[(TableId, Change)], then: State) -> StoreResult<()> {
        let begun = self.state == State::Ahead;
        self.turn(if begun { State::Ahead } else { State::Idle })?;
        let changes = batch
            .iter()
            .map(|(table, change)| self.shapes.get(table).map(|shape| (shape, change)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.store.conn.unexpected("a table that is not mapped"))?;
        for table in batch.iter().map(|(table, _)| table) {
            if !self.there.contains(table) {
                self.store
                    .conn
                    .ensure(self.shapes[table].collection())
                    .await?;
                self.there.insert(*table);
            }
        }
        let commands = match Commands::of(changes, self.deployment) {
            Ok(commands) => commands,
            // Nothing of it was sent.
            Err(error) => {
                if begun {
                    self.abort().await;
                }
                self.state = State::Idle;
                return Err(error);
            }
        };
        let mut attempt = 0;
        loop {
            match self.write(&commands, begun).await {
                Ok(()) => {
                    self.state = then;
                    return Ok(());
                }
                Err(failed) => {
                    self.abort().await;
                    // With the transaction goes what came ahead, and nobody has that any more.
                    if begun || !failed.transient {
                        if matches!(failed.error, StoreError::Rejected { .. }) {
                            self.state = State::Idle;
                        }
                        return Err(failed.error);
                    }
                }
            }
            // For as long as the caller waits.
            self.store.conn.pause(attempt).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn write(&mut self, commands: &Commands, begun: bool) -> Result<(), WriteError> {
        if let Some(session) = self.open_session()
            && !begun
        {
            session
                .start_transaction()
                .await
                .map_err(|error| self.store.conn.write_error(&error))?;
        }
        // By the client that is in use now.
        let database = self
            .store
            .conn
            .database()
            .await
            .map_err(|error| WriteError {
                transient: false,
                document: None,
                error,
            })?;
        let session = self.session.as_mut().and_then(Attended::session);
        commands.run(&self.store, &database, session).await
    }

    /// Ends a transaction that failed. Where that fails as well, it ends when the session does.
    async fn abort(&mut self) {
        if let Some(session) = self.open_session()
            && let Err(error) = session.abort_transaction().await
        {
            tracing::debug!(%error, "a failed transaction was not aborted");
        }
    }

    async fn commit_batch(&mut self) -> StoreResult<()> {
        self.turn(State::Staged)?;
        if let Some(session) = self.open_session() {
            session
                .commit_transaction()
                .await
                .map_err(|error| self.store.conn.error(&error))?;
        }
        self.state = State::Idle;
        Ok(())
    }

    async fn rollback_batch(&mut self) -> StoreResult<()> {
        self.turn(State::Staged)?;
        if let Some(session) = self.open_session() {
            session
                .abort_transaction()
                .await
                .map_err(|error| self.store.conn.error(&error))?;
        }
        self.state = State::Idle;
        Ok(())
    }

    /// The session, where the server has transactions.
    fn open_session(&mut self) -> Option<&mut ClientSession> {
        self.session.as_mut().and_then(Attended::session)
    }

    /// Until the call has ended well, the connection counts as lost.
    fn turn(&mut self, wanted: State) -> StoreResult<()> {
        if std::mem::replace(&mut self.state, State::Lost) == wanted {
            Ok(())
        } else {
            Err(self.store.conn.unexpected("a call out of turn"))
        }
    }
}

impl Drop for MongoSecondary {
    fn drop(&mut self) {
        if self.state == State::Idle {
            self.session.iter_mut().for_each(Attended::settle);
        }
    }
}

impl Secondary for MongoSecondary {
    fn stage<'a>(&'a mut self, batch: &'a [(TableId, Change)]) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(self.stage_batch(batch, State::Staged))
    }

    fn stage_ahead<'a>(
        &'a mut self,
        rows: &'a [(TableId, Change)],
    ) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(self.stage_batch(rows, State::Ahead))
    }

    fn commit(&mut self) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(self.commit_batch())
    }

    fn rollback(&mut self) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(self.rollback_batch())
    }

    fn is_usable(&self) -> bool {
        self.state == State::Idle
    }
}
