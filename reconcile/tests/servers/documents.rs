//! The way back from documents: MongoDB is the primary and the source, PostgreSQL the secondary.

mod given_up;
mod live;
mod locks;
mod types;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use crossfade_config::{Config, parse};
use crossfade_journal::{Journal, KeyRef, Reason};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{
    BackfillReport, Direction, Engine, Gates, Settings, Stores, VerifyOptions, VerifyReport,
};
use crossfade_store::{
    Change, Key, Mapping, Row, Store as _, TableMap, mongo::MongoStore, postgres::PostgresStore,
    resolve,
};
use crossfade_tests::{Mongod, Stores as Databases};
use crossfade_toggle::{Epoch, Snapshot, Toggle};
use tempfile::TempDir;

/// Both stores of one migration.
struct Documents {
    databases: Databases,
    server: Mongod,
    config: Config,
    old: Arc<PostgresStore>,
    new: Arc<MongoStore>,
    mapping: Arc<Mapping>,
}

/// The reconciler in one phase, with a journal of its own.
struct Job {
    engine: Engine,
    journal: Journal,
    _dir: TempDir,
}

const ORDERS: &str =
    "CREATE TABLE orders (region text, id int, note text, PRIMARY KEY (region, id))";
const ORDERS_FILE: &str =
    "[toggle.shop.table.orders]\ntarget = \"sales\"\ncolumn.note = \"said.note\"";

impl Documents {
    async fn new(schema: &str, tables: &str) -> Documents {
        let databases = Databases::create_with(schema, "").await;
        let server = Mongod::start().await;
        let new = server.url("shop");
        Documents::on(databases, server, &new, tables).await
    }

    /// On a server that is reached at `new`.
    async fn on(databases: Databases, server: Mongod, new: &str, tables: &str) -> Documents {
        let old = databases.old.own().url();
        let text = format!(
            "listen = \"127.0.0.1:6432\"\nstate_dir = \"state\"\n[old]\nurl = \"{old}?sslmode=disable\"\n[new]\nurl = \"{new}\"\n\
             [toggle.shop]\nphase = \"use-old\"\n{tables}\n"
        );
        let config = parse(&text, "crossfade.toml", &|_| None, ".")
            .unwrap()
            .config;
        let old = Arc::new(PostgresStore::new(config.old.clone(), Side::Old));
        let new = Arc::new(MongoStore::new(config.new.clone(), Side::New));
        let mapping = Arc::new(resolve(&config, &*old, Some(&*new)).await.unwrap());
        Documents {
            databases,
            server,
            config,
            old,
            new,
            mapping,
        }
    }

    fn table(&self, name: &str) -> &TableMap {
        let found = self
            .mapping
            .tables
            .iter()
            .find(|table| table.old.name.name == name);
        found.unwrap()
    }

    fn job(&self, phase: Phase) -> Job {
        let snapshot = Snapshot {
            epoch: Epoch::FIRST,
            phase,
        };
        let toggle = Arc::new(Toggle::new("shop", snapshot, phase));
        let gates: Arc<dyn Gates> = Arc::new(BTreeMap::from([("shop".to_owned(), toggle)]));
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let settings = Settings {
            chunk_rows: 100,
            ..Settings::from(&self.config.reconcile)
        };
        let stores = Stores {
            old: self.old.clone(),
            new: self.new.clone(),
        };
        let ledger = Arc::new(journal.clone());
        Job {
            engine: Engine::new(stores, self.mapping.clone(), ledger, gates, settings),
            journal,
            _dir: dir,
        }
    }

    async fn put(&self, table: &str, rows: &[Row]) {
        let rows: Vec<Change> = rows.iter().cloned().map(Change::Upsert).collect();
        self.new.apply(self.table(table), &rows).await.unwrap();
    }
}

impl Job {
    async fn backfill(&self, table: &str, direction: Direction) -> BackfillReport {
        let table = self.engine.table(&format!("public.{table}")).unwrap();
        let copied = self
            .engine
            .backfill(table, direction, Arc::new(|_| {}))
            .await;
        copied.unwrap()
    }

    async fn verify(&self, table: &str, repair: bool) -> VerifyReport {
        let table = self.engine.table(&format!("public.{table}")).unwrap();
        let options = VerifyOptions {
            repair,
            ..VerifyOptions::default()
        };
        let progress = Arc::new(|_| {});
        let verified = self
            .engine
            .verify(table, Direction::Reverse, options, progress);
        verified.await.unwrap()
    }

    async fn mark(&self, table: &str, parts: &[String]) {
        let key = KeyRef {
            toggle: "shop",
            table: &format!("public.{table}"),
            parts,
        };
        let marked = self
            .journal
            .mark_dirty(Side::Old, &[key], Reason::SecondaryFailed);
        marked.await.unwrap();
    }
}

fn order(id: u32, note: &str) -> Row {
    let values = [region(id).to_owned(), id.to_string(), note.to_owned()];
    Row(values.map(|value| Some(Bytes::from(value))).into())
}

fn key(id: u32) -> Key {
    Key(vec![region(id).into(), id.to_string().into()])
}

fn region(id: u32) -> &'static str {
    ["eu", "Ä", "us"][id as usize % 3]
}

#[tokio::test]
async fn the_way_back_copies_what_only_documents_have() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    let rows: Vec<Row> = (1..=1000).map(|id| order(id, "new")).collect();
    documents.put("orders", &rows).await;
    let job = documents.job(Phase::NewWrites);
    let report = job.backfill("orders", Direction::Reverse).await;
    assert_eq!(
        (report.rows_copied, report.repaired, report.left_dirty),
        (1000, 0, 0)
    );
    let report = job.verify("orders", false).await;
    assert_eq!((report.rows, report.differences), (1000, 0));
    assert_eq!(
        job.backfill("orders", Direction::Reverse).await.rows_copied,
        0
    );
}

#[tokio::test]
async fn a_reverse_verify_names_and_repairs_what_differs() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    let rows: Vec<Row> = (1..=1000).map(|id| order(id, "new")).collect();
    documents.put("orders", &rows).await;
    let job = documents.job(Phase::NewPrimary);
    job.backfill("orders", Direction::Reverse).await;
    documents
        .databases
        .old
        .run("UPDATE orders SET note = NULL WHERE id = 777; DELETE FROM orders WHERE id = 5")
        .await;
    let found = job.verify("orders", false).await;
    let mut listed: Vec<String> = found.listed.iter().map(ToString::to_string).collect();
    listed.sort();
    assert_eq!(
        listed,
        [
            "(eu, 777): differs in note",
            "(us, 5): missing in the old store"
        ]
    );
    let repaired = job.verify("orders", true).await;
    assert_eq!((repaired.differences, repaired.left()), (2, 0));
    assert_eq!(job.verify("orders", false).await.differences, 0);
}

#[tokio::test]
async fn in_phase_5_dirty_keys_are_drained_towards_the_old_store() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    let rows: Vec<Row> = (1..=100).map(|id| order(id, "new")).collect();
    documents.put("orders", &rows).await;
    documents
        .databases
        .old
        .run("INSERT INTO orders VALUES ('eu', 1, 'old'), ('Ä', 100, 'new'), ('Ä', 400, 'gone since')")
        .await;
    let job = documents.job(Phase::NewPrimary);
    for id in (1..=100).chain([400]) {
        job.mark("orders", &[region(id).to_owned(), id.to_string()])
            .await;
    }
    let report = job.engine.repair(None, false).await.unwrap();
    assert_eq!(
        (report.upserted, report.deleted, report.left_dirty),
        (100, 1, 0)
    );
    assert_eq!(job.verify("orders", false).await.differences, 0);
    assert_eq!(
        documents
            .databases
            .old
            .value("SELECT count(*) FROM orders")
            .await,
        "101"
    );
}
