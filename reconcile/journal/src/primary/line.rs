//! What is kept in a primary.

use std::sync::Arc;

/// A change of the rows that a primary keeps for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The key is dirty; in the place of an older mark of the same owner.
    Dirty(DirtyLine),
    /// The owner's mark is gone, unless it is of a later generation.
    Clean {
        /// Whose mark.
        owner: u64,
        /// The table's name.
        table: Arc<str>,
        /// The packed key.
        key: Vec<u8>,
        /// The last generation that goes.
        generation: u64,
    },
    /// The intent is closed.
    Closed {
        /// Whose intent.
        owner: u64,
        /// Its number among the owner's.
        id: u64,
    },
}

/// A dirty key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyLine {
    /// Whose mark.
    pub owner: u64,
    /// The toggle.
    pub toggle: Arc<str>,
    /// The table's name in the old store.
    pub table: Arc<str>,
    /// The packed key.
    pub key: Vec<u8>,
    /// Which mark of the owner's.
    pub generation: u64,
    /// Why, as a number ([`crate::Reason`]).
    pub reason: u8,
    /// Where it is suspected, as a number ([`crate::Stale`]).
    pub stale: u8,
    /// When it became dirty, in Unix seconds. For display only (trap 44).
    pub since_s: u32,
}

/// An intent, as the transaction that it is about inserts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentRow {
    /// Whose intent.
    pub owner: u64,
    /// Its number among the owner's.
    pub id: u64,
    /// The store that is written second, and the keys.
    pub body: Vec<u8>,
}
