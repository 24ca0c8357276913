//! The secondary's part of transactions, on a raw connection.
//!
//! The batch runs in the *implicit* transaction of a pipeline: the statements go out with a Flush, which makes the server answer and keep
//! the transaction (and its row locks) open, and the Sync that commits it is sent when the primary has committed. So a
//! transaction costs the secondary two trips and no BEGIN or COMMIT.

mod answers;
mod messages;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    mem,
    sync::Arc,
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;
use futures::future::BoxFuture;
use postgres_protocol::message::frontend;

use super::{
    conn::{Endpoint, Stream},
    key_locks::{
        KEY_LOCK_EXCLUSIVE, KEY_LOCK_SHARED, KEY_LOCKS, locks_of, parameters, with_shared,
    },
    settings::PINNED,
    sql::{self, ParamKind, Statement},
};
use messages::{put, put_bind};

use crate::{Change, Mapping, OwnChange, OwnChanges, Secondary, StoreError, StoreResult, TableId};

/// Statements sent before their answers are read. Bounds what either side has to buffer; most transactions fit in one go.
const WINDOW: usize = 256;
/// The same, in bytes.
const WINDOW_BYTES: usize = 1 << 20;

/// Changes of one table that go in one statement where so many of a kind come one after the other: most of what a row costs the server is its statement.
const ROWS: usize = 64;
/// Parameters that one statement takes at the most.
const PARAMETERS: usize = 65_535;

/// OID of `int8`, by `pg_type.dat`.
const INT8: u32 = 20;

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
    own_changes: Arc<OwnChanges>,
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
        ahead: BTreeSet::new(),
        state: State::Idle,
        own: own_changes,
        under_way: Vec::new(),
        committing: Vec::new(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No transaction.
    Idle,
    /// Rows of a transaction are here, others are to come.
    Ahead,
    /// A batch is staged, its transaction open.
    Staged,
    /// A call was dropped half way, or the connection broke.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Verb {
    Upsert,
    UpsertRows,
    Delete,
    DeleteRows,
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
    /// Numbers of the locks of the keys that came ahead of their batch.
    ahead: BTreeSet<i64>,
    state: State,
    own: Arc<OwnChanges>,
    /// Counts the batch for as long as its transaction is open.
    under_way: Vec<OwnChange>,
    /// Counts the batch before, whose commit is under way.
    committing: Vec<OwnChange>,
}

/// Statements that are sent and not answered.
#[derive(Debug, Default)]
struct Sent {
    statements: usize,
    /// Those that the server has not had before.
    fresh: Vec<(TableId, Verb)>,
}

impl PostgresSecondary {
    /// Stages a batch, where `committed` is given behind the commit of the batch before, whose outcome it becomes.
    async fn stage_batch(
        &mut self,
        batch: &[(TableId, Change)],
        committed: Option<&mut StoreResult<()>>,
    ) -> StoreResult<()> {
        let before = mem::replace(&mut self.state, State::Lost);
        let fits = match committed {
            Some(_) => before == State::Staged,
            None => matches!(before, State::Idle | State::Ahead),
        };
        if !fits {
            return Err(self.unexpected("a batch out of turn"));
        }
        if committed.is_some() {
            frontend::sync(&mut self.out);
        }
        if committed.is_some() {
            self.committing = mem::take(&mut self.under_way);
        }
        self.count(batch);
        let mut sent = Sent::default();
        self.put_key_locks(batch, &mut sent)?;
        self.put_changes(batch, sent, committed).await?;
        self.state = State::Staged;
        Ok(())
    }

    /// As [`Secondary::stage_ahead`].
    async fn put_ahead(&mut self, rows: &[(TableId, Change)]) -> StoreResult<()> {
        let before = mem::replace(&mut self.state, State::Lost);
        if !matches!(before, State::Idle | State::Ahead) {
            return Err(self.unexpected("rows out of turn"));
        }
        let mapping = self.mapping.clone();
        let rows_of = rows
            .iter()
            .map(|(table, change)| (&mapping.tables[table.0], change));
        let locks = locks_of(self.side, rows_of);
        self.ahead.extend(locks.into_iter().map(|(id, _)| id));
        self.count(rows);
        self.put_changes(rows, Sent::default(), None).await?;
        self.state = State::Ahead;
        Ok(())
    }

    /// Each change of the batch is one of a row at the most: its key is locked, so nobody of ours inserts it meanwhile.
    fn count(&mut self, batch: &[(TableId, Change)]) {
        for part in batch.chunk_by(|(one, _), (other, _)| one == other) {
            let count = self.own.of(&self.mapping.tables[part[0].0.0]);
            self.under_way.push(count.begin(part.len() as u64));
        }
    }

    /// Sends changes, behind what is in the buffer, and waits for their answers.
    async fn put_changes(
        &mut self,
        changes: &[(TableId, Change)],
        mut sent: Sent,
        mut committed: Option<&mut StoreResult<()>>,
    ) -> StoreResult<()> {
        let mut rest = changes;
        while let Some(((table, _), _)) = rest.split_first() {
            let rows = self.rows_at_once(rest);
            let (now, later) = rest.split_at(rows);
            self.put_change(*table, now, &mut sent)?;
            rest = later;
            if sent.statements >= WINDOW || self.out.len() >= WINDOW_BYTES {
                self.answered(&mut sent, &mut committed).await?;
            }
        }
        if sent.statements > 0 || committed.is_some() {
            self.answered(&mut sent, &mut committed).await?;
        }
        Ok(())
    }

    /// How many of the next changes go in one statement.
    fn rows_at_once(&mut self, changes: &[(TableId, Change)]) -> usize {
        let Some((table, first)) = changes.first() else {
            return 0;
        };
        let alike = |(other, change): &&(TableId, Change)| {
            other == table && mem::discriminant(change) == mem::discriminant(first)
        };
        let columns = self.mapping.tables[table.0].columns.len();
        let run = changes.iter().take(ROWS).take_while(alike).count();
        if run == ROWS && columns * ROWS <= PARAMETERS {
            ROWS
        } else {
            1
        }
    }

    /// Sends what is in the buffer and waits for its answers.
    async fn answered(
        &mut self,
        sent: &mut Sent,
        committed: &mut Option<&mut StoreResult<()>>,
    ) -> StoreResult<()> {
        let Sent { statements, fresh } = mem::take(sent);
        put(&mut self.out, b'H', |_| {});
        self.send().await?;
        if let Some(committed) = committed.take() {
            *committed = self.await_ready().await;
            // The answers to the batch follow in any case, unless the connection is lost.
            if matches!(committed, Err(error) if !matches!(error, StoreError::Rejected { .. })) {
                return Err(self.unexpected("no answer to the commit before the batch"));
            }
            over(&mut self.committing);
        }
        match self.await_completions(statements).await {
            Ok(()) => Ok(()),
            Err(error) => self.recover(error, &fresh).await,
        }
    }

    /// One change, or rows of one table.
    fn put_change(
        &mut self,
        table: TableId,
        changes: &[(TableId, Change)],
        sent: &mut Sent,
    ) -> StoreResult<()> {
        let verb = match changes {
            [(_, Change::Delete(_))] => Verb::Delete,
            [(_, Change::Delete(_)), ..] => Verb::DeleteRows,
            [_] | [] => Verb::Upsert,
            [_, _, ..] => Verb::UpsertRows,
        };
        let statement = self.statement(table, verb);
        let mut values = Vec::with_capacity(statement.params.len());
        for (_, change) in changes {
            let bound = match change {
                Change::Upsert(row) => statement.bind_row(row),
                Change::Delete(key) => statement.bind_key(key),
            };
            let bound =
                bound.ok_or_else(|| self.unexpected("a value that is not in canonical text"))?;
            values.extend(bound);
        }
        self.put(
            table,
            verb,
            &statement.sql,
            &statement.params,
            &values,
            sent,
        )
    }

    /// A DELETE that sees no row waits for nobody, also not for an insert of that row that is about to commit: so every batch first locks the
    /// names of its keys (trap 1), and of those that came ahead of it.
    fn put_key_locks(&mut self, batch: &[(TableId, Change)], sent: &mut Sent) -> StoreResult<()> {
        let mapping = self.mapping.clone();
        let batch = batch
            .iter()
            .map(|(table, change)| (&mapping.tables[table.0], change));
        let mut locks = locks_of(self.side, batch);
        if !self.ahead.is_empty() {
            locks = with_shared(locks, mem::take(&mut self.ahead));
        }
        let lock = TableId(usize::MAX);
        match &locks[..] {
            [] => Ok(()),
            &[(id, deletes)] => {
                let (verb, sql) = if deletes {
                    (Verb::LockExclusive, KEY_LOCK_EXCLUSIVE)
                } else {
                    (Verb::LockShared, KEY_LOCK_SHARED)
                };
                let id = Bytes::copy_from_slice(&id.to_be_bytes());
                self.put(
                    lock,
                    verb,
                    sql,
                    &[ParamKind::Binary(INT8)],
                    &[Some(id)],
                    sent,
                )
            }
            locks => {
                let values = parameters(locks).map(Some);
                let kinds = [ParamKind::Text, ParamKind::Text];
                self.put(lock, Verb::Lock, KEY_LOCKS, &kinds, &values, sent)
            }
        }
    }

    /// A statement with its parameters. The server is given its text once.
    fn put(
        &mut self,
        table: TableId,
        verb: Verb,
        sql: &str,
        kinds: &[ParamKind],
        values: &[Option<Bytes>],
        sent: &mut Sent,
    ) -> StoreResult<()> {
        let name = statement_name(table, verb);
        if self.prepared.insert((table, verb)) {
            sent.fresh.push((table, verb));
            let types = kinds.iter().map(|kind| kind.oid());
            frontend::parse(&name, sql, types, &mut self.out)
                .map_err(|error| self.broken(&error))?;
        }
        sent.statements += 1;
        put_bind(&mut self.out, &name, kinds, values);
        frontend::execute("", 0, &mut self.out).map_err(|error| self.broken(&error))
    }

    fn statement(&mut self, table: TableId, verb: Verb) -> Arc<Statement> {
        let map = &self.mapping.tables[table.0];
        let make = || match verb {
            Verb::Upsert => sql::upsert(map, self.side),
            Verb::UpsertRows => sql::upsert_rows(map, self.side, ROWS),
            Verb::DeleteRows => sql::delete_rows(map, self.side, ROWS),
            Verb::Delete | Verb::Lock | Verb::LockShared | Verb::LockExclusive => {
                sql::delete(map, self.side)
            }
        };
        self.statements
            .entry((table, verb))
            .or_insert_with(|| Arc::new(make()))
            .clone()
    }
}

impl Secondary for PostgresSecondary {
    fn stage<'a>(&'a mut self, batch: &'a [(TableId, Change)]) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(async move { self.stage_batch(batch, None).await })
    }

    fn stage_ahead<'a>(
        &'a mut self,
        rows: &'a [(TableId, Change)],
    ) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(self.put_ahead(rows))
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

/// Their transaction has ended.
fn over(changes: &mut Vec<OwnChange>) {
    changes.drain(..).for_each(OwnChange::over);
}

fn statement_name(table: TableId, verb: Verb) -> String {
    match verb {
        Verb::Upsert => format!("u{}", table.0),
        Verb::UpsertRows => format!("m{}", table.0),
        Verb::Delete => format!("d{}", table.0),
        Verb::DeleteRows => format!("e{}", table.0),
        Verb::Lock => "k".to_owned(),
        Verb::LockShared => "ks".to_owned(),
        Verb::LockExclusive => "kx".to_owned(),
    }
}
