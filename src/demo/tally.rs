//! What the clients of the demo saw, by phase.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crossfade_phase::Phase;

/// Errors and wrong answers that are kept in full; all are counted.
const SHOWN: usize = 6;

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A read by key.
    Read,
    /// Any other SELECT: a range, a join, an aggregate.
    Query,
    /// One INSERT.
    Insert,
    /// One UPDATE.
    Update,
    /// One DELETE.
    Delete,
    /// A transaction of several statements.
    Transaction,
}

impl Kind {
    /// All kinds, in the order of the columns of the report.
    pub(super) const ALL: [Kind; 6] = [
        Kind::Read,
        Kind::Query,
        Kind::Insert,
        Kind::Update,
        Kind::Delete,
        Kind::Transaction,
    ];

    fn writes(self) -> bool {
        !matches!(self, Kind::Read | Kind::Query)
    }
}

/// A table of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Customers,
    Orders,
    Items,
    Payments,
}

/// Why a client is not content.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It saw an error.
    Failed(tokio_postgres::Error),
    /// It got an answer that contradicts what it knows.
    Wrong(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Trouble {
        Trouble::Failed(error)
    }
}

/// What happened in one phase.
#[derive(Debug, Clone, Default)]
pub(super) struct PhaseTally {
    /// Operations that succeeded, in the order of [`Kind::ALL`].
    pub(super) operations: [u64; Kind::ALL.len()],
    /// Errors that clients saw.
    pub(super) errors: u64,
    /// Answers that contradict what the client itself wrote.
    pub(super) wrong: u64,
    /// Latencies of reads by key that were sent straight to the store, in microseconds.
    pub(super) direct_us: Vec<u64>,
    /// Latencies of the same reads through the proxy, in microseconds.
    pub(super) proxied_us: Vec<u64>,
    /// Latencies of writes of one statement through the proxy, in microseconds.
    pub(super) write_us: Vec<u64>,
    /// Time in the phase.
    pub(super) lasted: Duration,
    /// Rows that were compared between the stores, or with what clients know.
    pub(super) rows_compared: u64,
    /// Rows that differed.
    pub(super) differences: u64,
}

impl PhaseTally {
    /// Operations of all kinds.
    pub(super) fn total(&self) -> u64 {
        self.operations.iter().sum()
    }
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    phases: [PhaseTally; Phase::ALL.len()],
    rows: [i64; 4],
    shown: Vec<String>,
}

/// The counters of all clients.
#[derive(Debug)]
pub(super) struct Tally(Mutex<Inner>);

impl Tally {
    /// Nothing happened yet, in phase 1.
    pub(super) fn new() -> Tally {
        Tally(Mutex::new(Inner {
            phase: Phase::DeployNew,
            phases: Default::default(),
            rows: [0; 4],
            shown: Vec::new(),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic of another client leaves counters that are still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens from now on counts for `phase`; the one before lasted so long.
    pub(super) fn enter(&self, phase: Phase, before_lasted: Duration) {
        let mut inner = self.inner();
        inner.present().lasted = before_lasted;
        inner.phase = phase;
    }

    /// The last phase ends: it lasted so long.
    pub(super) fn end(&self, lasted: Duration) {
        self.inner().present().lasted = lasted;
    }

    /// The phase that counts now.
    pub(super) fn phase(&self) -> Phase {
        self.inner().phase
    }

    /// An operation that succeeded.
    pub(super) fn done(&self, kind: Kind, took: Duration) {
        let mut inner = self.inner();
        let present = inner.present();
        present.operations[kind as usize] += 1;
        if kind.writes() && kind != Kind::Transaction {
            present.write_us.push(micros(took));
        }
    }

    /// The same read, sent both ways.
    pub(super) fn pair(&self, direct: Duration, proxied: Duration) {
        let mut inner = self.inner();
        let present = inner.present();
        present.direct_us.push(micros(direct));
        present.proxied_us.push(micros(proxied));
    }

    /// Rows that an acknowledged write brought or took.
    pub(super) fn rows(&self, table: Table, more: i64) {
        self.inner().rows[table as usize] += more;
    }

    /// Rows that an acknowledged DELETE took, as the server counted them.
    pub(super) fn gone(&self, table: Table, rows: u64) {
        self.rows(table, -i64::try_from(rows).unwrap_or(0));
    }

    /// What acknowledged writes changed in the number of rows of `table`.
    pub(super) fn row_change(&self, table: Table) -> i64 {
        self.inner().rows[table as usize]
    }

    /// What a client has to complain about.
    pub(super) fn trouble(&self, client: &str, trouble: &Trouble) {
        let mut inner = self.inner();
        let phase = inner.phase;
        let what = match trouble {
            Trouble::Failed(error) => {
                inner.present().errors += 1;
                describe(error)
            }
            Trouble::Wrong(what) => {
                inner.present().wrong += 1;
                format!("wrong answer: {what}")
            }
        };
        if inner.shown.len() < SHOWN {
            let number = phase.number();
            inner
                .shown
                .push(format!("phase {number} {phase}, {client}: {what}"));
        }
    }

    /// A comparison of rows in the present phase.
    pub(super) fn compared(&self, rows: u64, differences: u64) {
        let mut inner = self.inner();
        let present = inner.present();
        present.rows_compared += rows;
        present.differences += differences;
    }

    /// Operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.inner().phases.iter().map(PhaseTally::total).sum()
    }

    /// Errors and wrong answers so far.
    pub(super) fn troubles(&self) -> u64 {
        let inner = self.inner();
        inner.phases.iter().map(|one| one.errors + one.wrong).sum()
    }

    /// The first errors and wrong answers, in full.
    pub(super) fn shown(&self) -> Vec<String> {
        self.inner().shown.clone()
    }

    /// The counters of all phases, in order.
    pub(super) fn phases(&self) -> Vec<PhaseTally> {
        self.inner().phases.to_vec()
    }
}

impl Inner {
    fn present(&mut self) -> &mut PhaseTally {
        &mut self.phases[usize::from(self.phase.number()) - 1]
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// An error as a driver shows it: SQLSTATE, message, detail and hint.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    let Some(server) = error.as_db_error() else {
        let cause = error.source().map(|cause| format!(": {cause}"));
        return format!("{error}{}", cause.unwrap_or_default());
    };
    let mut text = format!("{} {}", server.code().code(), server.message());
    for (name, more) in [("detail", server.detail()), ("hint", server.hint())] {
        if let Some(more) = more {
            text.push_str(&format!("; {name}: {more}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_complaints_count_for_the_phase_they_happen_in() {
        let tally = Tally::new();
        tally.done(Kind::Insert, Duration::from_millis(2));
        tally.enter(Phase::UseOld, Duration::from_secs(5));
        tally.done(Kind::Read, Duration::from_millis(1));
        tally.trouble("checker", &Trouble::Wrong("row 7 is gone".to_owned()));
        let phases = tally.phases();
        assert_eq!((phases[0].total(), phases[0].lasted.as_secs()), (1, 5));
        assert_eq!((phases[1].total(), phases[1].wrong), (1, 1));
        assert_eq!((tally.operations(), tally.troubles()), (2, 1));
        let said = "phase 2 use-old, checker: wrong answer: row 7 is gone";
        assert_eq!(tally.shown(), [said]);
    }

    #[test]
    fn many_complaints_are_counted_and_few_are_kept() {
        let tally = Tally::new();
        for _ in 0..50 {
            tally.trouble("desk", &Trouble::Wrong("no".to_owned()));
        }
        assert_eq!((tally.troubles(), tally.shown().len()), (50, SHOWN));
    }
}
