//! Writes of documents.

use std::collections::BTreeMap;

use mongodb::{
    ClientSession, Database,
    bson::{RawArrayBuf, RawDocumentBuf, cstr, rawdoc},
    error::ErrorKind,
};

use super::{
    MongoStore,
    attended::Attended,
    conn::{DUPLICATE_KEY, Deployment, WriteError},
    document::Shape,
};
use crate::{Change, Row, StoreError, StoreResult, TableMap};

/// Documents of one command. The server takes 100,000 and 48 MB.
const COMMAND_ROWS: usize = 1000;
/// Bytes of one command, of the documents' own.
const COMMAND_BYTES: usize = 12 << 20;

/// Commands for a batch whose changes have no order among each other but that of a key: upserts, then deletes, a command a collection.
pub(super) struct Commands(Vec<RawDocumentBuf>);

impl Commands {
    /// # Errors
    /// When a value has no exact form.
    pub(super) fn of<'a>(
        changes: impl IntoIterator<Item = (&'a Shape, &'a Change)>,
        deployment: Deployment,
    ) -> StoreResult<Commands> {
        let mut upserts: BTreeMap<&str, Statements> = BTreeMap::new();
        let mut deletes: BTreeMap<&str, Statements> = BTreeMap::new();
        for (shape, change) in changes {
            let collection = shape.collection();
            let upserts = upserts.entry(collection).or_default();
            match change {
                Change::Upsert(row) => {
                    let id = shape.raw_id(shape.id_of_row(row)?)?;
                    upserts
                        .push(rawdoc! { "q": id, "u": shape.raw_document(row)?, "upsert": true });
                }
                Change::Delete(key) => {
                    let id = shape.raw_id(shape.id_of(key)?)?;
                    if deployment == Deployment::Transactions {
                        // A delete that finds nothing writes nothing, and so meets nobody who is about to insert the document (trap 1).
                        let touch = rawdoc! { "$setOnInsert": {} };
                        upserts.push(rawdoc! { "q": id.clone(), "u": touch, "upsert": true });
                    }
                    let delete = rawdoc! { "q": id, "limit": 1 };
                    deletes.entry(collection).or_default().push(delete);
                }
            }
        }
        let mut commands = Vec::new();
        let mut take = |verb, list, all: BTreeMap<&str, Statements>| {
            for (collection, statements) in all {
                for array in statements.into_arrays() {
                    let mut command = RawDocumentBuf::new();
                    command.append(verb, collection);
                    command.append(list, array);
                    if deployment == Deployment::Standalone {
                        command.append(cstr!("writeConcern"), rawdoc! { "w": "majority" });
                    }
                    commands.push(command);
                }
            }
        };
        take(cstr!("update"), cstr!("updates"), upserts);
        // Behind all upserts, whose documents they may be.
        take(cstr!("delete"), cstr!("deletes"), deletes);
        Ok(Commands(commands))
    }

    /// Runs them.
    ///
    /// # Errors
    /// The first error; without a session, what came before it stays.
    pub(super) async fn run(
        &self,
        store: &MongoStore,
        database: &Database,
        mut session: Option<&mut ClientSession>,
    ) -> Result<(), WriteError> {
        for command in &self.0 {
            store
                .conn
                .write(database, command.clone(), session.as_deref_mut())
                .await?;
        }
        Ok(())
    }
}

/// The statements of one collection, cut into what one command takes.
#[derive(Default)]
struct Statements {
    full: Vec<RawArrayBuf>,
    last: RawArrayBuf,
    rows: usize,
    bytes: usize,
}

impl Statements {
    fn push(&mut self, statement: RawDocumentBuf) {
        let bytes = statement.as_bytes().len();
        if self.rows >= COMMAND_ROWS || (self.rows > 0 && self.bytes + bytes > COMMAND_BYTES) {
            self.full.push(std::mem::take(&mut self.last));
            (self.rows, self.bytes) = (0, 0);
        }
        self.last.push(statement);
        self.rows += 1;
        self.bytes += bytes;
    }

    fn into_arrays(mut self) -> Vec<RawArrayBuf> {
        if self.rows > 0 {
            self.full.push(self.last);
        }
        self.full
    }
}

/// Applies changes in one transaction; on a server without transactions one after the other, which may be done again.
pub(super) async fn apply(
    store: &MongoStore,
    table: &TableMap,
    changes: &[Change],
) -> StoreResult<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let shape = store.shape(table);
    let deployment = store.conn.deployment().await?;
    let database = store.conn.database().await?;
    // Where a key is deleted and written anew, its order matters: one run for each stretch without a second change of a key.
    let runs = stretches(table, changes);
    let runs = runs
        .iter()
        .map(|run| Commands::of(run.iter().map(|change| (&shape, change)), deployment))
        .collect::<StoreResult<Vec<_>>>()?;
    if deployment == Deployment::Standalone {
        for run in &runs {
            run.run(store, &database, None)
                .await
                .map_err(|failed| failed.error)?;
        }
        return Ok(());
    }
    store.conn.ensure(shape.collection()).await?;
    let mut attended = Attended::new(store, store.conn.session().await?);
    let mut attempt = 0;
    loop {
        let Some(session) = attended.session() else {
            return Err(store.conn.unexpected("a session that is gone"));
        };
        let outcome = transaction(store, &database, session, &runs).await;
        match outcome {
            Ok(()) => {
                attended.settle();
                return Ok(());
            }
            Err(failed) if failed.transient && attempt < ATTEMPTS => {
                store.conn.pause(attempt).await;
                attempt += 1;
            }
            Err(failed) => {
                if matches!(failed.error, StoreError::Rejected { .. }) {
                    attended.settle();
                }
                return Err(failed.error);
            }
        }
    }
}

/// Attempts of a transaction that meets others: about a second.
const ATTEMPTS: u32 = 40;

async fn transaction(
    store: &MongoStore,
    database: &Database,
    session: &mut ClientSession,
    runs: &[Commands],
) -> Result<(), WriteError> {
    let driver = |error: &mongodb::error::Error| store.conn.write_error(error);
    session
        .start_transaction()
        .await
        .map_err(|error| driver(&error))?;
    for run in runs {
        if let Err(failed) = run.run(store, database, Some(session)).await {
            // The server has ended it, or ends it with the session.
            drop(session.abort_transaction().await);
            return Err(failed);
        }
    }
    session
        .commit_transaction()
        .await
        .map_err(|error| driver(&error))
}

/// Cuts changes where a key comes a second time.
fn stretches<'a>(table: &TableMap, changes: &'a [Change]) -> Vec<&'a [Change]> {
    let mut seen = std::collections::HashSet::new();
    let mut cuts = vec![0];
    for (index, change) in changes.iter().enumerate() {
        let key = match change {
            Change::Upsert(row) => table.key_of(row),
            Change::Delete(key) => Some(key.clone()),
        };
        if !seen.insert(key.clone()) {
            cuts.push(index);
            seen.clear();
            seen.insert(key);
        }
    }
    cuts.push(changes.len());
    cuts.windows(2)
        .map(|ends| &changes[ends[0]..ends[1]])
        .collect()
}

/// Inserts the rows whose key is absent; says how many. Where it fails, some may have been inserted.
pub(super) async fn insert_absent(
    store: &MongoStore,
    table: &TableMap,
    rows: &[Row],
) -> StoreResult<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let shape = store.shape(table);
    let documents = rows
        .iter()
        .map(|row| shape.raw_document(row))
        .collect::<StoreResult<Vec<_>>>()?;
    let count = documents.len() as u64;
    let database = store.conn.database().await?;
    let collection = database.collection::<RawDocumentBuf>(shape.collection());
    let mut under_way = store.conn.under_way();
    // Unordered: the server goes on behind a key that is there.
    let inserted = collection.insert_many(documents).ordered(false).await;
    if store.conn.is_answer(&inserted) {
        under_way.answered();
    }
    let Err(error) = inserted else {
        return Ok(count);
    };
    let ErrorKind::InsertMany(many) = error.kind.as_ref() else {
        return Err(store.conn.error(&error));
    };
    let errors = many.write_errors.as_deref().unwrap_or_default();
    let there = |error: &&mongodb::error::IndexedWriteError| {
        error.code == DUPLICATE_KEY && error.message.contains("index: _id_")
    };
    let absent = errors.iter().find(|error| !there(error));
    match absent {
        Some(refused) => Err(store.conn.rejected(refused.code, refused.message.clone())),
        None if many.write_concern_error.is_some() => Err(store.conn.error(&error)),
        None => Ok(count - errors.len() as u64),
    }
}
