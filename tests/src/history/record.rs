//! What the clients wrote down.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
};

/// One register as its client knows it. `None` is a register that is not there.
#[derive(Debug, Clone, Default)]
pub(super) struct Register {
    /// What was acknowledged or read last.
    pub(super) known: Option<i64>,
    /// Writes since then of which nobody knows whether they came about, oldest first.
    pub(super) open: Vec<Option<i64>>,
}

impl Register {
    pub(super) fn wrote(&mut self, value: Option<i64>) {
        // Whatever was open before held the row's lock before, or was never to come.
        self.open.clear();
        self.known = value;
    }

    /// Whether this may be read.
    pub(super) fn saw(&mut self, value: Option<i64>) -> bool {
        if value == self.known {
            return true;
        }
        match self.open.iter().rposition(|open| *open == value) {
            Some(at) => {
                self.open.drain(..=at);
                self.known = value;
                true
            }
            None => false,
        }
    }
}

/// One list.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    /// Entries that are in it.
    pub(super) acknowledged: Vec<String>,
    /// Entries of which nobody knows.
    pub(super) open: Vec<String>,
    /// All contents that were read.
    pub(super) reads: Vec<String>,
}

/// What the clients share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) run: u64,
    pub(super) stop: AtomicBool,
    pub(super) acknowledged: AtomicU64,
    pub(super) unknown: AtomicU64,
    /// Appends, which decide about the list that is written.
    pub(super) appends: AtomicU64,
    record: Mutex<Record>,
}

/// The record.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) registers: BTreeMap<String, Register>,
    pub(super) lists: BTreeMap<String, List>,
    /// Answers that cannot be.
    pub(super) wrong: Vec<String>,
    /// Refusals, by code.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Shared {
    pub(super) fn new(run: u64) -> Shared {
        Shared {
            run,
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            appends: AtomicU64::new(0),
            record: Mutex::default(),
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wrong(&self, what: String) {
        self.record().wrong.push(what);
    }
}
