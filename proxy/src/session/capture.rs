//! From the values appended to a write's answer to the changes that the secondary gets.

use std::sync::Arc;

use bytes::Bytes;
use crossfade_store::{Change, Key, Mapping, Row, TableId};

use super::own::Counted;

use crate::sql::{Parts, Written};

/// What the appended columns of a captured write are: the carried columns of the row (as it is now, or, deleted, as it was), then the key it
/// had before where an UPDATE sets the key (trap 9). Behind that, where WITH queries write, whose image the row is and that image.
#[derive(Debug)]
pub(crate) struct Capture {
    /// The mapping by which the text was written.
    pub(crate) mapping: Arc<Mapping>,
    /// What the statement writes by itself.
    pub(crate) own: Option<Written>,
    /// What its WITH queries write.
    pub(crate) parts: Option<Parts>,
    /// Where its rows are counted, for stores that count as well.
    pub(crate) counted: Vec<Counted>,
}

/// What one row of the answer stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// The row is the statement's own: what is not appended is the client's.
    pub(crate) own: bool,
    /// Rows that were changed.
    pub(crate) changes: Vec<(TableId, Key, Change)>,
    /// Rows that foreign keys are about to change.
    pub(crate) below: Vec<(TableId, Key)>,
}

impl Capture {
    /// Columns appended.
    pub(crate) fn width(&self) -> usize {
        let parts = self.parts.as_ref().map_or(0, |parts| {
            let widest = parts.written.iter().map(|written| self.columns(written));
            parts.filler + 1 + widest.max().unwrap_or(0)
        });
        self.own_width() + parts
    }

    fn own_width(&self) -> usize {
        self.own.as_ref().map_or(0, |written| self.columns(written))
    }

    fn columns(&self, written: &Written) -> usize {
        let map = &self.mapping.tables[written.table.0];
        if written.only_keys {
            map.key.len()
        } else {
            map.columns.len() + written.old_keys + usize::from(written.below)
        }
    }

    /// Whether the images of the rows that it leaves may be older than what foreign keys make of them at its end.
    pub(crate) fn outdates(&self) -> bool {
        let parts = self.parts.iter().flat_map(|parts| &parts.written);
        let mut written = self.own.iter().chain(parts);
        let leaves = self.parts.is_some() || self.own.is_some_and(|written| !written.deletes);
        leaves && written.any(|written| written.below)
    }

    /// Whether the upserts of this row go behind the deletes of all others of the statement: another row may have had the key before. Not so where the row
    /// has kept its key.
    pub(crate) fn goes_last(&self, row: &Captured) -> bool {
        let deletes = |(_, _, change): &(TableId, Key, Change)| matches!(change, Change::Delete(_));
        self.parts.is_some() || row.changes.iter().any(deletes)
    }

    /// The completion of the client's statement, of which `rows` rows came; `None` where it is the server's.
    pub(crate) fn tag(&self, rows: usize) -> Option<String> {
        let parts = self.parts.as_ref().filter(|parts| !parts.tag.is_empty())?;
        Some(format!("{} {rows}\0", parts.tag))
    }

    /// What one row of the answer stands for. `None` when it is none of this capture's, or a key is NULL, which no key allows.
    pub(crate) fn read(&self, mut values: Vec<Option<Bytes>>) -> Option<Captured> {
        if let Some(parts) = &self.parts {
            let mut behind = values.split_off(self.own_width().min(values.len()));
            if behind.len() <= parts.filler {
                return None;
            }
            let mut behind = behind.split_off(parts.filler).into_iter();
            if let Some(number) = behind.next()? {
                let number: usize = std::str::from_utf8(&number).ok()?.parse().ok()?;
                let written = parts.written.get(number)?;
                return self.captured(false, written, behind.collect());
            }
        }
        match &self.own {
            Some(written) => self.captured(true, written, values),
            None => Some(Captured {
                own: true,
                changes: Vec::new(),
                below: Vec::new(),
            }),
        }
    }

    fn captured(
        &self,
        own: bool,
        written: &Written,
        mut values: Vec<Option<Bytes>>,
    ) -> Option<Captured> {
        values.truncate(self.columns(written));
        let below = if written.below {
            self.below(values.pop()?)?
        } else {
            Vec::new()
        };
        Some(Captured {
            own,
            changes: self.changes(written, values)?,
            below,
        })
    }

    /// The keys that `pg_temp.crossfade_below_…` has found (`sql::actions`).
    fn below(&self, found: Option<Bytes>) -> Option<Vec<(TableId, Key)>> {
        let Some(found) = found else {
            return Some(Vec::new());
        };
        let list = [b"[", &found[..], b"]"].concat();
        let keys: Vec<(usize, Vec<String>)> = serde_json::from_slice(&list).ok()?;
        let key = |(table, parts): (usize, Vec<String>)| {
            let whole = self.mapping.tables.get(table)?.key.len() == parts.len();
            let key = Key(parts.into_iter().map(Bytes::from).collect());
            whole.then_some((TableId(table), key))
        };
        keys.into_iter().map(key).collect()
    }

    fn changes(
        &self,
        written: &Written,
        mut values: Vec<Option<Bytes>>,
    ) -> Option<Vec<(TableId, Key, Change)>> {
        if written.only_keys {
            values.truncate(self.columns(written));
            let key = Key(values.into_iter().collect::<Option<Vec<_>>>()?);
            return Some(vec![(written.table, key.clone(), Change::Delete(key))]);
        }
        let map = &self.mapping.tables[written.table.0];
        let mut old_key = values.split_off(map.columns.len().min(values.len()));
        old_key.truncate(written.old_keys);
        let row = Row(values);
        let key = map.key_of(&row)?;
        let table = written.table;
        if written.deletes {
            return Some(vec![(table, key.clone(), Change::Delete(key))]);
        }
        let mut changes = Vec::with_capacity(2);
        if written.old_keys > 0 {
            let old = old_key.into_iter().collect::<Option<Vec<_>>>().map(Key)?;
            if old != key {
                changes.push((table, old.clone(), Change::Delete(old)));
            }
        }
        changes.push((table, key, Change::Upsert(row)));
        Some(changes)
    }
}
