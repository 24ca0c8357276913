//! A PostgreSQL server for the tests of this folder, and pairs of databases in it.

mod server;

use std::sync::Arc;

use crossfade_config::{Config, parse};
use crossfade_phase::Side;
use crossfade_store::{
    Finding, Form, KeyRange, Mapping, MappingMistake, ResolveError, Row, Store, TableMap,
    postgres::PostgresStore, resolve,
};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Two databases of one server as the two stores.
pub(crate) struct Pair {
    name: String,
    pub(crate) config: Config,
    pub(crate) old: PostgresStore,
    pub(crate) new: PostgresStore,
}

/// Settings of a database that would change the text of nearly everything.
pub(crate) const HOSTILE: &str = "DateStyle = 'SQL, DMY'; IntervalStyle = 'sql_standard'; TimeZone = 'Asia/Kathmandu'; extra_float_digits = -5; \
    bytea_output = 'escape'; xmloption = 'document'; search_path = 'hostile'";

impl Pair {
    /// Creates both databases, `settings` (parted by `;`) set for the old one, and runs their schemas. `tables` is what the file says of the tables of
    /// toggle `t`.
    pub(crate) async fn new(
        name: &str,
        settings: &str,
        old: &str,
        new: &str,
        tables: &str,
    ) -> Pair {
        Pair::with_databases(name, ["", ""], settings, [old, new], tables).await
    }

    /// As [`Pair::new`], with further words for CREATE DATABASE.
    pub(crate) async fn with_databases(
        name: &str,
        create: [&str; 2],
        settings: &str,
        schemas: [&str; 2],
        tables: &str,
    ) -> Pair {
        for (side, create, schema) in [
            ("old", create[0], schemas[0]),
            ("new", create[1], schemas[1]),
        ] {
            let database = format!("{name}_{side}");
            run(
                "postgres",
                &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            )
            .await;
            run("postgres", &format!("CREATE DATABASE {database} {create}")).await;
            run(&database, schema).await;
            for setting in settings
                .split(';')
                .filter(|setting| side == "old" && !setting.trim().is_empty())
            {
                run(
                    "postgres",
                    &format!("ALTER DATABASE {database} SET {setting}"),
                )
                .await;
            }
        }
        let config = config(name, "postgres", tables);
        Pair {
            name: name.to_owned(),
            old: PostgresStore::new(config.old.clone(), Side::Old),
            new: PostgresStore::new(config.new.clone(), Side::New),
            config,
        }
    }

    /// The same databases through another account.
    pub(crate) fn with_account(&self, account: &str, tables: &str) -> Pair {
        let config = config(&self.name, account, tables);
        Pair {
            name: self.name.clone(),
            old: PostgresStore::new(config.old.clone(), Side::Old),
            new: PostgresStore::new(config.new.clone(), Side::New),
            config,
        }
    }

    pub(crate) async fn mapping(&self) -> Arc<Mapping> {
        Arc::new(
            resolve(&self.config, &self.old, Some(&self.new))
                .await
                .expect("the mapping fits"),
        )
    }

    pub(crate) async fn mistakes(&self) -> Vec<MappingMistake> {
        match resolve(&self.config, &self.old, Some(&self.new)).await {
            Err(ResolveError::Mistakes(mistakes)) => mistakes,
            other => panic!("mistakes expected, not {other:?}"),
        }
    }

    pub(crate) fn store(&self, side: Side) -> &PostgresStore {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// Runs statements in one of the databases, in a session of their own.
    pub(crate) async fn run(&self, side: Side, sql: &str) {
        run(&format!("{}_{side}", self.name), sql).await;
    }

    /// The first column of a question's answer, under settings that lose nothing.
    pub(crate) async fn ask(&self, side: Side, sql: &str) -> Vec<Option<String>> {
        let client = connect(&format!("{}_{side}", self.name)).await;
        let pinned = "SET DateStyle = ISO; SET TimeZone = UTC; SET extra_float_digits = 3; SET bytea_output = hex; SET IntervalStyle = postgres; \
            SET search_path = public, app";
        client.batch_execute(pinned).await.expect("settings");
        let answers = client
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{error:?}: {sql}"));
        let rows = answers.into_iter().filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
            _ => None,
        });
        rows.collect()
    }

    /// A session of an application, with the settings that its database has.
    pub(crate) async fn session(&self, side: Side) -> Client {
        connect(&format!("{}_{side}", self.name)).await
    }

    /// Every row of one store.
    pub(crate) async fn all(&self, side: Side, table: &TableMap, form: Form) -> Vec<Row> {
        self.store(side)
            .scan(table, &KeyRange::default(), 10_000, form)
            .await
            .expect("a scan")
    }

    /// Whether both stores hold the same, by their digests and by every row.
    pub(crate) async fn assert_alike(&self, table: &TableMap) {
        let whole = KeyRange::default();
        assert_eq!(
            self.all(Side::Old, table, Form::Comparable).await,
            self.all(Side::New, table, Form::Comparable).await
        );
        let (old, new) = (
            self.old.digest(table, &whole).await.expect("a digest"),
            self.new.digest(table, &whole).await.expect("a digest"),
        );
        assert_eq!(old, new);
    }

    /// Findings of both stores about every table.
    pub(crate) async fn findings(&self, mapping: &Mapping) -> Vec<(Side, Finding)> {
        let mut all = Vec::new();
        for side in [Side::Old, Side::New] {
            for table in &mapping.tables {
                let found = self
                    .store(side)
                    .findings(table, mapping)
                    .await
                    .expect("findings");
                all.extend(found.into_iter().map(|finding| (side, finding)));
            }
        }
        all
    }
}

fn config(name: &str, account: &str, tables: &str) -> Config {
    let port = server::port();
    let url =
        |side: &str| format!("postgres://{account}@127.0.0.1:{port}/{name}_{side}?sslmode=disable");
    let text = format!(
        "listen = \"127.0.0.1:6432\"\nstate_dir = \"state\"\n[old]\nurl = \"{}\"\n[new]\nurl = \"{}\"\n[toggle.t]\nphase = \"use-old\"\n{tables}",
        url("old"),
        url("new")
    );
    parse(&text, "crossfade.toml", &|_| None, ".")
        .unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
        .config
}

async fn connect(database: &str) -> Client {
    let address = format!(
        "host=127.0.0.1 port={} user=postgres dbname={database}",
        server::port()
    );
    let (client, connection) = tokio_postgres::connect(&address, NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    client
}

async fn run(database: &str, sql: &str) {
    connect(database)
        .await
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{error:?}: {sql}"));
}
