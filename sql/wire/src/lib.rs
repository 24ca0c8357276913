//! A session of PostgreSQL's protocol, served by an engine that is no PostgreSQL server.
//!
//! A client of this server sees a PostgreSQL server: startup, authentication, the simple and the extended protocol, transactions, settings. The statements themselves are an
//! [`Engine`]'s.

mod auth;
mod engine;
mod interrupt;
mod io;
mod parse;
mod protocol;
mod questions;
mod raise;
mod report;
mod server;
mod session;
mod settings;
mod sink;
mod state;
mod statement;
mod text;
mod users;

pub use engine::{
    Begin, Column, CopyShape, Engine, EngineSession, Isolation, Prepared, Sink, Surroundings,
};
pub use server::{Config, Server};
pub use settings::milliseconds;
pub use users::{BadVerifier, Users};
