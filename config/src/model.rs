//! The configuration as meant: every value checked, every default filled in.

use crate::users::User;
use crossfade_phase::Phase;
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// A whole configuration file, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address of the PostgreSQL front end.
    pub listen: SocketAddr,
    /// Address of the HTTP admin port; `None` switches it off.
    pub admin: Option<SocketAddr>,
    /// Folder of the journal, the effective phases and the checkpoints.
    pub state_dir: PathBuf,
    /// Where intents and dirty keys are kept.
    pub journal: JournalPlace,
    /// Who decides in which phase a toggle is.
    pub control: Control,
    /// What this proxy is called where there are several.
    pub proxy: String,
    /// Relay threads, each with its own listener and sessions.
    pub workers: usize,
    /// Certificate shown to clients; `None` answers `SSLRequest` with `N`.
    pub tls: Option<ServerTls>,
    /// The store the application comes from.
    pub old: StoreConfig,
    /// The store the application moves to.
    pub new: StoreConfig,
    /// How writes in the dual phases behave.
    pub writes: WriteSettings,
    /// How flips behave.
    pub flips: FlipSettings,
    /// How the reconciler behaves.
    pub reconcile: ReconcileSettings,
    /// Limits towards clients.
    pub clients: ClientSettings,
    /// Who may log in where no server passes authentication through; `None` without a list.
    pub users: Option<UserList>,
    /// Toggles by name.
    pub toggles: BTreeMap<String, ToggleConfig>,
}

/// Where the phases of a migration are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// In this proxy's own `state_dir`: it is the only one.
    StateDir,
    /// In the database that is the primary: any number of proxies share them.
    Database,
}

/// Certificate and key for TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// Refuse clients that do not ask for TLS.
    pub required: bool,
}

/// One store and the proxy's own account in it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreConfig {
    /// Where the store is and who we are there.
    pub url: StoreUrl,
    /// Default schema of mapped tables in this store.
    pub schema: String,
    /// Connections of the proxy's own account kept for secondary writes.
    pub pool_size: usize,
    /// How long one connection attempt may take.
    pub connect_timeout: Duration,
}

/// Kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// PostgreSQL 12 or later.
    Postgres,
    /// MongoDB 6 or later.
    Mongo,
    /// MySQL or MariaDB.
    MySql,
}

/// A parsed store URL. `Display` and `Debug` never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// Kind of store, from the scheme.
    pub kind: StoreKind,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User of the proxy's own account.
    pub user: String,
    /// Password, from the URL or `password_file`.
    pub password: Option<String>,
    /// Database name.
    pub database: String,
    /// TLS towards the store.
    pub tls: TlsMode,
    /// PEM file with the trusted roots; `None` uses the public web roots.
    pub root_cert: Option<PathBuf>,
    /// Further query parameters, as typed.
    pub params: BTreeMap<String, String>,
}

/// How a connection to a store uses TLS (the names of libpq's `sslmode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; the certificate must come from a trusted root.
    VerifyCa,
    /// Always; the certificate must come from a trusted root and name the host.
    VerifyFull,
}

impl StoreUrl {
    /// Whether both lead to one database of one server, as far as the text tells: two names of one host other than
    /// `localhost` are not recognised, the preflight asks the servers. In MySQL every schema is a database, so the
    /// server decides alone.
    #[must_use]
    pub fn same_database(&self, other: &StoreUrl) -> bool {
        let host = |url: &StoreUrl| match url.host.to_ascii_lowercase().as_str() {
            "localhost" | "127.0.0.1" | "::1" => "localhost".to_owned(),
            host => host.to_owned(),
        };
        let database = self.kind == StoreKind::MySql || self.database == other.database;
        self.kind == other.kind && host(self) == host(other) && self.port == other.port && database
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            StoreKind::Postgres => "postgres",
            StoreKind::Mongo => "mongodb",
            StoreKind::MySql => "mysql",
        };
        write!(f, "{scheme}://")?;
        if !self.user.is_empty() {
            write!(f, "{}@", self.user)?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}/{}", self.host, self.port, self.database)
        } else {
            write!(f, "{}:{}/{}", self.host, self.port, self.database)
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// Where the journal keeps intents and dirty keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalPlace {
    /// In `state_dir`, on the proxy's own disk.
    StateDir,
    /// In the primary, an intent in the transaction of the write itself.
    Primary,
}

/// What a client sees when the secondary cannot take a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSecondaryError {
    /// The key goes into the journal, the client's write succeeds.
    Journal,
    /// The client's transaction is rolled back and the client gets the error.
    Fail,
}

/// Settings of the write path.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteSettings {
    /// Longest wait for the secondary before its part of a transaction is given up to the journal.
    pub secondary_timeout: Duration,
    /// What happens when the secondary fails.
    pub on_secondary_error: OnSecondaryError,
    /// Most bytes of row images one transaction may hold in memory.
    pub max_transaction_bytes: usize,
    /// Consecutive secondary failures that open the circuit breaker.
    pub breaker_failures: u32,
    /// Time between two trials of an open breaker.
    pub breaker_retry: Duration,
}

/// Settings of the toggle.
#[derive(Debug, Clone, PartialEq)]
pub struct FlipSettings {
    /// Longest time a flip between primaries may hold new transactions back.
    pub drain_timeout: Duration,
    /// Time in phase 4 without a mismatch that 4 → 5 asks for.
    pub mismatch_window: Duration,
}

/// Settings of the reconciler.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconcileSettings {
    /// Rows of one backfill or verify chunk.
    pub chunk_rows: u32,
    /// Chunks in flight at once.
    pub workers: usize,
    /// Most rows a second a backfill copies; `None` is as fast as the brake allows.
    pub max_rows_per_s: Option<u32>,
    /// Store latency above which a backfill slows down.
    pub brake_latency: Duration,
}

/// Settings of the front end.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientSettings {
    /// Most client connections at once.
    pub max_connections: usize,
    /// Longest a client may take from connect to the end of authentication.
    pub login_timeout: Duration,
}

/// The users of a document store, whose server passes no authentication through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserList {
    /// The file that lists them.
    pub file: PathBuf,
    /// What it lists; nobody where the file is not there yet.
    pub users: Vec<User>,
}

/// One toggle: tables that move together.
#[derive(Debug, Clone, PartialEq)]
pub struct ToggleConfig {
    /// The wanted phase. The effective one is durable state, not configuration.
    pub phase: Phase,
    /// Mapped tables, by the name of the old table.
    pub tables: Vec<TableConfig>,
}

/// A schema and a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QualifiedName {
    /// Schema (a database in MySQL; empty in MongoDB).
    pub schema: String,
    /// Table or collection.
    pub name: String,
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The mapping of one table, as typed; the catalogs of both stores complete it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableConfig {
    /// Table in the old store.
    pub old: QualifiedName,
    /// Table or collection in the new store.
    pub new: QualifiedName,
    /// Key columns by their old names; `None` means the old table's primary key.
    pub key: Option<Vec<String>>,
    /// Version column by its old name; `None` means that rows never change once written.
    pub version: Option<String>,
    /// Columns that are not carried under their own name and type, by old name.
    pub columns: BTreeMap<String, ColumnConfig>,
    /// Preflight findings the operator has seen and accepts: names of triggers and cascading constraints.
    pub acknowledge: Vec<String>,
}

/// What happens to one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnConfig {
    /// Carried, perhaps under another name or as another type.
    Carry {
        /// Name in the new store.
        to: String,
        /// Type in the new store where it differs; used in preflight and for a document store.
        ty: Option<String>,
    },
    /// Not carried to the new store.
    Drop,
}
