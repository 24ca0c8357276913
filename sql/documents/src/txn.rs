//! A session's transaction on MongoDB.
//!
//! MongoDB makes nobody wait: whoever writes a document that another transaction has written since its own snapshot is ended, with all that it wrote. PostgreSQL's READ
//! COMMITTED waits, looks again, and goes on. So every write is kept here as well, with the document as it was found: a transaction that was ended is begun anew, on a newer
//! snapshot, and its writes are made again *where nobody else has had any of those documents since*, which the marks tell that everybody leaves in them. To everybody else it
//! is as if its locks had been held all the time; where one of them was not, it is a failure of serialisation (40001), as PostgreSQL has them in its stricter levels. The same takes
//! back what came after a savepoint, which MongoDB cannot.

mod held;

pub(crate) use held::Hold;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crossfade_config::QualifiedName;
use crossfade_crash::{self as crash, Point};
use crossfade_sql_wire::{Begin, Isolation};
use crossfade_store::{
    StoreError,
    journal::IntentRow,
    mongo::{COUNTERS, Failed, INTENTS, MongoStore, VALUE, counter},
};
use crossfade_values::Error;
use mongodb::{
    ClientSession, Database,
    bson::{
        Binary, Bson, Document, RawArrayBuf, RawBsonRef, RawDocumentBuf, cstr, doc, oid::ObjectId,
        raw::CStr, spec::BinarySubtype,
    },
    options::{ReadConcern, SessionOptions},
};

use crate::fail::{Fail, store_error};

/// Longest wait for documents that others write; the server would end the transaction after a minute.
const PATIENCE: Duration = Duration::from_secs(50);
/// Longest wait for the answer to a commit.
const COMMIT: Duration = Duration::from_secs(20);
/// Documents of one command.
const BATCH: usize = 1000;
/// Bytes of one command, which is a document of 16 MB at the most itself.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes of writes that are kept, to be made again.
const KEPT: usize = 32 << 20;

/// A write, with the document before and after it. Both alike: it is locked.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) collection: String,
    pub(crate) id: Bson,
    pub(crate) before: Option<RawDocumentBuf>,
    pub(crate) after: Option<RawDocumentBuf>,
    /// How much of a document that was there before.
    pub(crate) hold: Hold,
}

impl Entry {
    /// About what it takes.
    fn bytes(&self) -> usize {
        let documents = self.before.iter().chain(&self.after);
        let documents = documents.map(|document| document.as_bytes().len());
        size_of::<Entry>() + self.collection.len() + 64 + documents.sum::<usize>()
    }
}

/// A counter that was set back.
#[derive(Debug)]
struct Restarted {
    sequence: QualifiedName,
    /// Writes before that.
    mark: usize,
    /// Where it has come since. A savepoint does not take back what was handed out, as long as the restart itself stays.
    value: i64,
}

/// See the module.
pub(crate) struct Txn {
    store: MongoStore,
    session: Option<ClientSession>,
    /// A snapshot for the reads of one statement.
    snapshot: Option<ClientSession>,
    /// MongoDB has the transaction.
    running: bool,
    /// MongoDB has ended it.
    broken: bool,
    how: Begin,
    /// What is kept of its writes: all up to [`KEPT`].
    log: Vec<Entry>,
    log_bytes: usize,
    /// Writes behind those in `log`, which were too much to be kept.
    unkept: usize,
    /// Counters that the transaction has set back, each time anew: nobody else may have their values before it ends, so they are taken within it.
    restarted: Vec<Restarted>,
    savepoints: Vec<(String, usize)>,
}

impl Txn {
    pub(crate) fn new(store: MongoStore) -> Txn {
        Txn {
            store,
            session: None,
            snapshot: None,
            running: false,
            broken: false,
            how: Begin::default(),
            log: Vec::new(),
            log_bytes: 0,
            unkept: 0,
            restarted: Vec::new(),
            savepoints: Vec::new(),
        }
    }

    pub(crate) fn store(&self) -> &MongoStore {
        &self.store
    }

    pub(crate) fn begin(&mut self, how: Begin) {
        self.how = how;
        self.forget();
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.how.read_only
    }

    /// Where the writes of the next statement begin.
    pub(crate) fn mark(&self) -> usize {
        self.log.len() + self.unkept
    }

    fn forget(&mut self) {
        self.log.clear();
        (self.log_bytes, self.unkept) = (0, 0);
        self.restarted.clear();
        self.savepoints.clear();
    }

    /// Keeps no writes but those before `mark`, which are in the log, and the values that counters have handed out behind it.
    fn cut(&mut self, mark: usize) -> Result<(), Fail> {
        self.log.truncate(mark);
        self.unkept = 0;
        self.restarted.retain(|restarted| restarted.mark < mark);
        for restarted in current(&self.restarted) {
            let id = Bson::String(counter(&restarted.sequence));
            let mut log = self.log.iter().rev();
            let last = log.find(|entry| entry.collection == COUNTERS && entry.id == id);
            let Some(before) = last.and_then(|entry| entry.after.clone()) else {
                continue;
            };
            let mut after = Document::try_from(before.as_ref()).map_err(|error| odd(&error))?;
            if after.get_i64(VALUE).ok() != Some(restarted.value) {
                after.insert(VALUE, restarted.value);
                self.log.push(Entry {
                    collection: COUNTERS.to_owned(),
                    id,
                    before: Some(before),
                    after: Some(raw(&after)?),
                    hold: Hold::Whole,
                });
            }
        }
        self.log_bytes = self.log.iter().map(Entry::bytes).sum();
        Ok(())
    }

    /// Whether everything before `mark` can be written again.
    fn keeps(&self, mark: usize) -> bool {
        self.unkept == 0 || mark <= self.log.len()
    }

    fn is_strict(&self) -> bool {
        matches!(
            self.how.isolation,
            Isolation::RepeatableRead | Isolation::Serializable
        )
    }

    pub(crate) async fn database(&self) -> Result<Database, Fail> {
        self.store
            .database()
            .await
            .map_err(|error| store_error(&error))
    }

    /// Before a statement. A reader of READ COMMITTED that has written nothing sees what is committed now; everybody else is in a transaction.
    pub(crate) async fn statement(&mut self, writes: bool) -> Result<(), Fail> {
        self.snapshot = None;
        if self.running && self.mark() == 0 && !self.is_strict() {
            self.abort().await;
        }
        if (writes || self.is_strict()) && !self.running {
            self.start().await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<(), Fail> {
        if !self
            .store
            .has_transactions()
            .await
            .map_err(|error| store_error(&error))?
        {
            return Err(Error::unsupported("a write: this MongoDB server runs without a replica set, so it has no transactions, and it").into());
        }
        if self.session.is_none() {
            self.session = Some(
                self.store
                    .session()
                    .await
                    .map_err(|error| store_error(&error))?,
            );
        }
        if let Some(session) = &mut self.session {
            session
                .start_transaction()
                .read_concern(ReadConcern::snapshot())
                .await
                .map_err(|error| store_error(&self.store.failed(&error).error))?;
        }
        self.running = true;
        self.broken = false;
        Ok(())
    }

    async fn abort(&mut self) {
        if self.running
            && let Some(session) = &mut self.session
            && let Err(error) = session.abort_transaction().await
        {
            tracing::debug!(%error, "a transaction was not aborted; the server ends it");
            // A session whose last transaction is in doubt is not used again.
            self.session = None;
        }
        self.running = false;
        self.broken = false;
    }

    /// What an error of the driver means for the transaction.
    pub(crate) fn failed(&mut self, error: &mongodb::error::Error) -> Fail {
        let failed = self.store.failed(error);
        self.fail(failed)
    }

    fn fail(&mut self, failed: Failed) -> Fail {
        if self.running {
            self.broken = true;
        }
        if failed.transient || failed.transaction_gone {
            return Fail::Again;
        }
        match failed.duplicate {
            Some(duplicate) => Fail::Duplicate(duplicate.index, duplicate.document),
            None => store_error(&failed.error),
        }
    }

    /// Begins anew behind a conflict: everything up to `mark` is written again.
    ///
    /// # Errors
    /// 40001 where a document is not as it was found, or where waiting does not help.
    pub(crate) async fn renew(
        &mut self,
        mark: usize,
        began: Instant,
        attempt: u32,
        lock_timeout: Option<Duration>,
    ) -> Result<(), Fail> {
        if lock_timeout.is_some_and(|most| began.elapsed() > most) {
            return Err(Error::new("55P03", "canceling statement due to lock timeout").into());
        }
        if self.is_strict() || began.elapsed() > PATIENCE {
            return Err(conflict());
        }
        if !self.keeps(mark) {
            return Err(too_large());
        }
        self.cut(mark)?;
        self.abort().await;
        crash::at(Point::DocumentsEnded);
        self.store.pause(attempt).await;
        self.replay().await
    }

    async fn replay(&mut self) -> Result<(), Fail> {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            self.start().await?;
            match self.write_again().await {
                Err(Fail::Again) if began.elapsed() < PATIENCE => {
                    self.abort().await;
                    self.store.pause(attempt).await;
                    attempt += 1;
                }
                Err(Fail::Again) => return Err(conflict()),
                other => return other,
            }
        }
    }

    async fn write_again(&mut self) -> Result<(), Fail> {
        let mut all: BTreeMap<(String, String), Entry> = BTreeMap::new();
        for entry in &self.log {
            let name = (entry.collection.clone(), format!("{:?}", entry.id));
            match all.get_mut(&name) {
                Some(known) => {
                    known.after.clone_from(&entry.after);
                    known.hold = known.hold.max(entry.hold);
                    // In one go with what came of it later, it is to be seen that it was held.
                    if known.before.is_none() {
                        known.after = known.after.as_ref().map(held::marked).transpose()?;
                    }
                }
                None => drop(all.insert(name, entry.clone())),
            }
        }
        let entries: Vec<Entry> = all.into_values().collect();
        for entry in &entries {
            let found = self.find_whole(&entry.collection, &entry.id).await?;
            if !(entry.hold).is_kept(entry.before.as_ref(), found.as_ref())? {
                return Err(conflict());
            }
        }
        match self.write(&entries).await {
            // Whoever came in meanwhile has what this transaction had first.
            Err(Fail::Duplicate(..)) => Err(conflict()),
            outcome => outcome,
        }
    }

    async fn find_whole(
        &mut self,
        collection: &str,
        id: &Bson,
    ) -> Result<Option<RawDocumentBuf>, Fail> {
        let database = self.database().await?;
        let collection = database.collection::<RawDocumentBuf>(collection);
        let find = collection.find_one(doc! { "_id": id.clone() });
        let found = match &mut self.session {
            Some(session) => find.session(session).await,
            None => find.await,
        };
        found.map_err(|error| self.failed(&error))
    }

    /// Makes writes, and keeps them.
    pub(crate) async fn put(&mut self, entries: Vec<Entry>) -> Result<(), Fail> {
        self.try_put(entries).await.map_err(|(fail, _)| fail)
    }

    /// As [`Txn::put`], and gives back what could not be written.
    pub(crate) async fn try_put(&mut self, entries: Vec<Entry>) -> Result<(), (Fail, Vec<Entry>)> {
        if let Err(fail) = self.write(&entries).await {
            return Err((fail, entries));
        }
        crash::at(Point::DocumentsWritten);
        for entry in entries {
            let bytes = entry.bytes();
            if self.unkept > 0 || self.log_bytes + bytes > KEPT {
                self.unkept += 1;
            } else {
                self.log_bytes += bytes;
                self.log.push(entry);
            }
        }
        Ok(())
    }

    /// Inserts, replacements, deletes and locks, in that order of commands but each document once.
    async fn write(&mut self, entries: &[Entry]) -> Result<(), Fail> {
        let mut collections: Vec<&str> = entries
            .iter()
            .map(|entry| entry.collection.as_str())
            .collect();
        collections.sort_unstable();
        collections.dedup();
        for collection in collections {
            let of = || {
                entries
                    .iter()
                    .filter(|entry| entry.collection == collection)
            };
            // Deletes first: what they free, a unique index lets others take.
            let deletes = of().filter(|entry| entry.before.is_some() && entry.after.is_none());
            let deletes = deletes
                .map(|entry| raw(&doc! { "q": { "_id": entry.id.clone() }, "limit": 1 }))
                .collect::<Result<Vec<_>, Fail>>()?;
            self.run(cstr!("delete"), collection, cstr!("deletes"), deletes)
                .await?;
            let mut updates = Vec::new();
            for entry in of() {
                match (&entry.before, &entry.after) {
                    (Some(before), Some(after)) if before.as_bytes() == after.as_bytes() => {
                        let mark = doc! { entry.hold.mark(): ObjectId::new() };
                        let query = doc! { "_id": entry.id.clone() };
                        updates.push(raw(&doc! { "q": query, "u": { "$set": mark } })?);
                    }
                    (Some(_), Some(after)) => {
                        let mut update = raw(&doc! { "q": { "_id": entry.id.clone() } })?;
                        update.append(cstr!("u"), held::marked(after)?);
                        updates.push(update);
                    }
                    _ => {}
                }
            }
            self.run(cstr!("update"), collection, cstr!("updates"), updates)
                .await?;
            let inserts = of().filter(|entry| entry.before.is_none());
            let inserts = inserts.filter_map(|entry| entry.after.clone());
            self.run(
                cstr!("insert"),
                collection,
                cstr!("documents"),
                inserts.collect(),
            )
            .await?;
        }
        Ok(())
    }

    async fn run(
        &mut self,
        verb: &CStr,
        collection: &str,
        list: &CStr,
        items: Vec<RawDocumentBuf>,
    ) -> Result<(), Fail> {
        let database = self.database().await?;
        let mut first = 0;
        while first < items.len() {
            let mut bytes = 0;
            let mut batch = RawArrayBuf::new();
            let mut count = 0;
            for item in &items[first..] {
                bytes += item.as_bytes().len();
                if count > 0 && (count == BATCH || bytes > BATCH_BYTES) {
                    break;
                }
                batch.push(item.clone());
                count += 1;
            }
            let mut command = RawDocumentBuf::new();
            command.append(verb, collection);
            command.append(list, batch);
            let written = self
                .store
                .write(&database, command, self.session.as_mut())
                .await;
            written.map_err(|mut failed| {
                let place = failed.duplicate.as_mut();
                if let Some(at) = place.and_then(|duplicate| duplicate.document.as_mut()) {
                    *at += first;
                }
                self.fail(failed)
            })?;
            first += count;
        }
        Ok(())
    }

    /// Inserts one document outside of any transaction: one trip, and durable with its answer.
    pub(crate) async fn insert_alone(
        &mut self,
        collection: &str,
        document: &RawDocumentBuf,
    ) -> Result<(), Fail> {
        let database = self.database().await?;
        let collection = database.collection::<RawDocumentBuf>(collection);
        match collection.insert_one(document).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let failed = self.store.failed(&error);
                if failed.error.outcome_unknown() {
                    return Err(unknown(&failed.error));
                }
                Err(self.fail(failed))
            }
        }
    }

    /// Adds the journal's intent to a transaction that writes. It is a write like any other: made again when the transaction has to be begun anew.
    pub(crate) async fn put_intent(
        &mut self,
        intent: &IntentRow,
        began: Instant,
        lock_timeout: Option<Duration>,
    ) -> Result<String, Fail> {
        let id = doc! { "o": intent.owner, "i": intent.id };
        let body = Binary {
            subtype: BinarySubtype::Generic,
            bytes: intent.body.clone(),
        };
        let document = doc! { "_id": id.clone(), "o": intent.owner, "b": body };
        let entry = Entry {
            collection: INTENTS.to_owned(),
            id: Bson::Document(id),
            before: None,
            after: Some(RawDocumentBuf::try_from(&document).map_err(|error| odd(&error))?),
            hold: Hold::Whole,
        };
        self.statement(true).await?;
        let (mark, mut attempt) = (self.mark(), 0);
        loop {
            match self.put(vec![entry.clone()]).await {
                Err(Fail::Again) => {
                    self.renew(mark, began, attempt, lock_timeout).await?;
                    attempt += 1;
                }
                outcome => return outcome.map(|()| "SELECT 1".to_owned()),
            }
        }
    }

    /// Whether the transaction has set a counter back.
    pub(crate) fn has_restarted(&self, sequence: &QualifiedName) -> bool {
        let mut restarted = self.restarted.iter();
        restarted.any(|restarted| restarted.sequence == *sequence)
    }

    /// Sets a counter back within the transaction, if there is one.
    pub(crate) async fn restart_counter(
        &mut self,
        sequence: &QualifiedName,
        value: i64,
    ) -> Result<(), Fail> {
        let mark = self.mark();
        if self.move_counter(sequence, |_| value).await?.is_some() {
            self.restarted.push(Restarted {
                sequence: sequence.clone(),
                mark,
                value,
            });
        }
        Ok(())
    }

    /// Moves a counter on that the transaction has set back; its value then.
    pub(crate) async fn advance_counter(
        &mut self,
        sequence: &QualifiedName,
        by: i64,
    ) -> Result<Option<i64>, Fail> {
        let moved = self.move_counter(sequence, |at| at + by).await?;
        let mut restarted = self.restarted.iter_mut().rev();
        let current = restarted.find(|restarted| restarted.sequence == *sequence);
        if let (Some(value), Some(current)) = (moved, current) {
            current.value = value;
        }
        Ok(moved)
    }

    /// `None` where there is no counter.
    async fn move_counter(
        &mut self,
        sequence: &QualifiedName,
        to: impl FnOnce(i64) -> i64,
    ) -> Result<Option<i64>, Fail> {
        let id = Bson::String(counter(sequence));
        let Some(before) = self.find_whole(COUNTERS, &id).await? else {
            return Ok(None);
        };
        let mut after = Document::try_from(before.as_ref()).map_err(|error| odd(&error))?;
        let value = to(after.get_i64(VALUE).unwrap_or_default());
        after.insert(VALUE, value);
        let entry = Entry {
            collection: COUNTERS.to_owned(),
            id,
            before: Some(before),
            after: Some(raw(&after)?),
            hold: Hold::Whole,
        };
        self.put(vec![entry]).await?;
        Ok(Some(value))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// The session to read by: that of the transaction, or a snapshot that lasts for one statement.
    pub(crate) async fn reader(
        &mut self,
        several: bool,
    ) -> Result<Option<&mut ClientSession>, Fail> {
        if self.running {
            return Ok(self.session.as_mut());
        }
        if !several
            || !self
                .store
                .has_transactions()
                .await
                .map_err(|error| store_error(&error))?
        {
            return Ok(None);
        }
        if self.snapshot.is_none() {
            let database = self.database().await?;
            let options = SessionOptions::builder().snapshot(true).build();
            let session = database
                .client()
                .start_session()
                .with_options(options)
                .await;
            self.snapshot = Some(session.map_err(|error| self.failed(&error))?);
        }
        Ok(self.snapshot.as_mut())
    }

    /// Commits.
    ///
    /// # Errors
    /// 08007 where nobody knows; otherwise nothing was written.
    pub(crate) async fn commit(&mut self) -> Result<(), Fail> {
        let outcome = self.commit_now().await;
        if outcome.is_err() {
            self.abort().await;
        }
        self.running = false;
        self.broken = false;
        self.snapshot = None;
        self.forget();
        outcome
    }

    async fn commit_now(&mut self) -> Result<(), Fail> {
        if !self.running {
            return Ok(());
        }
        if self.mark() == 0 {
            self.abort().await;
            return Ok(());
        }
        let began = Instant::now();
        let mut asked = false;
        loop {
            let Some(session) = &mut self.session else {
                return Ok(());
            };
            crash::at(Point::BeforeDocumentsCommit);
            let Err(error) = session.commit_transaction().await else {
                crash::at(Point::DocumentsCommitted);
                return Ok(());
            };
            let failed = self.store.failed(&error);
            if failed.outcome_unknown || failed.error.outcome_unknown() {
                if began.elapsed() > COMMIT {
                    self.session = None;
                    self.running = false;
                    return Err(unknown(&failed.error));
                }
                asked = true;
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            if !(failed.transient || failed.transaction_gone) {
                return Err(store_error(&failed.error));
            }
            // Gone after its answer got lost: it may have been committed before.
            if asked && failed.transaction_gone {
                return Err(unknown(&failed.error));
            }
            if self.is_strict() || began.elapsed() > COMMIT {
                return Err(conflict());
            }
            if !self.keeps(self.mark()) {
                return Err(too_large());
            }
            self.abort().await;
            self.replay().await?;
        }
    }

    pub(crate) async fn rollback(&mut self) {
        self.abort().await;
        self.snapshot = None;
        self.forget();
    }

    pub(crate) fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.to_owned(), self.mark()));
    }

    fn find(&self, name: &str) -> Result<usize, Fail> {
        let found = self.savepoints.iter().rposition(|(known, _)| known == name);
        found.ok_or_else(|| {
            Error::new("3B001", format!("savepoint \"{name}\" does not exist")).into()
        })
    }

    pub(crate) fn release(&mut self, name: &str) -> Result<(), Fail> {
        let at = self.find(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    pub(crate) async fn rollback_to(&mut self, name: &str) -> Result<(), Fail> {
        let at = self.find(name)?;
        let mark = self.savepoints[at].1;
        self.savepoints.truncate(at + 1);
        if !self.running || (self.mark() == mark && !self.broken) {
            if self.mark() > mark {
                self.cut(mark)?;
            }
            return Ok(());
        }
        if !self.keeps(mark) {
            return Err(Error::unsupported(format!(
                "ROLLBACK TO SAVEPOINT behind writes of more than {} MB",
                KEPT >> 20
            ))
            .into());
        }
        if self.is_strict() {
            // A newer snapshot would not be the transaction's own.
            return Err(Error::unsupported(
                "ROLLBACK TO SAVEPOINT in REPEATABLE READ, behind a write,",
            )
            .into());
        }
        self.cut(mark)?;
        self.abort().await;
        if mark == 0 {
            return Ok(());
        }
        self.replay().await
    }
}

/// Of each counter the last time that it was set back.
fn current(restarted: &[Restarted]) -> impl Iterator<Item = &Restarted> {
    let again = |at: usize| {
        let mut later = restarted[at + 1..].iter();
        later.any(|later| later.sequence == restarted[at].sequence)
    };
    let last = restarted
        .iter()
        .enumerate()
        .filter(move |(at, _)| !again(*at));
    last.map(|(_, restarted)| restarted)
}

/// `_id` of a document.
pub(crate) fn id_of(raw: &RawDocumentBuf) -> Bson {
    let id = raw.get("_id").ok().flatten();
    id.and_then(|id: RawBsonRef<'_>| Bson::try_from(id).ok())
        .unwrap_or(Bson::Null)
}

pub(crate) fn conflict() -> Fail {
    Error::new(
        "40001",
        "could not serialize access due to concurrent update",
    )
    .into()
}

/// Behind a conflict, where the transaction cannot be begun anew.
fn too_large() -> Fail {
    Error::new(
        "40001",
        "could not serialize access due to concurrent update",
    )
    .detail(format!(
        "MongoDB has ended the transaction, which has written more than {} MB and is not begun anew.",
        KEPT >> 20
    ))
    .hint("Try again, in smaller portions if it took longer than MongoDB's transactionLifetimeLimitSeconds.")
    .into()
}

fn raw(document: &Document) -> Result<RawDocumentBuf, Fail> {
    RawDocumentBuf::try_from(document).map_err(|error| odd(&error))
}

fn unknown(error: &StoreError) -> Fail {
    Error::new("08007", "the outcome of this transaction is unknown")
        .detail(error.to_string())
        .hint("look whether it took effect before you try again")
        .into()
}

fn odd(error: &dyn std::fmt::Display) -> Fail {
    Error::new(
        "XX000",
        format!("crossfade: a document that BSON does not take: {error}"),
    )
    .into()
}
