//! Counts the rows that a session changes in the primary (trap 41): what the server counts beyond that is somebody else's.

use std::sync::Arc;

use crossfade_store::{Change, Key, OwnChange, OwnCount, TableId};

use crate::sql::{InsertRows, Kind};

use super::Capture;

/// How many rows a captured statement can change, before anything is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// At most so many; `None` when the text does not tell.
    most: Option<u64>,
    /// ON CONFLICT: a row that another session is inserting at this moment is inserted and taken out again before it is found to be there, and the server
    /// counts both.
    conflicts: bool,
}

impl Extent {
    pub(super) fn of(kind: &Kind) -> Extent {
        let by_key = |known: bool| known.then_some(1);
        let most = match kind {
            Kind::Insert(facts) => match facts.rows {
                InsertRows::Values(rows) => Some(rows as u64),
                InsertRows::Defaults => Some(1),
                InsertRows::Select => None,
            },
            Kind::Update(facts) => by_key(facts.key.is_some() || facts.current_of.is_some()),
            Kind::Delete(facts) => by_key(facts.key.is_some() || facts.current_of.is_some()),
            _other => None,
        };
        Extent {
            most,
            conflicts: kind.has_conflict(),
        }
    }

    /// Nobody knows how many, until they are there.
    pub(super) const ROWS: Extent = Extent {
        most: None,
        conflicts: false,
    };

    /// TRUNCATE: what the server makes of its counters then is its own affair.
    pub(super) const ALL: Extent = Extent {
        most: None,
        conflicts: true,
    };

    /// Of a WITH query: `conflicts` when it has an ON CONFLICT.
    pub(super) fn of_part(conflicts: bool) -> Extent {
        Extent {
            conflicts,
            ..Extent::ROWS
        }
    }

    /// Of two parts of one statement that write the same table.
    pub(super) fn and(self, other: Extent) -> Extent {
        Extent {
            most: self.most.zip(other.most).map(|(one, other)| one + other),
            conflicts: self.conflicts || other.conflicts,
        }
    }

    /// The server counts at most so many changes of a statement that gave back this many; `None` when that is not known.
    fn completed(self, rows: u64) -> Option<u64> {
        match (self.conflicts, self.most) {
            (false, _) => Some(rows),
            (true, most) => most.map(|most| rows + 2 * most),
        }
    }

    /// As [`Extent::completed`], of a statement that failed somewhere.
    fn failed(self) -> Option<u64> {
        // A change of the key counts as two with us, and as two with the server where it moves the row into another partition.
        self.most
            .map(|most| most * if self.conflicts { 3 } else { 2 })
    }
}

/// A table that a captured statement writes.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(super) table: TableId,
    pub(super) extent: Extent,
    pub(super) count: Arc<OwnCount>,
}

/// The row changes of a session's open transaction.
#[derive(Debug, Default)]
pub(super) struct Own {
    open: Vec<OwnChange>,
    /// Those of the statement under way, by table.
    rows: Vec<(TableId, u64)>,
}

impl Own {
    /// The statement under way has given back so many more.
    pub(super) fn captured(&mut self, changes: &[(TableId, Key, Change)]) {
        for (table, ..) in changes {
            match self.rows.iter_mut().find(|(known, _)| known == table) {
                Some((_, rows)) => *rows += 1,
                None => self.rows.push((*table, 1)),
            }
        }
    }

    /// The statement under way is complete.
    pub(super) fn completed(&mut self, capture: &Capture) {
        for counted in &capture.counted {
            let rows = self.rows.iter().find(|(table, _)| *table == counted.table);
            let rows = rows.map_or(0, |(_, rows)| *rows);
            self.note(Some(&counted.count), counted.extent.completed(rows));
        }
        // Emptied, not taken: the next statement counts in the same room.
        self.rows.clear();
    }

    /// The statement under way has failed.
    pub(super) fn failed(&mut self, capture: &Capture) {
        self.rows.clear();
        for counted in &capture.counted {
            self.note(Some(&counted.count), counted.extent.failed());
        }
    }

    /// The open transaction changes `rows` rows; `None` when nobody knows.
    pub(super) fn note(&mut self, count: Option<&Arc<OwnCount>>, rows: Option<u64>) {
        let Some(count) = count else { return };
        match rows {
            None => count.unsure(),
            Some(0) => {}
            Some(rows) => match self.open.iter_mut().find(|open| open.is_of(count)) {
                Some(open) => open.add(rows),
                None => self.open.push(count.begin(rows)),
            },
        }
    }

    /// The transaction is over.
    pub(super) fn over(&mut self) {
        self.open.drain(..).for_each(OwnChange::over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_41_what_the_server_may_count_is_never_less_than_it_does() {
        let plain = Extent {
            most: Some(3),
            conflicts: false,
        };
        assert_eq!((plain.completed(2), plain.failed()), (Some(2), Some(6)));
        let upsert = Extent {
            conflicts: true,
            ..plain
        };
        // Three rows that were there, each inserted by somebody else a moment before.
        assert_eq!((upsert.completed(3), upsert.failed()), (Some(9), Some(9)));
        let unknown = Extent {
            most: None,
            conflicts: false,
        };
        assert_eq!((unknown.completed(7), unknown.failed()), (Some(7), None));
    }
}
