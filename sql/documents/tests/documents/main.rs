//! SQL on documents, against a real MongoDB, with a real PostgreSQL's own answers beside it.

mod concurrency;
mod extended;
mod peer;
mod profile;
mod replay;
mod sessions;
mod world;
