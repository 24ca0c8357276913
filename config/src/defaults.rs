//! The value of every setting that the file leaves out, each with its reason.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::{Control, JournalPlace, OnSecondaryError, StoreKind, TlsMode};

/// PostgreSQL front end: loopback, because a first run must not open a port to the network by itself; 6432 is the
/// port that poolers use, so firewalls and people know it.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6432);

/// Admin port: loopback, because it shows table names and phases; the port next to the front end's.
pub const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6433);

/// Journal, phases, checkpoints: beside the configuration file, so that a first run needs no rights elsewhere.
pub const STATE_DIR: &str = "crossfade-state";

/// The proxy's own disk: it costs the primary nothing, and needs no rights there.
pub const JOURNAL: JournalPlace = JournalPlace::StateDir;

/// A first run has one proxy, and asks for no right to create a table.
pub const CONTROL: Control = Control::StateDir;

/// What a proxy is called whose file does not say: the machine and the port, which are different for any two.
#[must_use]
pub fn proxy(listen: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => listen.to_string(),
        host => format!("{host}:{}", listen.port()),
    }
}

/// The word that means "one relay thread a core": each core then serves its own sessions without sharing.
pub const WORKERS: &str = "auto";

/// TLS towards clients, once it is configured, is an offer: clients that come without it today go on working.
pub const TLS_REQUIRED: bool = false;

/// PostgreSQL's own default schema.
pub const SCHEMA: &str = "public";

/// As many secondary transactions at once as a small server takes without its `max_connections` (100) being felt.
pub const POOL_SIZE: usize = 16;

/// Longer than a cross-region handshake with TLS, shorter than a client's own patience.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The default of libpq, which most URLs were written for.
pub const TLS_MODE: TlsMode = TlsMode::Prefer;

/// The default of MongoDB's drivers, which most of its URLs were written for.
pub const MONGO_TLS_MODE: TlsMode = TlsMode::Disable;

/// A healthy store commits in milliseconds; a second is the most that a client should wait for a store whose answer
/// does not decide.
pub const SECONDARY_TIMEOUT: Duration = Duration::from_secs(1);

/// The promise of the product: a sick secondary does not disturb clients, its keys are remembered and repaired.
pub const ON_SECONDARY_ERROR: OnSecondaryError = OnSecondaryError::Journal;

/// Room for some hundred thousand ordinary rows, and small beside a server's memory even in several sessions at once.
pub const MAX_TRANSACTION_BYTES: usize = 64 << 20;

/// One failure may be the row's fault, five in a row are the store's.
pub const BREAKER_FAILURES: u32 = 5;

/// Often enough to be back within a second of the store, seldom enough to be no load on it.
pub const BREAKER_RETRY: Duration = Duration::from_secs(1);

/// Clients held back for longer begin to run into their own timeouts.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Long enough to see each common query compared; production migrations set hours or days.
pub const MISMATCH_WINDOW: Duration = Duration::from_secs(60);

/// Some megabytes of ordinary rows: large enough for COPY's speed, small enough to be repeated after a crash.
pub const CHUNK_ROWS: u32 = 10_000;

/// Enough that one chunk is read while others are written; each costs a connection in both stores.
pub const RECONCILE_WORKERS: usize = 4;

/// No limit: the brake reacts to the stores, a number could only guess at them.
pub const MAX_ROWS_PER_S: Option<u32> = None;

/// An order of magnitude above a healthy point read; slower than this, clients notice.
pub const BRAKE_LATENCY: Duration = Duration::from_millis(50);

/// PostgreSQL's own limit is 100 by default, poolers' 1000: the old server refuses first, with its own words.
pub const MAX_CONNECTIONS: usize = 1_000;

/// PostgreSQL's own `authentication_timeout`.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// The port of a store whose URL names none.
#[must_use]
pub fn port(kind: StoreKind) -> u16 {
    match kind {
        StoreKind::Postgres => 5432,
        StoreKind::Mongo => 27017,
        StoreKind::MySql => 3306,
    }
}

/// One thread for two cores, and at least one (docs/decision/13).
#[must_use]
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}
