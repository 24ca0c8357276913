//! A state of everything.

use crossfade_phase::{Phase, Side};

use super::{Bounds, Copies};
use crate::{FIRST, NONE, Row};

/// Rows of the table, at the most.
pub const KEYS: usize = 2;

/// Clients.
pub const CLIENTS: usize = 2;

/// All that the next step may depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The old store and the new.
    pub stores: [[Cell; KEYS]; 2],
    /// The open transaction of each client.
    pub open: [Option<Transaction>; CLIENTS],
    /// Transactions of connections that are gone, by client: they hold their locks, and may commit.
    pub vanishing: [Option<Vanishing>; CLIENTS],
    /// Batches that were given up and are still on their way, by client.
    pub late: [Option<(usize, Row)>; CLIENTS],
    /// The proxies.
    pub proxies: [Proxy; 2],
    /// The backfill, which runs in the first proxy.
    pub copying: Copying,
    /// The epoch that it is bound to.
    pub copying_in: u8,
    /// Whether the new store may miss writes that nobody marked, until it is verified.
    pub bypassed: bool,
    /// What the last write of each row left, by the word of the store that was the primary.
    pub truth: [Row; KEYS],
    /// Transactions that each client has left.
    pub writes_left: [u8; CLIENTS],
    /// Mishaps left.
    pub mishaps_left: u8,
    /// Flips left.
    pub flips_left: u8,
    /// A dirty key was repaired.
    pub has_repaired: bool,
}

/// A row of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cell {
    /// As committed.
    pub row: Row,
    /// As it would be after a crash of the store.
    pub flushed: Row,
    /// Who holds its lock.
    pub lock: Lock,
}

/// A lock on a row, or on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Nobody's.
    Free,
    /// A client's.
    Client(usize),
    /// Of a transaction whose connection is gone.
    Vanishing(usize),
    /// A repairer's.
    Repair(usize),
}

/// A client's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// What it is pinned to.
    pub epoch: u8,
    /// The phase of that epoch.
    pub phase: Phase,
    /// The row it writes.
    pub key: usize,
    /// The image.
    pub row: Row,
    /// Its part of the secondary.
    pub staged: Staged,
    /// Whether an intent is open.
    pub intent: bool,
    /// Whether the primary has committed. Then its client was told.
    pub committed: bool,
}

/// What the secondary has of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Staged {
    /// Nothing yet.
    NotYet,
    /// The batch, under its lock.
    Held,
    /// The batch, whose commit changes nothing: it deletes what is not there, or is written already.
    Blind,
    /// Nothing, for good.
    Failed,
}

/// A transaction whose connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vanishing {
    /// The store.
    pub side: Side,
    /// The row it writes.
    pub key: usize,
    /// The image.
    pub row: Row,
    /// The epoch it began in.
    pub epoch: u8,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Its journal's dirty keys.
    pub marks: [Mark; KEYS],
    /// Its journal's intents that the secondary has committed and may not have flushed.
    pub unconfirmed: [bool; KEYS],
    /// Its repairer.
    pub repairing: Repairing,
    /// Its gate.
    pub gate: Gate,
}

/// A key in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// It is not there.
    Clean,
    /// It is.
    Dirty {
        /// A transaction of the primary may have been open when it was marked.
        unanswered: bool,
        /// It was marked again since a repairer took it.
        again: bool,
    },
}

/// What a repairer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repairing {
    /// Nothing.
    Idle,
    /// A key it has taken, pinned to this epoch, whose primary is this one.
    Key(usize, u8, Side, Repair),
}

/// How far a repair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repair {
    /// At the beginning.
    Taken,
    /// It has the primary's row, locked.
    Locked(Row),
    /// The primary has none.
    Absent,
    /// It has deleted the secondary's.
    Deleted,
    /// It knows that no write was under way.
    Looking,
    /// It goes without locks.
    Sweep,
    /// It has read the primary's row.
    SweepRead(Row),
    /// It has written it.
    SweepWritten(Row),
    /// It knows that no write was under way.
    SweepLooking(Row),
    /// Both are alike.
    Alike,
}

/// A proxy's gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gate {
    /// The published phase.
    pub phase: Phase,
    /// The published epoch.
    pub epoch: u8,
    /// Where the flip goes that has closed the barrier.
    pub closed_for: Option<Phase>,
}

/// What the backfill is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Copying {
    /// At the start of a chunk. A run that was killed may have left a row where `suspect`.
    At {
        /// The chunk's key.
        key: usize,
        /// Whether the chunk was begun before.
        suspect: bool,
    },
    /// It has read this row.
    Read(usize, Row, bool),
    /// It has inserted it, if there was none.
    Inserted(usize, Row, bool),
    /// It is about to look for what a killed run has left.
    Suspect(usize),
    /// All is copied.
    Done,
}

impl State {
    /// The beginning.
    pub fn new(bounds: &Bounds) -> State {
        let cell = |row| Cell {
            row,
            flushed: row,
            lock: Lock::Free,
        };
        let there = |key: usize| key < usize::from(bounds.keys);
        let rows: [Row; KEYS] = std::array::from_fn(|key| if there(key) { FIRST } else { NONE });
        let copied = match bounds.copies {
            Copies::Everything => [NONE; KEYS],
            Copies::Nothing | Copies::Again => rows,
        };
        let proxy = Proxy {
            marks: [Mark::Clean; KEYS],
            unconfirmed: [false; KEYS],
            repairing: Repairing::Idle,
            gate: Gate {
                phase: bounds.phase,
                epoch: 0,
                closed_for: None,
            },
        };
        State {
            stores: [rows.map(cell), copied.map(cell)],
            open: [None; CLIENTS],
            vanishing: [None; CLIENTS],
            late: [None; CLIENTS],
            proxies: [proxy.clone(), proxy],
            copying: match bounds.copies {
                Copies::Nothing => Copying::Done,
                Copies::Everything | Copies::Again => Copying::At {
                    key: 0,
                    suspect: false,
                },
            },
            copying_in: 0,
            bypassed: false,
            truth: rows,
            writes_left: [bounds.writes; CLIENTS],
            mishaps_left: bounds.mishaps,
            flips_left: bounds.flips,
            has_repaired: false,
        }
    }

    /// A row of a store.
    pub fn cell(&self, side: Side, key: usize) -> &Cell {
        &self.stores[index(side)][key]
    }

    /// The same, to be changed.
    pub fn cell_mut(&mut self, side: Side, key: usize) -> &mut Cell {
        &mut self.stores[index(side)][key]
    }

    /// Gives a lock back, if it is held by this one.
    pub fn unlock(&mut self, side: Side, key: usize, by: Lock) {
        let cell = self.cell_mut(side, key);
        if cell.lock == by {
            cell.lock = Lock::Free;
        }
    }

    /// Marks a key dirty.
    pub fn mark(&mut self, proxy: usize, key: usize, open: bool) {
        let mark = &mut self.proxies[proxy].marks[key];
        let before = matches!(
            mark,
            Mark::Dirty {
                unanswered: true,
                ..
            }
        );
        *mark = Mark::Dirty {
            unanswered: open || before,
            again: true,
        };
    }

    /// Whether a journal has the key.
    pub fn is_dirty(&self, key: usize) -> bool {
        self.proxies
            .iter()
            .any(|proxy| proxy.marks[key] != Mark::Clean)
    }

    /// Whether an intent of a transaction that has not ended names the key.
    pub fn is_intended(&self, key: usize) -> bool {
        let names = |transaction: &Transaction| transaction.intent && transaction.key == key;
        self.open.iter().flatten().any(names)
    }

    /// Whether the journals know nothing of the key.
    pub fn is_undoubted(&self, key: usize) -> bool {
        let unconfirmed = |proxy: &Proxy| proxy.unconfirmed[key];
        !self.is_dirty(key) && !self.is_intended(key) && !self.proxies.iter().any(unconfirmed)
    }

    /// Whether nothing is under way and the journals are empty.
    pub fn is_quiet(&self) -> bool {
        self.open == [None; CLIENTS]
            && self.vanishing == [None; CLIENTS]
            && self.late == [None; CLIENTS]
            && (0..KEYS).all(|key| self.is_undoubted(key))
            && self.proxies.iter().all(Proxy::is_idle)
    }
}

impl Copying {
    /// Whether a chunk that was not ended may have left a row that has to go.
    pub fn may_have_left(self) -> bool {
        match self {
            Copying::At { suspect, .. } | Copying::Read(_, _, suspect) => suspect,
            Copying::Inserted(..) | Copying::Suspect(_) => true,
            Copying::Done => false,
        }
    }
}

impl Proxy {
    fn is_idle(&self) -> bool {
        self.repairing == Repairing::Idle && self.gate.closed_for.is_none()
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Old => 0,
        Side::New => 1,
    }
}
