//! PostgreSQL's SQL on MongoDB's documents.
//!
//! A statement goes one way: the grammar's tree is understood against the old store's catalog ([`bind`]), which refuses whatever cannot be answered exactly; what is left is a plan
//! ([`plan`], [`expr`]); its conditions go to MongoDB as far as they mean the same there ([`push`]); the rest is evaluated here, with PostgreSQL's own rules for types and values.
//! COPY has its data read and written in [`copy`]. Transactions are MongoDB's, begun anew where it ends them and nothing has changed ([`txn`]).

mod bind;
mod catalog;
mod codec;
mod copy;
mod engine;
mod eval;
mod exec;
mod expr;
mod fail;
mod plan;
mod push;
mod system;
mod txn;

pub use engine::{Documents, Served, SharedDocuments};
