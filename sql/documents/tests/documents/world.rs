//! A PostgreSQL with a schema, and documents that stand for its tables.

use std::{collections::BTreeMap, sync::Arc};

use crossfade_config::parse;
use crossfade_documents::{Documents, SharedDocuments};
use crossfade_phase::Side;
use crossfade_sql_wire::{Config, Server};
use crossfade_store::{Store as _, mongo::MongoStore, postgres::PostgresStore, resolve};
use crossfade_tests::{Endpoint, Mongod, Stores};
use tokio::{io::DuplexStream, net::TcpStream};
use tokio_postgres::{Client, NoTls};

use crate::peer::Peer;

/// The tables of every test.
pub(crate) const SCHEMA: &str = include_str!("../sql/schema.sql");

/// One of each.
pub(crate) struct World {
    stores: Stores,
    pub(crate) server: Arc<Server>,
    pub(crate) engine: Arc<Documents>,
    /// Names of types and tables by their OIDs in this PostgreSQL.
    pub(crate) names: Arc<BTreeMap<u32, String>>,
    /// Name of the database in MongoDB.
    pub(crate) database: String,
}

impl World {
    /// With the tables of `SCHEMA`.
    pub(crate) async fn new(mongod: &Mongod) -> World {
        World::of(mongod, SCHEMA, "").await
    }

    /// With these tables; `mapping` is TOML of tables that are mapped otherwise than by their names.
    pub(crate) async fn of(mongod: &Mongod, schema: &str, mapping: &str) -> World {
        let stores = Stores::create_with(schema, "").await;
        let own = stores.old.own();
        let database = format!("d_{}", own.database);
        let tables = stores
            .old
            .rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname")
            .await;
        let tables = tables.into_iter().filter_map(|mut row| row.remove(0));
        let sections: String = tables
            .filter(|table| !mapping.contains(&format!("table.{table}]")))
            .map(|table| format!("[toggle.t.table.{table}]\n"))
            .collect();
        let text = format!(
            "listen = \"127.0.0.1:6432\"\nstate_dir = \"state\"\n[old]\nurl = \"{}?sslmode=disable\"\n[new]\nurl = \"{}\"\n[toggle.t]\nphase = \"use-old\"\n{sections}{mapping}",
            own.url(),
            mongod.url(&database)
        );
        let config = parse(&text, "crossfade.toml", &|_| None, ".")
            .unwrap()
            .config;
        let old = PostgresStore::new(config.old.clone(), Side::Old);
        let new = MongoStore::new(config.new.clone(), Side::New);
        let mapping = resolve(&config, &old, Some(&new)).await.unwrap();
        for table in &mapping.tables {
            let mut positions = old.sequence_positions(table).await.unwrap();
            for column in &table.columns {
                if let Some(facts) = column.old.sequence_facts {
                    positions
                        .entry(column.old.name.clone())
                        .or_insert(facts.start - facts.increment);
                }
            }
            new.advance_sequences(table, &positions).await.unwrap();
            new.ensure_unique(table).await.unwrap();
        }
        let names = names(&stores).await;
        let engine = Arc::new(Documents::new(new, &mapping));
        let server = Server::new(
            Arc::new(SharedDocuments(engine.clone())),
            server_config(&stores).await,
        );
        World {
            stores,
            server,
            engine,
            names: Arc::new(names),
            database,
        }
    }

    /// PostgreSQL itself.
    pub(crate) fn postgres(&self) -> Endpoint {
        self.stores.old.direct()
    }

    /// A session on PostgreSQL, message by message.
    pub(crate) async fn on_postgres(&self) -> Peer<TcpStream> {
        let stream = TcpStream::connect(self.stores.old.addr()).await.unwrap();
        Peer::start(stream, "app", self.stores.old.name(), self.names.clone()).await
    }

    /// A session on documents, message by message.
    pub(crate) async fn on_documents(&self) -> Peer<DuplexStream> {
        Peer::start(
            self.server.connect(true),
            "app",
            self.stores.old.name(),
            self.names.clone(),
        )
        .await
    }

    /// A session on documents through the driver.
    pub(crate) async fn driver(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.user("app").dbname(self.stores.old.name());
        let (client, connection) = config
            .connect_raw(self.server.connect(true), NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }
}

async fn names(stores: &Stores) -> BTreeMap<u32, String> {
    let types = stores
        .old
        .rows("SELECT oid, typname FROM pg_type WHERE oid < 16384 OR typtype <> 'c'")
        .await;
    let tables = stores
        .old
        .rows("SELECT oid, relname FROM pg_class WHERE oid >= 16384 AND relkind = 'r'")
        .await;
    let named = types.into_iter().chain(tables).map(|row| {
        let oid = row[0].as_deref().unwrap().parse().unwrap();
        (oid, row[1].clone().unwrap())
    });
    named.collect()
}

async fn server_config(stores: &Stores) -> Config {
    let show = async |name: &str| stores.old.value(&format!("SHOW {name}")).await;
    Config {
        server_version: show("server_version").await,
        server_version_num: show("server_version_num").await.parse().unwrap(),
        schemas: vec!["public".to_owned()],
        settings: vec![("TimeZone".to_owned(), show("TimeZone").await)],
        users: None,
    }
}
