//! SQL on documents: where the new store is MongoDB, a server of PostgreSQL's protocol within this process.

use std::{collections::BTreeMap, sync::Arc};

use crossfade_config::{Config, StoreKind};
use crossfade_documents::{Documents, SharedDocuments};
use crossfade_phase::Side;
use crossfade_proxy::shapes::Judge;
use crossfade_sql_wire::{Config as ServerConfig, Server, Users};
use crossfade_store::{
    Mapping,
    mongo::MongoStore,
    postgres::conn::{Endpoint, LocalServer},
};
use tokio::io::DuplexStream;

/// The engine and its server.
#[derive(Debug, Clone)]
pub(crate) struct DocumentFront {
    documents: Arc<Documents>,
    server: Arc<Server>,
}

/// The server as the sessions reach it.
#[derive(Debug)]
struct Local(Arc<Server>);

impl LocalServer for Local {
    fn connect(&self, trusted: bool) -> DuplexStream {
        self.0.connect(trusted)
    }
}

/// The server as it judges statements.
#[derive(Debug)]
struct Asked(Arc<Server>);

impl Judge for Asked {
    fn refuses(&self, sql: &str) -> Option<String> {
        self.0.refuses(sql)
    }
}

impl DocumentFront {
    /// For a file whose new store is MongoDB.
    pub(super) fn of(config: &Config, mapping: &Mapping) -> Option<DocumentFront> {
        if config.new.url.kind != StoreKind::Mongo {
            return None;
        }
        let store = MongoStore::for_sessions(config.new.clone(), Side::New);
        let documents = Arc::new(Documents::new(store, mapping));
        let engine = Arc::new(SharedDocuments(documents.clone()));
        let server = Server::new(engine, server_config(config, mapping));
        Some(DocumentFront { documents, server })
    }

    /// How sessions reach it.
    pub(super) fn endpoint(&self, config: &Config) -> Endpoint {
        let mut seen = config.new.clone();
        // To SQL it is the old database, and the account that of the old store.
        seen.url.database.clone_from(&config.old.url.database);
        seen.url.user.clone_from(&config.old.url.user);
        Endpoint::local(seen, Arc::new(Local(self.server.clone())))
    }

    /// Statements that are prepared from now on, and sessions that begin, go by this mapping and file.
    pub(crate) fn renew(&self, config: &Config, mapping: &Mapping) {
        self.documents.put_mapping(mapping);
        self.server.reconfigure(server_config(config, mapping));
    }

    /// Tells which statements it would serve.
    pub(crate) fn judge(&self) -> Box<dyn Judge> {
        Box::new(Asked(self.server.clone()))
    }
}

/// The server says of itself what the old one said.
fn server_config(config: &Config, mapping: &Mapping) -> ServerConfig {
    let server = mapping
        .tables
        .first()
        .map(|table| table.old.server.clone())
        .unwrap_or_default();
    let mut schemas: BTreeMap<String, ()> = mapping
        .tables
        .iter()
        .map(|table| (table.old.name.schema.clone(), ()))
        .collect();
    schemas.insert("public".to_owned(), ());
    ServerConfig {
        server_version: server.version_text,
        server_version_num: server.version,
        schemas: schemas.into_keys().collect(),
        settings: server.settings.into_iter().collect(),
        users: users(config),
    }
}

/// Who may log in; without a list, or with one of nobody, only the proxy itself.
fn users(config: &Config) -> Option<Users> {
    let list = config
        .users
        .as_ref()
        .filter(|list| !list.users.is_empty())?;
    let users = list
        .users
        .iter()
        .map(|user| (user.name.clone(), user.verifier.clone()));
    match Users::new(users) {
        Ok(users) => Some(users),
        // The file's reader takes no such line.
        Err(error) => {
            tracing::error!(%error, "the list of users cannot be used; nobody is let in by it");
            None
        }
    }
}
