//! Harness of the end-to-end tests: real PostgreSQL servers, the real binary, and clients of every kind.
//!
//! A test usually takes a pair of databases on the two servers that the whole run shares ([`Stores::create`]), starts the
//! proxy in front of them ([`Proxy::start`]) and speaks to it through a driver ([`Endpoint::connect`]), through `psql`
//! ([`Endpoint::psql`]) or frame by frame ([`Wire`]). Whatever a test starts ends with it, also when it panics or is killed.

// A harness may panic: that is how a test fails.
#![allow(clippy::unwrap_used)]

pub mod compare;
mod config;
mod database;
mod endpoint;
mod eventually;
mod folders;
pub mod history;
mod identity;
mod mongo;
mod port;
mod postgres;
mod proxy;
mod shared;
mod stores;
mod traffic;
pub mod wire;

pub use config::{ConfigBuilder, InPrimary, journal_in_primary};
pub use database::Database;
pub use endpoint::{Account, Endpoint};
pub use eventually::{eventually, look_until, within};
pub use folders::Folder;
pub use history::{Findings, History};
pub use mongo::Mongod;
pub use port::Port;
pub use postgres::{Postgres, PostgresBuilder, Tls};
pub use proxy::{CliOutput, Metrics, Proxy, binary};
pub use stores::{SHOP, SHOP_TABLES, Stores};
pub use traffic::{Report, Traffic};
pub use wire::Wire;

pub(crate) use postgres::tail;
