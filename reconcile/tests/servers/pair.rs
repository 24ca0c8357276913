//! Two databases, a mapping that renames and retypes, and clients that write both as the proxy does (DESIGN 3).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use crossfade_config::parse;
use crossfade_journal::{Journal, KeyRef, Reason};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{
    BackfillReport, Direction, Engine, Error, Gates, Settings, Stores, VerifyOptions, VerifyReport,
};
use crossfade_store::{TableId, postgres::PostgresStore, resolve};
use crossfade_tests::Stores as Databases;
use crossfade_toggle::{Epoch, Snapshot, Toggle};
use tempfile::TempDir;

/// Keys of two columns, one of them text; a number that gets wider; every kind of value whose text depends on the session.
pub(crate) const OLD: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    region text NOT NULL, id int NOT NULL, customer int NOT NULL REFERENCES customers,
    total numeric(12,2) NOT NULL, ratio float8, seen timestamptz, raw bytea, tags jsonb, note text,
    version bigint NOT NULL DEFAULT 1, PRIMARY KEY (region, id)
);";
pub(crate) const NEW: &str = "
CREATE SCHEMA app;
CREATE TABLE app.clients (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE app.orders (
    region text NOT NULL, id bigint NOT NULL, client bigint NOT NULL REFERENCES app.clients,
    amount numeric(14,4) NOT NULL, ratio float8, seen timestamptz, raw bytea, tags jsonb, note varchar(20),
    version bigint NOT NULL DEFAULT 1, PRIMARY KEY (region, id)
);";
const TABLES: &str = "
[toggle.shop]
phase = \"use-old\"
[toggle.shop.table.customers]
target = \"app.clients\"
[toggle.shop.table.orders]
target = \"app.orders\"
version = \"version\"
column.customer = \"client\"
column.total = { to = \"amount\", type = \"numeric(14,4)\" }
";

pub(crate) struct Pair {
    pub(crate) databases: Databases,
    pub(crate) engine: Engine,
    pub(crate) journal: Journal,
    _dir: TempDir,
}

impl Pair {
    pub(crate) async fn new(phase: Phase) -> Pair {
        Pair::of(phase, OLD, NEW, TABLES).await
    }

    /// With these tables in the two stores, and this mapping.
    pub(crate) async fn of(phase: Phase, old: &str, new: &str, tables: &str) -> Pair {
        let databases = Databases::create_with(old, new).await;
        let url = |of: &crossfade_tests::Endpoint| format!("{}?sslmode=disable", of.url());
        let (old, new) = (url(databases.old.own()), url(databases.new.own()));
        let text = format!(
            "listen = \"127.0.0.1:6432\"\nstate_dir = \"state\"\n[old]\nurl = \"{old}\"\n[new]\nurl = \"{new}\"\n{tables}"
        );
        let config = parse(&text, "crossfade.toml", &|_| None, ".")
            .unwrap()
            .config;
        let old = Arc::new(PostgresStore::new(config.old.clone(), Side::Old));
        let new = Arc::new(PostgresStore::new(config.new.clone(), Side::New));
        let mapping = Arc::new(resolve(&config, &*old, Some(&*new)).await.unwrap());
        let toggle = Toggle::new(
            "shop",
            Snapshot {
                epoch: Epoch::FIRST,
                phase,
            },
            phase,
        );
        let gates: Arc<dyn Gates> =
            Arc::new(BTreeMap::from([("shop".to_owned(), Arc::new(toggle))]));
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let settings = Settings {
            chunk_rows: 100,
            ..Settings::from(&config.reconcile)
        };
        let engine = Engine::new(
            Stores { old, new },
            mapping,
            Arc::new(journal.clone()),
            gates,
            settings,
        );
        Pair {
            databases,
            engine,
            journal,
            _dir: dir,
        }
    }

    pub(crate) fn table(&self, name: &str) -> TableId {
        self.engine.table(name).unwrap()
    }

    pub(crate) async fn backfill(
        &self,
        name: &str,
        direction: Direction,
    ) -> Result<BackfillReport, Error> {
        self.engine
            .backfill(self.table(name), direction, Arc::new(|_| {}))
            .await
    }

    pub(crate) async fn verify(
        &self,
        name: &str,
        direction: Direction,
        repair: bool,
    ) -> VerifyReport {
        let options = VerifyOptions {
            repair,
            ..VerifyOptions::default()
        };
        self.engine
            .verify(self.table(name), direction, options, Arc::new(|_| {}))
            .await
            .unwrap()
    }

    /// `orders` rows, and a customer for every ten.
    pub(crate) async fn fill(&self, orders: u32) {
        let sql = format!(
            "INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(0, {orders} / 10) n;
             INSERT INTO orders SELECT CASE n % 3 WHEN 0 THEN 'eu' WHEN 1 THEN 'Ä' ELSE 'us' END, n, n / 10, n / 7.0, n / 3.0,
                timestamptz '2024-01-01' + n * interval '1.000001 s', decode(md5(n::text), 'hex'),
                jsonb_build_object('n', n, 'a', array[n, n]), CASE WHEN n % 5 > 0 THEN 'note ' || n END
             FROM generate_series(1, {orders}) n"
        );
        self.databases.old.run(&sql).await;
    }

    /// Writes `statement` to the old store and what it means to the new, in the order of the sandwich: the new store's part is staged
    /// before the old commits. `id` is the order's.
    pub(crate) async fn dual(&self, client: &mut Clients, id: u32, old: &str, new: &str) {
        let region = ["eu", "Ä", "us"][id as usize % 3];
        let parts = [
            Bytes::from_static(region.as_bytes()),
            Bytes::from(id.to_string()),
        ];
        let key = KeyRef {
            toggle: "shop",
            table: "public.orders",
            parts: &parts,
        };
        client
            .old
            .batch_execute(&format!("BEGIN; {old}"))
            .await
            .unwrap();
        let intent = self.journal.intend(Side::New, &[key]).await.unwrap();
        let staged = client
            .new
            .batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = '500ms'; {new}"))
            .await;
        client.old.batch_execute("COMMIT").await.unwrap();
        match staged {
            Ok(()) => {
                client.new.batch_execute("COMMIT").await.unwrap();
                intent.done();
            }
            Err(_) => {
                client.new.batch_execute("ROLLBACK").await.unwrap();
                intent.dirty(Reason::SecondaryFailed).await.unwrap();
            }
        }
    }

    pub(crate) async fn clients(&self) -> Clients {
        Clients {
            old: self.databases.old.own().connect().await,
            new: self.databases.new.own().connect().await,
        }
    }
}

/// A connection to each store.
pub(crate) struct Clients {
    old: tokio_postgres::Client,
    new: tokio_postgres::Client,
}
