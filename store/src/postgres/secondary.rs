//! The secondary's part of transactions, on a raw connection.
//!
//! The batch runs in the *implicit* transaction of a pipeline: the statements go out with a Flush, which makes the server answer and keep
//! the transaction (and its row locks) open, and the Sync that commits it is sent when the primary has committed. So a
//! transaction costs the secondary two trips and no BEGIN or COMMIT.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;
use futures::future::BoxFuture;
use postgres_protocol::message::{backend::Message, frontend};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    conn::{Endpoint, Stream, rejected},
    key_locks::{KEY_LOCK_EXCLUSIVE, KEY_LOCK_SHARED, KEY_LOCKS, KeyLock, locks_of, parameters},
    settings::PINNED,
    sql::{self, ParamKind, Statement},
};
use crate::{Change, Mapping, Secondary, StoreError, StoreResult, TableId};

/// Statements sent before their answers are read. Bounds what either side has to buffer; most transactions fit in one go.
const WINDOW: usize = 256;

/// OID of `int8`, by `pg_type.dat`.
const INT8: u32 = 20;

/// Room for one read, in bytes. Enough for the answers to a window.
const READ_BUFFER: usize = 4096;

/// Opens a connection for secondary writes.
///
/// `synchronous_commit` is off: the primary's commit is the one that the client waits for on disk. Until the secondary has flushed what it
/// committed, the journal keeps the intent, so a crash of the secondary turns it into dirty keys.
///
/// # Errors
/// When the store cannot be reached or refuses the account.
pub async fn connect(
    endpoint: &Endpoint,
    side: Side,
    mapping: Arc<Mapping>,
    lock_timeout_ms: u64,
) -> StoreResult<PostgresSecondary> {
    let lock_timeout = lock_timeout_ms.to_string();
    let own = [
        ("synchronous_commit", "off"),
        ("lock_timeout", lock_timeout.as_str()),
    ];
    let pinned = PINNED
        .iter()
        .filter(|(name, _)| own.iter().all(|(ours, _)| ours != name));
    let settings: Vec<(&str, &str)> = pinned.copied().chain(own).collect();
    let login = endpoint.login(&settings).await?;
    Ok(PostgresSecondary {
        stream: login.stream,
        inbound: BytesMut::new(),
        out: BytesMut::new(),
        endpoint: endpoint.clone(),
        side,
        mapping,
        statements: HashMap::new(),
        prepared: HashSet::new(),
        state: State::Idle,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No transaction.
    Idle,
    /// A batch is staged, its transaction open.
    Staged,
    /// A call was dropped half way, or the connection broke.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Verb {
    Upsert,
    Delete,
    Lock,
    LockShared,
    LockExclusive,
}

/// A connection for the secondary part of transactions.
#[derive(Debug)]
pub struct PostgresSecondary {
    stream: Stream,
    inbound: BytesMut,
    out: BytesMut,
    endpoint: Endpoint,
    side: Side,
    mapping: Arc<Mapping>,
    /// Texts, made once.
    statements: HashMap<(TableId, Verb), Arc<Statement>>,
    /// Those that the server has.
    prepared: HashSet<(TableId, Verb)>,
    state: State,
}

impl PostgresSecondary {
    /// Stages a batch, where `committed` is given behind the commit of the batch before, whose outcome it becomes.
    async fn stage_batch(
        &mut self,
        batch: &[(TableId, Change)],
        mut committed: Option<&mut StoreResult<()>>,
    ) -> StoreResult<()> {
        let before = std::mem::replace(&mut self.state, State::Lost);
        let wanted = match committed {
            Some(_) => State::Staged,
            None => State::Idle,
        };
        if before != wanted {
            return Err(self.unexpected("a batch out of turn"));
        }
        if committed.is_some() {
            frontend::sync(&mut self.out);
        }
        let mut sent = 0;
        for window in batch.chunks(WINDOW) {
            let mut fresh = Vec::new();
            let first = sent == 0;
            if first {
                self.put_key_locks(batch, &mut fresh)?;
            }
            sent += window.len();
            for (table, change) in window {
                self.put_change(*table, change, &mut fresh)?;
            }
            put(&mut self.out, b'H', |_| {});
            self.send().await?;
            if let Some(committed) = committed.take() {
                *committed = self.await_ready().await;
                // The answers to the batch follow in any case, unless the connection is lost.
                if matches!(committed, Err(error) if !matches!(error, StoreError::Rejected { .. }))
                {
                    return Err(self.unexpected("no answer to the commit before the batch"));
                }
            }
            if let Err(error) = self
                .await_completions(window.len() + usize::from(first))
                .await
            {
                return self.recover(error, &fresh).await;
            }
        }
        // Of an empty batch.
        if let Some(committed) = committed {
            self.send().await?;
            *committed = self.await_ready().await;
        }
        self.state = State::Staged;
        Ok(())
    }

    fn put_change(
        &mut self,
        table: TableId,
        change: &Change,
        fresh: &mut Vec<(TableId, Verb)>,
    ) -> StoreResult<()> {
        let verb = match change {
            Change::Upsert(_) => Verb::Upsert,
            Change::Delete(_) => Verb::Delete,
        };
        let statement = self.statement(table, verb);
        let name = statement_name(table, verb);
        if self.prepared.insert((table, verb)) {
            fresh.push((table, verb));
            let types = statement.params.iter().map(|kind| kind.oid());
            frontend::parse(&name, &statement.sql, types, &mut self.out)
                .map_err(|error| self.broken(&error))?;
        }
        let values = match change {
            Change::Upsert(row) => statement.bind_row(row),
            Change::Delete(key) => statement.bind_key(key),
        };
        let values =
            values.ok_or_else(|| self.unexpected("a value that is not in canonical text"))?;
        put_bind(&mut self.out, &name, &statement.params, &values);
        frontend::execute("", 0, &mut self.out).map_err(|error| self.broken(&error))
    }

    /// A DELETE that sees no row waits for nobody, also not for an insert of that row that is about to commit: so every batch first locks the
    /// names of its keys (trap 1).
    fn put_key_locks(
        &mut self,
        batch: &[(TableId, Change)],
        fresh: &mut Vec<(TableId, Verb)>,
    ) -> StoreResult<()> {
        let mapping = self.mapping.clone();
        let batch = batch
            .iter()
            .map(|(table, change)| (&mapping.tables[table.0], change));
        match &locks_of(self.side, batch)[..] {
            &[(id, deletes)] => self.put_key_lock(id, deletes, fresh),
            locks => self.put_lock_list(locks, fresh),
        }
    }

    fn put_key_lock(
        &mut self,
        id: i64,
        deletes: bool,
        fresh: &mut Vec<(TableId, Verb)>,
    ) -> StoreResult<()> {
        let (verb, sql) = if deletes {
            (Verb::LockExclusive, KEY_LOCK_EXCLUSIVE)
        } else {
            (Verb::LockShared, KEY_LOCK_SHARED)
        };
        let id = Bytes::copy_from_slice(&id.to_be_bytes());
        self.put_lock(verb, sql, &[ParamKind::Binary(INT8)], &[Some(id)], fresh)
    }

    fn put_lock_list(
        &mut self,
        locks: &[KeyLock],
        fresh: &mut Vec<(TableId, Verb)>,
    ) -> StoreResult<()> {
        let values = parameters(locks).map(Some);
        let kinds = [ParamKind::Text, ParamKind::Text];
        self.put_lock(Verb::Lock, KEY_LOCKS, &kinds, &values, fresh)
    }

    fn put_lock(
        &mut self,
        verb: Verb,
        sql: &str,
        kinds: &[ParamKind],
        values: &[Option<Bytes>],
        fresh: &mut Vec<(TableId, Verb)>,
    ) -> StoreResult<()> {
        let lock = (TableId(usize::MAX), verb);
        let name = statement_name(lock.0, lock.1);
        if self.prepared.insert(lock) {
            fresh.push(lock);
            let types = kinds.iter().map(|kind| kind.oid());
            frontend::parse(&name, sql, types, &mut self.out)
                .map_err(|error| self.broken(&error))?;
        }
        put_bind(&mut self.out, &name, kinds, values);
        frontend::execute("", 0, &mut self.out).map_err(|error| self.broken(&error))
    }

    fn statement(&mut self, table: TableId, verb: Verb) -> Arc<Statement> {
        let map = &self.mapping.tables[table.0];
        let make = || {
            if verb == Verb::Upsert {
                sql::upsert(map, self.side)
            } else {
                sql::delete(map, self.side)
            }
        };
        self.statements
            .entry((table, verb))
            .or_insert_with(|| Arc::new(make()))
            .clone()
    }

    async fn await_completions(&mut self, count: usize) -> StoreResult<()> {
        let mut left = count;
        while left > 0 {
            match self.receive().await? {
                Message::CommandComplete(_) => left -= 1,
                Message::ErrorResponse(body) => {
                    return Err(rejected(&self.endpoint.config.url, &body));
                }
                Message::ParseComplete
                // Of statements that an earlier failed batch had prepared.
                | Message::CloseComplete
                | Message::BindComplete
                // Of a lock.
                | Message::DataRow(_)
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_) => {}
                _ => {
                    return Err(self.unexpected("a message that has no place in a batch of writes"));
                }
            }
        }
        Ok(())
    }

    /// After an error of the server: ends the failed transaction, so that the connection can be used again.
    async fn recover(&mut self, error: StoreError, fresh: &[(TableId, Verb)]) -> StoreResult<()> {
        if matches!(error, StoreError::Rejected { .. }) {
            frontend::sync(&mut self.out);
            self.send().await?;
            // A Parse behind the one that failed was skipped; which ones took effect is not worth telling apart.
            for (table, verb) in fresh {
                self.prepared.remove(&(*table, *verb));
                frontend::close(b'S', &statement_name(*table, *verb), &mut self.out)
                    .map_err(|error| self.broken(&error))?;
            }
            self.await_ready().await?;
            self.state = State::Idle;
        }
        Err(error)
    }

    /// Sends a Sync behind what is in the buffer and waits for the end of the transaction.
    async fn finish(&mut self) -> StoreResult<()> {
        let before = std::mem::replace(&mut self.state, State::Lost);
        if before != State::Staged {
            return Err(self.unexpected("nothing is staged"));
        }
        frontend::sync(&mut self.out);
        self.send().await?;
        self.await_ready().await?;
        self.state = State::Idle;
        Ok(())
    }

    async fn await_ready(&mut self) -> StoreResult<()> {
        let mut outcome = Ok(());
        loop {
            match self.receive().await? {
                Message::ReadyForQuery(_) => return outcome,
                Message::ErrorResponse(body) => {
                    self.state = State::Idle;
                    outcome = Err(rejected(&self.endpoint.config.url, &body));
                }
                Message::ParseComplete
                | Message::BindComplete
                | Message::CloseComplete
                | Message::CommandComplete(_)
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_) => {}
                _ => {
                    return Err(
                        self.unexpected("a message that has no place at the end of a transaction")
                    );
                }
            }
        }
    }

    async fn send(&mut self) -> StoreResult<()> {
        let sent = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        sent.await
            .map_err(|error| StoreError::unreachable(&self.endpoint.config.url, &error))?;
        self.out.clear();
        Ok(())
    }

    async fn receive(&mut self) -> StoreResult<Message> {
        loop {
            if let Some(message) =
                Message::parse(&mut self.inbound).map_err(|error| self.broken(&error))?
            {
                return Ok(message);
            }
            // Room for all that a batch is answered with: a buffer that grows by itself takes a call for each step.
            self.inbound.reserve(READ_BUFFER);
            if self
                .stream
                .read_buf(&mut self.inbound)
                .await
                .map_err(|error| self.broken(&error))?
                == 0
            {
                return Err(self.broken(&io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn broken(&self, error: &io::Error) -> StoreError {
        StoreError::unreachable(&self.endpoint.config.url, error)
    }

    fn unexpected(&self, what: &str) -> StoreError {
        StoreError::unexpected(&self.endpoint.config.url, what)
    }
}

impl Secondary for PostgresSecondary {
    fn stage<'a>(&'a mut self, batch: &'a [(TableId, Change)]) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(async move { self.stage_batch(batch, None).await })
    }

    fn commit_and_stage<'a>(
        &'a mut self,
        batch: &'a [(TableId, Change)],
    ) -> BoxFuture<'a, (StoreResult<()>, StoreResult<()>)> {
        Box::pin(async move {
            let mut committed = Err(self.unexpected("the commit was not sent"));
            let staged = self.stage_batch(batch, Some(&mut committed)).await;
            (committed, staged)
        })
    }

    fn commits_with_next(&self) -> bool {
        true
    }

    fn commit(&mut self) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(self.finish())
    }

    fn rollback(&mut self) -> BoxFuture<'_, StoreResult<()>> {
        // ROLLBACK ends an implicit transaction as well (`UserAbortTransactionBlock`), with a warning that nobody reads.
        put(&mut self.out, b'P', |out| {
            out.put_slice(b"\0ROLLBACK\0\0\0")
        });
        put(&mut self.out, b'B', |out| {
            out.put_slice(b"\0\0\0\0\0\0\0\0")
        });
        put(&mut self.out, b'E', |out| out.put_slice(b"\0\0\0\0\0"));
        Box::pin(self.finish())
    }

    fn is_usable(&self) -> bool {
        self.state == State::Idle && !self.inbound.has_remaining()
    }
}

fn statement_name(table: TableId, verb: Verb) -> String {
    match verb {
        Verb::Upsert => format!("u{}", table.0),
        Verb::Delete => format!("d{}", table.0),
        Verb::Lock => "k".to_owned(),
        Verb::LockShared => "ks".to_owned(),
        Verb::LockExclusive => "kx".to_owned(),
    }
}

fn put_bind(out: &mut BytesMut, name: &str, params: &[ParamKind], values: &[Option<Bytes>]) {
    // A table has at most 1,600 columns, so the counts fit.
    let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
    put(out, b'B', |out| {
        out.put_u8(0);
        out.put_slice(name.as_bytes());
        out.put_u8(0);
        out.put_u16(count);
        for kind in params {
            out.put_u16(u16::from(matches!(kind, ParamKind::Binary(_))));
        }
        out.put_u16(count);
        for value in values {
            match value {
                Some(value) => {
                    // Values come out of a message, whose length is a positive i32.
                    out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
                    out.put_slice(value);
                }
                None => out.put_i32(-1),
            }
        }
        out.put_u16(0);
    });
}

fn put(out: &mut BytesMut, kind: u8, fill: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    fill(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}
