//! From the values appended to a write's answer to the changes that the secondary gets.

use std::sync::Arc;

use bytes::Bytes;
use crossfade_store::{Change, Key, Mapping, Row, TableId};

/// What the appended columns of a captured write are: the carried columns of the row (as it is now, or, deleted, as it was), then the key it
/// had before where an UPDATE sets the key (trap 9).
#[derive(Debug)]
pub(crate) struct Capture {
    /// The mapping by which the text was written.
    pub(crate) mapping: Arc<Mapping>,
    /// The table written.
    pub(crate) table: TableId,
    /// The rows are gone.
    pub(crate) deletes: bool,
    /// Key columns behind the image.
    pub(crate) old_keys: usize,
}

impl Capture {
    /// Columns appended.
    pub(crate) fn width(&self) -> usize {
        self.mapping.tables[self.table.0].columns.len() + self.old_keys
    }

    /// The changes that one row of the answer stands for. `None` when a key is NULL, which no key allows.
    pub(crate) fn changes(&self, mut values: Vec<Option<Bytes>>) -> Option<Vec<(Key, Change)>> {
        let map = &self.mapping.tables[self.table.0];
        let old_key = values.split_off(map.columns.len().min(values.len()));
        let row = Row(values);
        let key = map.key_of(&row)?;
        if self.deletes {
            return Some(vec![(key.clone(), Change::Delete(key))]);
        }
        let mut changes = Vec::with_capacity(2);
        if self.old_keys > 0 {
            let old = old_key.into_iter().collect::<Option<Vec<_>>>().map(Key)?;
            if old != key {
                changes.push((old.clone(), Change::Delete(old)));
            }
        }
        changes.push((key, Change::Upsert(row)));
        Some(changes)
    }
}
