//! Lines of the journal as rows of a store, and back.

use crossfade_journal::{Batch, DirtyLine, IntentRow, Line};
use crossfade_store::journal::{self as store, JournalChanges};

/// The store counts with a sign; no number here is that large.
pub(in crate::app::journal) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn changes(batch: &Batch) -> JournalChanges {
    let mut changes = JournalChanges::default();
    for line in batch.lines() {
        match line {
            Line::Dirty(line) => changes.dirty.push(store::DirtyRow {
                owner: signed(line.owner),
                toggle: line.toggle.to_string(),
                table: line.table.to_string(),
                key: line.key.clone(),
                generation: signed(line.generation),
                reason: line.reason.into(),
                stale: line.stale.into(),
                since_s: line.since_s.into(),
            }),
            Line::Clean {
                owner,
                table,
                key,
                generation,
            } => changes.clean.push(store::CleanRow {
                owner: signed(*owner),
                table: table.to_string(),
                key: key.clone(),
                generation: signed(*generation),
            }),
            Line::Closed { owner, id } => changes.closed.push((signed(*owner), signed(*id))),
        }
    }
    changes
}

pub(super) fn dirty_line(row: store::DirtyRow) -> DirtyLine {
    DirtyLine {
        owner: unsigned(row.owner),
        toggle: row.toggle.into(),
        table: row.table.into(),
        key: row.key,
        generation: unsigned(row.generation),
        // What is no number of ours is no reason of ours either.
        reason: u8::try_from(row.reason).unwrap_or_default(),
        stale: u8::try_from(row.stale).unwrap_or_default(),
        since_s: u32::try_from(row.since_s).unwrap_or_default(),
    }
}

pub(super) fn intent_row(row: store::IntentRow) -> IntentRow {
    IntentRow {
        owner: unsigned(row.owner),
        id: unsigned(row.id),
        body: row.body,
    }
}
