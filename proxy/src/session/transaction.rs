//! What a transaction has changed so far: the images for the secondary.

use std::collections::BTreeMap;

use crossfade_store::{Change, Key, TableId};

/// What a completed statement does to the transaction it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// BEGIN.
    Begin,
    /// COMMIT; `chain` begins the next one at once.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK; `chain` begins the next one at once.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    Release(String),
}

/// The changes of one transaction, explicit or implicit.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// In order of their making.
    changes: Vec<(TableId, Key, Option<Change>)>,
    /// Bytes of the images held.
    bytes: usize,
    savepoints: Vec<(String, usize)>,
    /// A BEGIN completed.
    pub(crate) in_block: bool,
    /// Images were given up for want of room; the keys are all there.
    keys_only: bool,
}

impl Transaction {
    /// Notes a change. Past `most_bytes` only keys are kept: the rows are read again after the commit.
    pub(crate) fn push(&mut self, table: TableId, key: Key, change: Change, most_bytes: usize) {
        if !self.keys_only {
            self.bytes += size(&change);
            if self.bytes > most_bytes {
                self.keys_only = true;
                self.changes
                    .iter_mut()
                    .for_each(|(_, _, change)| *change = None);
            }
        }
        self.changes
            .push((table, key, (!self.keys_only).then_some(change)));
    }

    /// Whether it changed any mapped row of a dual phase.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether the images were given up for want of room.
    pub(crate) fn is_keys_only(&self) -> bool {
        self.keys_only
    }

    /// Follows a completed statement. COMMIT and ROLLBACK leave nothing.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Begin => self.in_block = true,
            Effect::Commit { chain } | Effect::Rollback { chain } => {
                *self = Transaction {
                    in_block: *chain,
                    ..Transaction::default()
                }
            }
            Effect::Savepoint(name) => self.savepoints.push((name.clone(), self.changes.len())),
            Effect::RollbackTo(name) => {
                if let Some(at) = self.find(name) {
                    self.savepoints.truncate(at + 1);
                    self.changes.truncate(self.savepoints[at].1);
                }
            }
            Effect::Release(name) => {
                if let Some(at) = self.find(name) {
                    self.savepoints.truncate(at);
                }
            }
        }
    }

    /// Names of savepoints may repeat; the last one counts.
    fn find(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|(known, _)| known == name)
    }

    /// The last change of each key, by table and key. `None` where only the key was kept.
    pub(crate) fn fold(&self) -> BTreeMap<(TableId, Key), Option<Change>> {
        self.changes
            .iter()
            .map(|(table, key, change)| ((*table, key.clone()), change.clone()))
            .collect()
    }
}

fn size(change: &Change) -> usize {
    match change {
        Change::Upsert(row) => row.0.iter().flatten().map(bytes::Bytes::len).sum(),
        Change::Delete(key) => key.0.iter().map(bytes::Bytes::len).sum(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use crossfade_store::Row;

    use super::*;

    const TABLE: TableId = TableId(0);

    fn key(text: &'static str) -> Key {
        Key(vec![Bytes::from_static(text.as_bytes())])
    }

    fn put(transaction: &mut Transaction, id: &'static str, value: &'static str) {
        let row = Row(vec![Some(id.into()), Some(value.into())]);
        transaction.push(TABLE, key(id), Change::Upsert(row), 1000);
    }

    fn keys(transaction: &Transaction) -> Vec<String> {
        transaction
            .fold()
            .keys()
            .map(|(_, key)| String::from_utf8_lossy(&key.0[0]).into_owned())
            .collect()
    }

    #[test]
    fn the_last_change_of_a_key_wins() {
        let mut transaction = Transaction::default();
        put(&mut transaction, "1", "a");
        transaction.push(TABLE, key("1"), Change::Delete(key("1")), 1000);
        assert_eq!(
            transaction.fold()[&(TABLE, key("1"))],
            Some(Change::Delete(key("1")))
        );
    }

    #[test]
    fn trap_12_rollback_to_drops_its_part_and_keeps_the_savepoint() {
        let mut transaction = Transaction::default();
        put(&mut transaction, "1", "a");
        transaction.apply(&Effect::Savepoint("s".into()));
        put(&mut transaction, "2", "b");
        transaction.apply(&Effect::Savepoint("s".into()));
        put(&mut transaction, "3", "c");
        transaction.apply(&Effect::RollbackTo("s".into()));
        assert_eq!(keys(&transaction), ["1", "2"]);
        put(&mut transaction, "4", "d");
        transaction.apply(&Effect::RollbackTo("s".into()));
        assert_eq!(keys(&transaction), ["1", "2"]);
        transaction.apply(&Effect::Release("s".into()));
        transaction.apply(&Effect::RollbackTo("s".into()));
        assert_eq!(keys(&transaction), ["1"]);
    }

    #[test]
    fn past_the_bound_every_key_is_kept_and_no_image() {
        let mut transaction = Transaction::default();
        for id in ["1", "2", "3"] {
            let row = Row(vec![Some(id.into()), Some(Bytes::from(vec![b'x'; 400]))]);
            transaction.push(TABLE, key(id), Change::Upsert(row), 1000);
        }
        assert!(transaction.is_keys_only());
        assert_eq!(keys(&transaction), ["1", "2", "3"]);
        assert!(transaction.fold().values().all(Option::is_none));
    }
}
