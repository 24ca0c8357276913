//! Throwaway PostgreSQL servers.

mod binaries;
mod server;
mod settings;
mod template;

pub use server::{Postgres, PostgresBuilder, Tls};

pub(crate) use binaries::{Release, program};
pub(crate) use server::{answers, kill, tail};
pub(crate) use template::Template;
