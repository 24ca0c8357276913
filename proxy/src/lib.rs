//! The PostgreSQL front end: sessions, relay, statement analysis, dual writes, merged reads.
//!
//! Data runs one way: wire → session → statement facts → route (phase, facts → plan) → execute → store.

mod cancel;
pub mod errors;
pub mod listener;
mod login;
pub mod metrics;
mod patience;
mod pins;
mod relay;
mod route;
pub mod secondary;
mod session;
pub mod shapes;
pub mod shared;
pub mod sql;
mod unnamed;
pub mod wire;

pub use route::Lookup;
