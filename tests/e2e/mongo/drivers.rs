//! Drivers as people use them, in the last phase: MongoDB holds the data, and the old PostgreSQL is gone.
//!
//! Each of them also works in phase 2, where PostgreSQL answers: what it is told has to be the same.

mod psql;
mod rust;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crossfade_tests::{Account, ConfigBuilder, Database, Endpoint, Mongod, Postgres, Proxy};

use super::DATABASE;

/// A column of every usual type, each with a default of its own kind or none.
const SCHEMA: &str = "
CREATE TYPE mood AS ENUM ('sad', 'fine', 'happy');
CREATE TABLE things (
    id bigserial PRIMARY KEY,
    code varchar(20) NOT NULL,
    flag boolean, small smallint, whole integer, big bigint, single real, double double precision,
    price numeric(12,2), label text, raw bytea, token uuid,
    day date, clock time, moment timestamp, instant timestamptz, span interval,
    doc jsonb, numbers integer[], words text[], feeling mood,
    CONSTRAINT things_code_key UNIQUE (code)
);
CREATE TABLE counters (name text PRIMARY KEY, value bigint NOT NULL DEFAULT 0);
INSERT INTO things (code, whole, feeling, price, words)
    SELECT 'seed ' || n, n, 'fine', n, ARRAY['a', 'b ' || n] FROM generate_series(1, 50) n;
";

/// The steps after phase 3.
const WALK: [&str; 5] = [
    "dual-read",
    "new-primary",
    "new-writes",
    "backfill",
    "new-only",
];

/// An application in the middle of its migration, with an old server of its own.
struct Moving {
    proxy: Proxy,
    // In this order: a database is dropped before its server.
    database: Database,
    old: Postgres,
    _new: Mongod,
}

impl Moving {
    /// In phase 2.
    async fn start() -> Moving {
        let old = Postgres::start();
        let database = old.database("shop");
        database.run(SCHEMA).await;
        let new = Mongod::start().await;
        let config = ConfigBuilder::new(database.own(), database.own())
            .new_url(&new.url(DATABASE))
            .section("[flips]\nmismatch_window = \"0s\"")
            .section("[users]\nfile = \"users.txt\"")
            .toggle(
                "shop",
                "use-old",
                "[toggle.shop.table.things]\n[toggle.shop.table.counters]\n",
            );
        let proxy = Proxy::start(config).await;
        Moving {
            proxy,
            database,
            old,
            _new: new,
        }
    }

    /// Through the proxy, with a password that is checked by SCRAM.
    fn endpoint(&self) -> Endpoint {
        self.proxy.endpoint(&self.database).account(Account::Scram)
    }

    /// Walks to phase 3, with everything copied and the password known.
    async fn begin(&mut self) {
        let import = ["users", "import", "--role", Account::Scram.user()];
        self.proxy.cli(&import).expect(0);
        self.proxy.flip("dual-write").await;
        self.proxy.cli(&["backfill"]).expect(0);
        self.verify().await;
    }

    /// Walks to phase 8, and stops the old server.
    async fn finish(&mut self) {
        self.begin().await;
        self.proxy.walk(&WALK).await;
        self.old.stop();
    }

    async fn verify(&self) {
        self.proxy.drained().await;
        self.proxy.cli(&["verify"]).expect(0);
    }

    /// Runs a driver's script in one phase of each kind; it has to say that all was served.
    async fn script(
        program: &str,
        name: &str,
        library: (&str, &Path),
        target: fn(&Endpoint) -> String,
    ) {
        let mut moving = Moving::start().await;
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/drivers")
            .join(name);
        let run = |moving: &Moving, phase: &str| {
            let mut command = Command::new(program);
            let (variable, folder) = library;
            let command = command.env(variable, folder).arg(&script);
            let output = command.arg(target(&moving.endpoint())).output().unwrap();
            let told = said(&output, &format!("{name} in {phase}"));
            assert!(told.ends_with("all served\n"), "{phase}: {told}");
        };
        run(&moving, "use-old");
        moving.begin().await;
        for phase in WALK {
            moving.proxy.flip(phase).await;
            match phase {
                "dual-read" | "new-primary" => {
                    run(&moving, phase);
                    moving.verify().await;
                }
                "new-only" => {
                    moving.old.stop();
                    run(&moving, phase);
                }
                _ => {}
            }
        }
    }
}

/// Where scripts/setup puts what it fetches for the tests.
fn tools(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools")
        .join(name)
}

/// What a program printed, once it has succeeded.
fn said(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {text}{complaint}");
    text
}

#[tokio::test]
async fn python_psycopg() {
    let library = ("PYTHONPATH", &*tools("python"));
    Moving::script("python3", "psycopg3.py", library, |endpoint| {
        let Endpoint { addr, database, user, password } = endpoint;
        let (host, port) = (addr.ip(), addr.port());
        format!("host={host} port={port} dbname={database} user={user} password={password} sslmode=disable")
    })
    .await;
}

#[tokio::test]
async fn node_pg() {
    let library = ("NODE_PATH", &*tools("node_modules"));
    Moving::script("node", "pg.cjs", library, Endpoint::url).await;
}
