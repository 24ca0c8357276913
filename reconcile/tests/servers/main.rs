//! The reconciler between two real PostgreSQL servers.

// A harness may panic: that is how a test fails.
#![allow(clippy::unwrap_used)]

mod copy;
mod differences;
mod documents;
mod exchange;
mod pair;
