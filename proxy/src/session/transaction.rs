//! What a transaction has changed so far: the images for the secondary.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use crossfade_store::{Change, Key, TableId};

use super::early::{AHEAD_ROWS, Early, PORTION_BYTES};
use crate::errors::ClientError;

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
    /// In order of their making, those that have gone ahead left out.
    changes: Vec<(TableId, Key, Option<Change>)>,
    /// Bytes that `changes` take.
    bytes: usize,
    /// They are too many to wait for the commit.
    full: bool,
    savepoints: Vec<Savepoint>,
    /// A BEGIN completed.
    pub(crate) in_block: bool,
    /// Images were given up for want of room; the keys are all there.
    keys_only: bool,
    /// What has gone ahead.
    early: Option<Box<Early>>,
    /// Portions that have gone ahead.
    portions: usize,
    /// Keys of rows deleted before the last portion went. They wait for the commit.
    deletes: BTreeSet<(TableId, Key)>,
    /// Keys of rows that foreign keys have changed since then: they are read again before the commit.
    unread: BTreeSet<(TableId, Key)>,
    /// Tables of which a row was deleted, and put in again under its key.
    revived: BTreeSet<TableId>,
    /// Bytes that `deletes` and `unread` take.
    kept_bytes: usize,
    /// Why it must not commit: the journal could not take its keys.
    refused: Option<ClientError>,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    /// Changes held when it was made.
    changes: usize,
    bytes: usize,
    /// Portions gone by then.
    portions: usize,
}

/// What goes ahead at once.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    /// Upserts, one a key.
    pub(crate) rows: Vec<(TableId, Change)>,
    /// Keys without an image.
    pub(crate) keys: Vec<(TableId, Key)>,
}

impl Transaction {
    /// Notes a change. Past `most_bytes`, or [`AHEAD_ROWS`], it is [full](Transaction::is_full).
    pub(crate) fn push(&mut self, table: TableId, key: Key, change: Change, most_bytes: usize) {
        if self.refused.is_some() {
            return;
        }
        if self.keys_only {
            self.note(table, compact(&key), None, most_bytes);
        } else {
            self.note(table, key, Some(change), most_bytes);
        }
    }

    /// Notes that a row changes in a way that is known once it is [read again](Transaction::unread).
    pub(crate) fn push_unread(&mut self, table: TableId, key: Key, most_bytes: usize) {
        if self.refused.is_none() {
            self.note(table, key, None, most_bytes);
        }
    }

    fn note(&mut self, table: TableId, key: Key, change: Option<Change>, most_bytes: usize) {
        self.bytes += change.as_ref().map_or_else(|| key_size(&key), size);
        let most = if self.portions > 0 {
            most_bytes.min(PORTION_BYTES)
        } else {
            most_bytes
        };
        self.changes.push((table, key, change));
        self.full = !self.keys_only && (self.bytes > most || self.changes.len() >= AHEAD_ROWS);
    }

    /// Whether it holds more than it may, and something has to go ahead.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether it changed any mapped row of a dual phase.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.deletes.is_empty()
            && self.unread.is_empty()
            && self.early.is_none()
            && self.refused.is_none()
    }

    /// The tables that it changed, also by what has gone ahead; some more than once.
    pub(crate) fn tables(&self) -> impl Iterator<Item = TableId> + '_ {
        let early = self.early.iter().flat_map(|early| early.tables());
        let kept = self.deletes.iter().chain(&self.unread);
        let kept = kept.map(|(table, _)| *table);
        let changed = self.changes.iter().map(|(table, _, _)| *table);
        changed.chain(kept).chain(early)
    }

    /// Whether the images were given up for want of room.
    pub(crate) fn is_keys_only(&self) -> bool {
        self.keys_only
    }

    /// Gives the images up; the keys stay.
    pub(crate) fn keep_keys(&mut self) {
        self.keys_only = true;
        self.full = false;
        for (_, key, change) in &mut self.changes {
            *key = compact(key);
            *change = None;
        }
    }

    /// Gives everything up: it must not commit.
    pub(crate) fn refuse(&mut self, error: ClientError) {
        *self = Transaction {
            in_block: self.in_block,
            refused: Some(error),
            ..Transaction::default()
        };
    }

    /// Why it must not commit.
    pub(crate) fn refusal(&self) -> Option<ClientError> {
        self.refused.clone()
    }

    /// What has gone ahead, for as long as more goes, or to be committed.
    pub(crate) fn take_early(&mut self) -> Option<Box<Early>> {
        self.early.take()
    }

    /// Notes what has gone ahead.
    pub(crate) fn set_early(&mut self, early: Box<Early>) {
        self.early = Some(early);
    }

    /// Takes what can go ahead. Deletes stay until the commit, as far as `most_bytes` has room for them; without `images`, or past that, every key goes.
    pub(crate) fn take_portion(&mut self, images: bool, most_bytes: usize) -> Portion {
        let mut portion = Portion::default();
        self.note_revived();
        let changes = std::mem::take(&mut self.changes);
        let last: BTreeMap<(TableId, Key), Option<Change>> = changes
            .into_iter()
            .map(|(table, key, change)| ((table, key), change))
            .collect();
        for ((table, key), change) in last {
            match change {
                Some(change @ Change::Upsert(_)) if images => {
                    self.forget(&(table, key));
                    portion.rows.push((table, change));
                }
                change @ (Some(Change::Delete(_)) | None) if images => {
                    // A slice of a message would keep all of it.
                    let key = (table, compact(&key));
                    self.forget(&key);
                    self.kept_bytes += key_size(&key.1);
                    match change {
                        Some(_) => self.deletes.insert(key),
                        None => self.unread.insert(key),
                    };
                }
                _ => portion.keys.push((table, key)),
            }
        }
        if !images || self.kept_bytes > most_bytes {
            portion.keys.extend(std::mem::take(&mut self.deletes));
            portion.keys.extend(std::mem::take(&mut self.unread));
            self.kept_bytes = 0;
        }
        (self.bytes, self.full) = (0, false);
        self.portions += 1;
        portion
    }

    fn forget(&mut self, key: &(TableId, Key)) {
        if self.deletes.remove(key) || self.unread.remove(key) {
            self.kept_bytes -= key_size(&key.1);
        }
    }

    /// Whether rows may have to be read before the commit.
    pub(crate) fn is_unread(&self) -> bool {
        let unread = |(_, _, change): &(TableId, Key, Option<Change>)| change.is_none();
        !self.keys_only && (!self.unread.is_empty() || self.changes.iter().any(unread))
    }

    /// Takes the keys whose rows have to be read before the commit, in order: what they became is to be [pushed](Transaction::push).
    pub(crate) fn take_unread(&mut self) -> BTreeSet<(TableId, Key)> {
        let mut unread = std::mem::take(&mut self.unread);
        for (_, key) in &unread {
            self.kept_bytes -= key_size(key);
        }
        for (table, key, change) in &self.changes {
            let key = (*table, key.clone());
            match change {
                Some(_) => unread.remove(&key),
                None => unread.insert(key),
            };
        }
        unread
    }

    /// The tables of which a row was deleted, and put in again under its key: of what is [folded](Transaction::fold) or has gone ahead.
    pub(crate) fn take_revived(&mut self) -> BTreeSet<TableId> {
        std::mem::take(&mut self.revived)
    }

    fn note_revived(&mut self) {
        let is_delete = |change: &Option<Change>| matches!(change, Some(Change::Delete(_)));
        let deletes = self.changes.iter().any(|(_, _, change)| is_delete(change));
        if !deletes && self.deletes.is_empty() {
            return;
        }
        let mut gone = BTreeSet::new();
        for (table, key, change) in &self.changes {
            if is_delete(change) {
                gone.insert((*table, key));
            } else if gone.contains(&(*table, key)) || self.deletes.contains(&(*table, key.clone()))
            {
                self.revived.insert(*table);
            }
        }
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
            Effect::Savepoint(name) => self.savepoints.push(Savepoint {
                name: name.clone(),
                changes: self.changes.len(),
                bytes: self.bytes,
                portions: self.portions,
            }),
            Effect::RollbackTo(name) => {
                if let Some(at) = self.find(name) {
                    self.savepoints.truncate(at + 1);
                    self.roll_back_to(at);
                }
            }
            Effect::Release(name) => {
                if let Some(at) = self.find(name) {
                    self.savepoints.truncate(at);
                }
            }
        }
    }

    fn roll_back_to(&mut self, savepoint: usize) {
        let Savepoint {
            changes,
            bytes,
            portions,
            ..
        } = self.savepoints[savepoint];
        if portions == self.portions {
            self.changes.truncate(changes);
            self.bytes = bytes;
        } else {
            // What was done since has gone ahead, together with what was done before, and cannot be told from it there.
            self.changes.clear();
            self.bytes = 0;
            self.early.iter_mut().for_each(|early| early.give_up());
        }
        self.full = false;
    }

    /// Names of savepoints may repeat; the last one counts.
    fn find(&self, name: &str) -> Option<usize> {
        self.savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
    }

    /// Takes the last change of each key, by table and key, of all that has not gone ahead. `None` where only the key was kept.
    pub(crate) fn fold(&mut self) -> BTreeMap<(TableId, Key), Option<Change>> {
        self.note_revived();
        let deletes = std::mem::take(&mut self.deletes).into_iter();
        let deletes = deletes.map(|(table, key)| ((table, key.clone()), Some(Change::Delete(key))));
        let unread = std::mem::take(&mut self.unread).into_iter();
        let unread = unread.map(|key| (key, None));
        let changes = std::mem::take(&mut self.changes).into_iter();
        let changes = changes.map(|(table, key, change)| ((table, key), change));
        deletes.chain(unread).chain(changes).collect()
    }
}

/// What a change takes while it is held, its key with it: values are short as a rule, and the places that hold them are not.
pub(crate) fn size(change: &Change) -> usize {
    const CHANGE: usize = 128;
    const VALUE: usize = 40;
    let values = |values: &mut dyn Iterator<Item = usize>| -> usize {
        values.map(|length| length + VALUE).sum()
    };
    CHANGE
        + match change {
            Change::Upsert(row) => values(
                &mut row
                    .0
                    .iter()
                    .map(|value| value.as_ref().map_or(0, Bytes::len)),
            ),
            Change::Delete(key) => values(&mut key.0.iter().map(Bytes::len)),
        }
}

fn key_size(key: &Key) -> usize {
    const KEY: usize = 64;
    const PART: usize = 72;
    KEY + key.0.iter().map(|part| part.len() + PART).sum::<usize>()
}

/// The key in memory of its own.
fn compact(key: &Key) -> Key {
    let copy = |part: &Bytes| Bytes::copy_from_slice(part);
    Key(key.0.iter().map(copy).collect())
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
        let changes = transaction.changes.iter();
        changes
            .map(|(_, key, _)| String::from_utf8_lossy(&key.0[0]).into_owned())
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
    fn trap_10_a_row_that_is_put_in_again_is_known_also_behind_a_portion() {
        let mut transaction = Transaction::default();
        put(&mut transaction, "1", "a");
        transaction.push(TABLE, key("2"), Change::Delete(key("2")), 1000);
        transaction.take_portion(true, 1000);
        put(&mut transaction, "3", "b");
        transaction.fold();
        assert!(transaction.take_revived().is_empty());
        transaction.push(TABLE, key("4"), Change::Delete(key("4")), 1000);
        put(&mut transaction, "4", "again");
        transaction.fold();
        assert_eq!(transaction.take_revived(), BTreeSet::from([TABLE]));
        transaction.push(TABLE, key("5"), Change::Delete(key("5")), 1000);
        transaction.take_portion(true, 1000);
        put(&mut transaction, "5", "again");
        transaction.fold();
        assert_eq!(transaction.take_revived(), BTreeSet::from([TABLE]));
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

    fn long(transaction: &mut Transaction, id: &'static str) {
        let row = Row(vec![Some(id.into()), Some(Bytes::from(vec![b'x'; 400]))]);
        transaction.push(TABLE, key(id), Change::Upsert(row), 1000);
    }

    fn ids(changes: &[(TableId, Change)]) -> Vec<String> {
        let id = |change: &Change| match change {
            Change::Upsert(row) => row.0[0].clone().unwrap_or_default(),
            Change::Delete(key) => key.0[0].clone(),
        };
        changes
            .iter()
            .map(|(_, change)| String::from_utf8_lossy(&id(change)).into_owned())
            .collect()
    }

    #[test]
    fn past_the_bound_upserts_go_ahead_and_deletes_stay() {
        let mut transaction = Transaction::default();
        long(&mut transaction, "1");
        assert!(!transaction.is_full());
        transaction.push(TABLE, key("2"), Change::Delete(key("2")), 1000);
        transaction.push(TABLE, key("3"), Change::Delete(key("3")), 1000);
        long(&mut transaction, "2");
        assert!(transaction.is_full());
        let portion = transaction.take_portion(true, 1000);
        assert_eq!(ids(&portion.rows), ["1", "2"]);
        assert!(portion.keys.is_empty() && !transaction.is_full() && !transaction.is_empty());
        // What comes later counts, whichever of the two it is.
        put(&mut transaction, "3", "back");
        transaction.push(TABLE, key("1"), Change::Delete(key("1")), 1000);
        let portion = transaction.take_portion(true, 1000);
        assert_eq!(ids(&portion.rows), ["3"]);
        assert_eq!(
            transaction.fold(),
            BTreeMap::from([((TABLE, key("1")), Some(Change::Delete(key("1"))))])
        );
    }

    #[test]
    fn trap_10_what_foreign_keys_change_is_unread_until_something_says_what_it_is() {
        let mut transaction = Transaction::default();
        put(&mut transaction, "1", "a");
        assert!(!transaction.is_unread());
        for id in ["1", "2", "3", "4"] {
            transaction.push_unread(TABLE, key(id), 1000);
        }
        long(&mut transaction, "5");
        long(&mut transaction, "6");
        // None of it can go ahead.
        let portion = transaction.take_portion(true, 1000);
        assert_eq!(
            (ids(&portion.rows), portion.keys.len()),
            (vec!["5".into(), "6".into()], 0)
        );
        put(&mut transaction, "2", "later");
        transaction.push(TABLE, key("3"), Change::Delete(key("3")), 1000);
        transaction.push_unread(TABLE, key("6"), 1000);
        assert!(transaction.is_unread());
        let unread: Vec<Key> = transaction
            .take_unread()
            .into_iter()
            .map(|(_, key)| key)
            .collect();
        assert_eq!(unread, [key("1"), key("4"), key("6")]);
        for id in unread {
            transaction.push(TABLE, id.clone(), Change::Delete(id), 1000);
        }
        put(&mut transaction, "4", "found");
        assert!(transaction.take_unread().is_empty());
        let folded = transaction.fold();
        let gone = |id: &'static str| matches!(folded[&(TABLE, key(id))], Some(Change::Delete(_)));
        assert!(gone("1") && gone("3") && gone("6") && !gone("2") && !gone("4"));
    }

    #[test]
    fn deletes_past_the_bound_leave_their_keys() {
        let mut transaction = Transaction::default();
        for id in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            transaction.push(TABLE, key(id), Change::Delete(key(id)), 1000);
        }
        let portion = transaction.take_portion(true, 1000);
        assert_eq!((portion.rows.len(), portion.keys.len()), (0, 8));
        assert!(transaction.fold().is_empty());
    }

    #[test]
    fn trap_12_a_savepoint_that_something_went_ahead_of_keeps_nothing_of_what_came_behind_it() {
        let mut transaction = Transaction::default();
        put(&mut transaction, "1", "a");
        transaction.apply(&Effect::Savepoint("early".into()));
        put(&mut transaction, "2", "b");
        assert_eq!(transaction.take_portion(true, 1000).rows.len(), 2);
        put(&mut transaction, "3", "c");
        transaction.apply(&Effect::Savepoint("late".into()));
        put(&mut transaction, "4", "d");
        transaction.apply(&Effect::RollbackTo("late".into()));
        assert_eq!(transaction.changes.len(), 1);
        transaction.apply(&Effect::RollbackTo("early".into()));
        assert!(transaction.changes.is_empty());
    }

    #[test]
    fn a_transaction_that_the_journal_cannot_name_holds_nothing_and_must_not_commit() {
        let mut transaction = Transaction::default();
        put(&mut transaction, "1", "a");
        transaction.refuse(ClientError::new("54000", "too much"));
        put(&mut transaction, "2", "b");
        assert!(!transaction.is_empty() && transaction.changes.is_empty());
        assert!(transaction.refusal().is_some());
    }

    #[test]
    fn given_up_every_key_is_kept_and_no_image() {
        let mut transaction = Transaction::default();
        for id in ["1", "2", "3"] {
            long(&mut transaction, id);
        }
        transaction.keep_keys();
        long(&mut transaction, "4");
        assert!(transaction.is_keys_only() && !transaction.is_full());
        let folded = transaction.fold();
        assert_eq!(folded.len(), 4);
        assert!(folded.values().all(Option::is_none));
    }
}
