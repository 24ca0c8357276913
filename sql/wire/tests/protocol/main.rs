//! The protocol over in-memory streams, against an engine that knows half a dozen statements.
#![allow(clippy::unwrap_used, reason = "tests")]

mod drivers;
mod endpoint;
mod extended;
mod login;
mod peer;
mod proxy;
mod refusals;
mod settings;
mod simple;
mod sql_level;
mod stop;
mod toy;
mod transactions;
