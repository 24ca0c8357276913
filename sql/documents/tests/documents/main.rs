//! SQL on documents, against a real MongoDB, with a real PostgreSQL's own answers beside it.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod concurrency;
mod extended;
mod held;
mod opaque;
mod peer;
mod profile;
mod random;
mod replay;
mod script;
mod world;
