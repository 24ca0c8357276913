//! The protocol as a state machine: every order of its steps, every crash, within small bounds.
//!
//! A test of the real thing meets the orders of events that somebody thought of, and those that chance brings. The model meets all of them: it is run by a model checker
//! (`stateright`, breadth first), which visits every state that two clients, two proxies, a reconciler and an operator can reach.
//!
//! - [`protocol`]: phases 2 to 5. The commit sandwich, repair, backfill, crashes, flips.
//! - [`control`]: how several proxies share the epoch, and how the record of it moves with the primary.
//! - [`copy_up`]: phases 6 and 7, where the old store is read-only and rows come over.
//!
//! # Faults
//!
//! A model that cannot fail proves nothing. Each cure of the protocol can be taken out ([`Faults`](protocol::Faults), [`control::Faults`], [`copy_up::Faults`]), and a test each
//! asserts that the checker then finds a counterexample.
//!
//! # What is left out
//!
//! Time: whatever has a timeout may fail at any moment instead. Values: a row is a number that says which write made it. Statements: a transaction writes one
//! row, whose image it knows. Groups (docs/decision/15): that a companion takes one's staged batch down is one of the ways in which step 4 fails. Which rows a read sees, and SQL.

mod check;
pub mod control;
pub mod copy_up;
pub mod protocol;

pub use check::{Counterexample, check, find, is_needed};

/// A row: 0 where there is none, else the write that made it.
pub type Row = u8;

/// No row.
pub const NONE: Row = 0;

/// The row that is there from the beginning.
pub const FIRST: Row = 1;
