//! The engine and its sessions.

mod nature;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossfade_sql_wire::{
    Begin, Column, Engine, EngineSession, Isolation, Prepared, Sink, Surroundings, milliseconds,
};
use crossfade_store::{
    Mapping,
    journal::{IntentRow, read_intend},
    mongo::MongoStore,
};
use crossfade_values::{Error, Oid, Result, Session, Types, Value};
use futures::{FutureExt as _, future::BoxFuture};
use pg_query::NodeEnum;

use nature::{counters_of, is_simple, is_single, tag, writes};

use crate::{
    bind::{Binder, CopyFrom, CopyTo, Images, Output, Statement, Truncate},
    catalog::Catalog,
    copy::CopyOut,
    eval::{Counters, Run},
    exec::{Exec, Out, Row, texts},
    fail::Fail,
    txn::Txn,
};

/// SQL on the documents of one store.
#[derive(Debug)]
pub struct Documents {
    store: MongoStore,
    catalog: ArcSwap<Catalog>,
}

/// How a statement would be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// On documents, as it stands.
    Yes,
    /// Not, for this reason.
    No(String),
}

impl Documents {
    /// For the tables of `mapping`, whose new store is `store`. Contacts nobody.
    #[must_use]
    pub fn new(store: MongoStore, mapping: &Mapping) -> Documents {
        let catalog = ArcSwap::from_pointee(Catalog::new(mapping, &store));
        Documents { store, catalog }
    }

    /// Takes another mapping, for statements prepared from now on.
    pub fn put_mapping(&self, mapping: &Mapping) {
        self.catalog
            .store(Arc::new(Catalog::new(mapping, &self.store)));
    }

    /// Whether a statement would be served, without running it.
    #[must_use]
    pub fn would_serve(&self, statement: &NodeEnum, session: &Session) -> Served {
        let catalog = self.catalog.load();
        match Binder::new(&catalog, session, &[]).statement(statement) {
            Err(error) if error.sqlstate == "0A000" => Served::No(error.message),
            // What is wrong with it is wrong in PostgreSQL as well, or is known only with its parameters.
            Ok(_) | Err(_) => Served::Yes,
        }
    }
}

/// [`Documents`] as its sessions share it.
#[derive(Debug, Clone)]
pub struct SharedDocuments(pub Arc<Documents>);

impl Engine for SharedDocuments {
    fn types(&self) -> Arc<Types> {
        self.0.catalog.load().types.clone()
    }

    fn session(&self) -> Box<dyn EngineSession> {
        Box::new(DocumentSession {
            shared: self.clone(),
            txn: Txn::new(self.0.store.clone()),
            counters: Counters::default(),
            images: Vec::new(),
        })
    }
}

/// What a prepared statement holds.
struct Plan {
    catalog: Arc<Catalog>,
    statement: Statement,
    /// Tables that its queries read.
    scanned: BTreeSet<usize>,
}

impl Plan {
    /// Whether its answer comes from the table while it is read: what a statement that writes gives back was there before.
    fn reads(&self, table: &crate::catalog::Table) -> bool {
        let name = &table.map.old.name;
        let scans = |at: &usize| self.catalog.tables[*at].map.old.name == *name;
        matches!(self.statement, Statement::Query(_)) && self.scanned.iter().any(scans)
    }
}

struct DocumentSession {
    shared: SharedDocuments,
    txn: Txn,
    counters: Counters,
    /// What the next COPY FROM, TRUNCATE or MERGE tells of its rows.
    images: Vec<Images>,
}

impl EngineSession for DocumentSession {
    fn prepare(
        &mut self,
        statement: &NodeEnum,
        text: &str,
        params: &[Oid],
        around: &dyn Surroundings,
    ) -> Result<Prepared> {
        if let Some(intent) = read_intend(text) {
            return Ok(Prepared {
                params: Vec::new(),
                columns: None,
                plan: Arc::new(intent),
                writes: true,
            });
        }
        let catalog = self.shared.0.catalog.load_full();
        let mut binder = Binder::new(&catalog, around.session(), params);
        let (statement, outputs) = binder.statement(statement)?;
        let params = std::mem::take(&mut binder.params);
        let scanned = std::mem::take(&mut binder.scanned);
        drop(binder);
        let writes = writes(&statement);
        Ok(Prepared {
            params,
            columns: outputs.map(|outputs| outputs.into_iter().map(column).collect()),
            plan: Arc::new(Plan {
                catalog,
                statement,
                scanned,
            }),
            writes,
        })
    }

    fn beside(&self, statement: &Prepared, open: &[&Prepared]) -> Result<()> {
        fn plan_of(prepared: &Prepared) -> Option<&Plan> {
            prepared.plan.downcast_ref()
        }
        let Some(Plan {
            catalog,
            statement: Statement::Truncate(truncate),
            ..
        }) = plan_of(statement)
        else {
            return Ok(());
        };
        let mut tables = truncate.tables.iter().map(|at| &catalog.tables[*at]);
        let used = tables.find(|table| {
            let mut open = open.iter().filter_map(|open| plan_of(open));
            open.any(|open| open.reads(table))
        });
        used.map_or(Ok(()), |table| {
            let name = table.name();
            let told = format!(
                "cannot TRUNCATE \"{name}\" because it is being used by active queries in this session"
            );
            Err(Error::new("55006", told))
        })
    }

    fn begin(&mut self, how: Begin) -> BoxFuture<'_, Result<()>> {
        if how.isolation == Isolation::Serializable {
            let refused = Error::unsupported("ISOLATION LEVEL SERIALIZABLE")
                .hint("REPEATABLE READ is served");
            return async { Err(refused) }.boxed();
        }
        self.images.clear();
        self.txn.begin(how);
        async { Ok(()) }.boxed()
    }

    fn execute<'a>(
        &'a mut self,
        statement: &'a Prepared,
        params: &'a [Value],
        last: bool,
        around: &'a dyn Surroundings,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<String>> {
        async move {
            if let Some(intent) = statement.plan.downcast_ref::<IntentRow>() {
                let began = Instant::now();
                let put = self
                    .txn
                    .put_intent(intent, began, lock_timeout(around.session()));
                return put.await.map_err(Fail::into_error);
            }
            let plan: &Plan = statement
                .plan
                .downcast_ref()
                .ok_or_else(|| Error::new("XX000", "crossfade: a plan of another engine"))?;
            let served = match &plan.statement {
                Statement::CopyFrom(copy) => self.copy_from(plan, copy, around, sink).await,
                Statement::CopyTo(copy) => {
                    self.copy_to(plan, copy, statement.writes, params, around, sink)
                        .await
                }
                Statement::Images(images) => {
                    self.images.push(images.clone());
                    Ok("COPY 0".to_owned())
                }
                Statement::Truncate(truncate) => self.truncate(plan, truncate, around, sink).await,
                of => {
                    let writes = statement.writes;
                    self.run((plan, of), writes, params, last, around, sink)
                        .await
                }
            };
            served.map_err(Fail::into_error)
        }
        .boxed()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<()>> {
        async { self.txn.commit().await.map_err(Fail::into_error) }.boxed()
    }

    fn rollback(&mut self) -> BoxFuture<'_, ()> {
        self.txn.rollback().boxed()
    }

    fn savepoint<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.txn.savepoint(name);
        async { Ok(()) }.boxed()
    }

    fn rollback_to<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.images.clear();
        async { self.txn.rollback_to(name).await.map_err(Fail::into_error) }.boxed()
    }

    fn release<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        let released = self.txn.release(name).map_err(Fail::into_error);
        async { released }.boxed()
    }
}

impl DocumentSession {
    /// COPY FROM STDIN. Its data comes once: it is no statement that could run again as a whole.
    async fn copy_from(
        &mut self,
        plan: &Plan,
        copy: &CopyFrom,
        around: &dyn Surroundings,
        sink: &mut dyn Sink,
    ) -> std::result::Result<String, Fail> {
        let images = std::mem::take(&mut self.images);
        let images = images.iter().find(|images| images.table == copy.table);
        self.txn.statement(true).await?;
        let run = Run {
            params: &[],
            types: &plan.catalog.types,
            session: around.session(),
            counters: Mutex::new(self.counters.clone()),
        };
        let mut exec = Exec::new(&plan.catalog, &mut self.txn, &run, around, true);
        let most = lock_timeout(around.session());
        let count = exec.copy_from(copy, images, most, sink).await?;
        drop(exec);
        self.keep_counters(run);
        Ok(format!("COPY {count}"))
    }

    async fn truncate(
        &mut self,
        plan: &Plan,
        truncate: &Truncate,
        around: &dyn Surroundings,
        sink: &mut dyn Sink,
    ) -> std::result::Result<String, Fail> {
        let images = std::mem::take(&mut self.images);
        self.txn.statement(true).await?;
        let run = Run {
            params: &[],
            types: &plan.catalog.types,
            session: around.session(),
            counters: Mutex::default(),
        };
        let mut exec = Exec::new(&plan.catalog, &mut self.txn, &run, around, true);
        let most = lock_timeout(around.session());
        exec.truncate(truncate, &images, most, sink).await?;
        Ok("TRUNCATE TABLE".to_owned())
    }

    /// COPY TO STDOUT: the rows of a query, in another form.
    async fn copy_to(
        &mut self,
        plan: &Plan,
        copy: &CopyTo,
        writes: bool,
        params: &[Value],
        around: &dyn Surroundings,
        sink: &mut dyn Sink,
    ) -> std::result::Result<String, Fail> {
        let mut out = CopyOut {
            sink,
            options: &copy.options,
            columns: &copy.columns,
            quoted: &copy.quoted,
            types: &plan.catalog.types,
            session: around.session(),
            out: Vec::new(),
            scratch: Vec::new(),
        };
        out.begin()?;
        let ran = self.run(
            (plan, &copy.statement),
            writes,
            params,
            false,
            around,
            &mut out,
        );
        let tag = ran.await?;
        out.end()?;
        Ok(tag.replacen("SELECT", "COPY", 1))
    }

    /// What the session knows of counters behind a statement.
    fn keep_counters(&mut self, run: Run<'_>) {
        let counters = run.counters.into_inner();
        self.counters = Counters {
            taken: HashMap::new(),
            ..counters.unwrap_or_else(PoisonError::into_inner)
        };
    }

    async fn run(
        &mut self,
        (plan, statement): (&Plan, &Statement),
        writes: bool,
        params: &[Value],
        last: bool,
        around: &dyn Surroundings,
        sink: &mut dyn Sink,
    ) -> std::result::Result<String, Fail> {
        if writes && self.txn.is_read_only() && !matches!(statement, Statement::Query(_)) {
            return Err(Error::new(
                "25006",
                "cannot execute a statement that writes in a read-only transaction",
            )
            .into());
        }
        let began = Instant::now();
        let mark = self.txn.mark();
        let alone = last && mark == 0 && is_single(statement, &plan.catalog);
        self.txn.statement(writes && !alone).await?;
        let images = match statement {
            Statement::Merge(_) => std::mem::take(&mut self.images),
            _ => Vec::new(),
        };
        let mut skipped = HashSet::new();
        let mut attempt = 0;
        loop {
            let run = Run {
                params,
                types: &plan.catalog.types,
                session: around.session(),
                counters: Mutex::new(self.counters.clone()),
            };
            let several = !is_simple(statement);
            let mut exec = Exec::new(&plan.catalog, &mut self.txn, &run, around, several);
            exec.skipped = std::mem::take(&mut skipped);
            exec.written = (!images.is_empty()).then(Vec::new);
            let mut rows: Vec<Row> = Vec::new();
            let mut count = 0;
            // A statement that may have to run again tells nothing before it is through.
            let outcome = if writes {
                exec.statement(statement, alone, &mut Out::Rows(&mut rows))
                    .await
            } else {
                exec.statement(statement, false, &mut Out::Client(&mut *sink, &mut count))
                    .await
            };
            skipped = std::mem::take(&mut exec.skipped);
            let merged = exec.merged(&images)?;
            drop(exec);
            match outcome {
                Ok(affected) => {
                    self.keep_counters(run);
                    let pushed = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                    for row in rows {
                        sink.push(&row)?;
                        if sink.is_full() {
                            sink.drain().await?;
                        }
                    }
                    for row in merged {
                        sink.push_image(&texts(row.len()), &row)?;
                        if sink.is_full() {
                            sink.drain().await?;
                        }
                    }
                    return Ok(tag(statement, affected, count.max(pushed)));
                }
                Err(Fail::Again) if count == 0 => {
                    let most = lock_timeout(around.session());
                    self.txn.renew(mark, began, attempt, most).await?;
                    attempt += 1;
                }
                Err(fail) => return Err(fail),
            }
        }
    }
}

impl Exec<'_> {
    /// Runs a statement without its WITH queries that write; how many rows it wrote.
    pub(crate) async fn single(
        &mut self,
        statement: &Statement,
        alone: bool,
        out: &mut Out<'_>,
    ) -> std::result::Result<u64, Fail> {
        match statement {
            Statement::Query(query) => {
                for (sequence, count) in counters_of(query) {
                    self.take_from(sequence, count, false).await?;
                }
                self.query_into(query, None, out).await?;
                Ok(0)
            }
            Statement::Insert(insert) => self.insert(insert, alone, out).await,
            Statement::Update(update) => self.update(update, out).await,
            Statement::Delete(delete) => self.delete(delete, out).await,
            Statement::Merge(merge) => self.merge(merge).await,
            // None of them is run as a whole, or a part of anything.
            Statement::CopyFrom(_)
            | Statement::CopyTo(_)
            | Statement::Images(_)
            | Statement::Truncate(_)
            | Statement::With(_) => Ok(0),
        }
    }
}

impl Images {
    /// What they are sent as.
    pub(crate) fn columns(&self) -> Vec<Column> {
        self.outputs.iter().cloned().map(column).collect()
    }
}

/// `lock_timeout`; 0 is none.
fn lock_timeout(session: &Session) -> Option<Duration> {
    let shown = session.settings.get("lock_timeout")?;
    Some(milliseconds(shown))
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis)
}

fn column(output: Output) -> Column {
    Column {
        name: output.name,
        table: output.table,
        number: output.number,
        declared: output.declared,
        base: output.ty,
    }
}
