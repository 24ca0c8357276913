//! The PostgreSQL adapter.

mod adapter;
mod aliases;
mod backends;
mod catalog;
pub mod conn;
mod control;
mod counters;
mod findings;
mod horizon;
mod journal;
mod key_locks;
mod life;
mod lock;
mod pool;
mod read;
mod rows;
pub mod secondary;
mod sequences;
pub mod settings;
pub mod sql;
pub mod tls;
mod write;

pub use adapter::PostgresStore;
pub use control::PostgresControl;
pub use key_locks::{KEY_LOCKS, key_locks};
