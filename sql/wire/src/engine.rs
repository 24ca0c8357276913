//! What a session of the protocol needs of the engine that answers it.

use std::sync::Arc;

use bytes::Bytes;
use crossfade_values::{Error, Oid, Result, Type, Types, Value};
use futures::future::BoxFuture;
use pg_query::NodeEnum;

/// Answers SQL for all sessions.
pub trait Engine: Send + Sync + 'static {
    /// Begins a session. Opens nothing yet.
    fn session(&self) -> Box<dyn EngineSession>;

    /// The types that are not built in, by which the session reads parameters and prints rows. Asked for when a session begins and at the start of each
    /// transaction.
    fn types(&self) -> Arc<Types> {
        Arc::default()
    }
}

/// A statement that is understood: what `Parse` makes.
#[derive(Debug)]
pub struct Prepared {
    /// Types of its parameters, given or inferred.
    pub params: Vec<Oid>,
    /// The columns of its answer; `None` for a statement without rows.
    pub columns: Option<Vec<Column>>,
    /// The engine's own.
    pub plan: Arc<dyn std::any::Any + Send + Sync>,
    /// It writes.
    pub writes: bool,
}

/// A column as `RowDescription` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// OID of the table in the old store's catalog, 0 for an expression.
    pub table: Oid,
    /// `attnum` there, 0 for an expression.
    pub number: i16,
    /// Type, with its modifier. That of the domain where the column has one.
    pub declared: Type,
    /// The base type: what the values are printed by.
    pub base: Type,
}

/// How the data of a COPY goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyShape {
    /// Columns of a row.
    pub columns: usize,
    /// In binary.
    pub binary: bool,
}

/// Takes an answer's rows.
pub trait Sink: Send {
    /// One row.
    fn push(&mut self, row: &[Value]) -> Result<()>;

    /// A row of other columns than the statement's, in text: what the proxy is told of rows that a statement without an answer writes.
    fn push_image(&mut self, columns: &[Column], row: &[Value]) -> Result<()> {
        let _ = (columns, row);
        Ok(())
    }

    /// Tells the client something beside the answer.
    fn notice(&mut self, told: &str) {
        let _ = told;
    }

    /// Asks the client for the data of COPY FROM STDIN, in this shape.
    fn copy_in(&mut self, shape: CopyShape) -> Result<()> {
        let _ = shape;
        Err(no_copy())
    }

    /// The next piece of it; `None` at its end. Cancel-safe.
    fn receive(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(std::future::ready(Err(no_copy())))
    }

    /// Announces the data of COPY TO STDOUT, in this shape.
    fn copy_out(&mut self, shape: CopyShape) -> Result<()> {
        let _ = shape;
        Err(no_copy())
    }

    /// A piece of it; `None` is its end.
    fn copy_data(&mut self, data: Option<&[u8]>) -> Result<()> {
        let _ = data;
        Err(no_copy())
    }

    /// Whether [`Sink::drain`] is due before more is pushed.
    fn is_full(&self) -> bool;
    /// Waits until the client has taken what is there.
    fn drain(&mut self) -> BoxFuture<'_, Result<()>>;
}

fn no_copy() -> Error {
    Error::unsupported("COPY from within another statement")
}

/// What the engine may ask of the session around it.
pub trait Surroundings: Sync {
    /// Settings and clocks.
    fn session(&self) -> &crossfade_values::Session;
    /// `pg_prepared_statements`: name, text, parameter types, prepared by SQL.
    fn prepared_statements(&self) -> Vec<(String, String, Vec<Oid>, bool)>;
    /// `pg_listening_channels()`.
    fn channels(&self) -> Vec<String>;
}

/// How a block was begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Begin {
    /// READ ONLY.
    pub read_only: bool,
    /// REPEATABLE READ; SERIALIZABLE is refused by the engine if it cannot be had.
    pub isolation: Isolation,
}

/// Isolation of a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "PostgreSQL's own names")]
pub enum Isolation {
    ReadUncommitted,
    #[default]
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// One session's part of the engine. Calls come one at a time; a call that is dropped half way (cancel) leaves the transaction for [`EngineSession::rollback`].
pub trait EngineSession: Send {
    /// Understands a SELECT, VALUES, INSERT, UPDATE, DELETE, COPY, TRUNCATE or EXPLAIN; no I/O. `text` is the statement's own text, `params` the types that the client gave (0 for open).
    ///
    /// # Errors
    /// What PostgreSQL's parse analysis would say, or 0A000 for what cannot be served.
    fn prepare(
        &mut self,
        statement: &NodeEnum,
        text: &str,
        params: &[Oid],
        around: &dyn Surroundings,
    ) -> Result<Prepared>;

    /// Begins a transaction, explicitly or for the statements until Sync. Need not touch the store yet.
    fn begin(&mut self, how: Begin) -> BoxFuture<'_, Result<()>>;

    /// Runs a statement within the transaction begun, and gives the command tag (`SELECT 3`, `INSERT 0 1`). After an error the transaction can be rolled back, wholly or to a
    /// savepoint, and nothing else. `last`: a commit follows at once, so that a single statement may be made one trip; the engine may commit already.
    fn execute<'a>(
        &'a mut self,
        statement: &'a Prepared,
        params: &'a [Value],
        last: bool,
        around: &'a dyn Surroundings,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<String>>;

    /// Commits. An error of SQLSTATE 08007 means that the outcome is unknown; any other that nothing was written.
    fn commit(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Takes everything back. Never fails: what cannot be reached is over anyway.
    fn rollback(&mut self) -> BoxFuture<'_, ()>;

    /// Marks a savepoint.
    fn savepoint<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Takes back what came after a savepoint, which stays. Also after an error.
    fn rollback_to<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Forgets a savepoint and those after it.
    fn release<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Looks whether a statement may run while the answers of others are open: cursors, and portals that were not closed.
    ///
    /// # Errors
    /// What PostgreSQL would say (55006).
    fn beside(&self, statement: &Prepared, open: &[&Prepared]) -> Result<()> {
        let _ = (statement, open);
        Ok(())
    }

    /// Whether the session holds advisory locks, which cannot be carried to another server.
    fn holds_advisory_locks(&self) -> bool {
        false
    }
}
