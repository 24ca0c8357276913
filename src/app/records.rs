//! What the state files say of a table, in both directions.

use crossfade_journal::{Journal, TableState};
use crossfade_reconcile::{Direction, standing};
use crossfade_store::TableMap;

/// What is on record of a table from old to new.
pub(crate) fn table_record(journal: &Journal, table: &TableMap) -> TableState {
    journal.state().table(&table.old.name.to_string())
}

/// The name under which the reconciler keeps the reverse direction of a table.
pub(crate) fn reverse_name(table: &TableMap) -> String {
    standing::record_of(table, Direction::Reverse)
}

/// What is on record of a table from new to old.
pub(crate) fn reverse_record(journal: &Journal, table: &TableMap) -> TableState {
    journal.state().table(&reverse_name(table))
}
