//! PostgreSQL's types, values, operators and functions, evaluated without a PostgreSQL server.
//!
//! The rule of the whole crate: what is answered is what PostgreSQL would answer, byte for byte, or it is an [`Error`] of SQLSTATE 0A000. Nothing is
//! approximated. `docs/documents.md` has the lists for operators.
//!
//! Knows no SQL text and no store: the engine parses, finds out what is meant by [`resolve`], and evaluates with what it got.

mod catalog;
mod datetime;
mod error;
mod functions;
mod json;
mod session;
mod types;
mod value;

pub mod aggregate;
pub mod cast;
pub mod format;
pub mod numeric;
pub mod order;
pub mod resolve;

pub use catalog::{BuiltInType, built_in_types};
pub use error::{Context, Error, Named, Result};
pub use session::Session;
pub use types::{Enum, Oid, Type, Types, oid};
pub use value::{Array, Interval, Json, Value};
