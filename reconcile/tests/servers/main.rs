//! The reconciler between two real PostgreSQL servers.

mod copy;
mod differences;
mod pair;
