//! MongoDB: a replica set, whose transactions carry whole batches, or a single server, which takes one document at a time.

mod adapter;
mod attended;
mod catalog;
mod conn;
mod control;
mod document;
mod engine;
mod findings;
mod given_up;
mod horizon;
mod journal;
mod left_behind;
mod lock;
mod read;
mod rights;
mod secondary;
mod sequences;
mod unique;
mod value;
mod write;

pub use adapter::MongoStore;
pub use control::MongoControl;
pub use engine::{Documents, Duplicate, Failed, Field};
pub use journal::INTENTS;
pub use sequences::{COUNTERS, VALUE, counter};
pub use value::{Inexact, Kind};
