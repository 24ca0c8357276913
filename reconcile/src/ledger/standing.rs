//! What a job's outcome does to what is on record of a table. Shared by all ledgers that keep it in the journal's own types.

use crossfade_config::QualifiedName;
use crossfade_journal::{BackfillCheckpoint, KeyBounds, KeyText, TableState, Verified as Record};
use crossfade_phase::Phase;
use crossfade_store::{Key, TableMap};
use crossfade_toggle::{Epoch, Snapshot};

use super::{Checkpoint, Reach, Verified};
use crate::Direction;

/// Why a table is in doubt for as long as a backfill over it has begun and not ended. Whatever else went round the store is not forgotten with it.
const UNFINISHED: &str = "a backfill has begun and not ended";

/// The name under which a table is on record, by its name in the old store. The reverse direction has a record of its own: that the old store has all rows of the new says
/// nothing about the other way round.
#[must_use]
pub fn record_named(table: &QualifiedName, direction: Direction) -> String {
    match direction {
        Direction::Forward => table.to_string(),
        Direction::Reverse => format!("{table} (reverse)"),
    }
}

/// The same of a table that is mapped.
#[must_use]
pub fn record_of(table: &TableMap, direction: Direction) -> String {
    record_named(&table.old.name, direction)
}

/// A backfill from the primary begins.
pub fn copying(table: &mut TableState) {
    table.verified = None;
    table.bypassed.get_or_insert_with(|| UNFINISHED.to_owned());
}

/// The whole table is copied.
pub fn backfilled(table: &mut TableState, at: Snapshot) {
    table.backfilled_at_epoch = Some(at.epoch.number());
    // What was verified before says nothing about the rows that came in since.
    table.verified = None;
    table.bypassed.take_if(|why| why == UNFINISHED);
}

/// The target may differ in rows that no key stands for.
pub fn doubt(table: &mut TableState, why: &str) {
    table.bypassed.get_or_insert_with(|| why.to_owned());
    table.doubt.get_or_insert_with(|| why.to_owned());
}

/// A verify over the whole table begins: it sees all that has happened until now.
pub fn verifying(table: &mut TableState) {
    table.doubt = None;
}

/// A verify went over the whole table.
pub fn verified(table: &mut TableState, found: Verified) {
    // What bypassed the target meanwhile, such as a move or a proxy that is forgotten, may be about rows that it had passed: that it found nothing says nothing.
    if found.differences == 0 && table.bypasses != found.bypasses {
        return;
    }
    table.verified = Some(Record {
        at_unix_s: unix_now_s(),
        at_epoch: found.snapshot.epoch.number(),
        rows: found.rows,
        differences: found.differences,
        pending: found.pending,
    });
    if found.differences == 0 {
        // Whatever went round the store is there now (trap 38), but for what happened meanwhile to rows that it had passed.
        table.bypassed.clone_from(&table.doubt);
        // Every row of the old store was found in the new one, which has every write since: as good as copied, however the rows came there.
        let both = matches!(found.snapshot.phase, Phase::DualWrite | Phase::DualRead);
        if both && table.doubt.is_none() {
            table
                .backfilled_at_epoch
                .get_or_insert(found.snapshot.epoch.number());
        }
    }
    let alone = matches!(
        found.snapshot.phase,
        Phase::NewWrites | Phase::Backfill | Phase::NewOnly
    );
    // From now on rows may be deleted that the old store keeps.
    table.deleted_unseen |= alone && table.is_complete();
}

/// A checkpoint as it is kept.
#[must_use]
pub fn note(at: &Checkpoint) -> BackfillCheckpoint {
    let upto = at.upto.as_ref().map(to_text);
    let mut done = vec![KeyBounds {
        after: None,
        upto: upto.clone(),
    }];
    match &at.reached {
        Reach::Nowhere => {}
        Reach::Upto(key) => done.push(KeyBounds {
            after: upto,
            upto: Some(to_text(key)),
        }),
        Reach::End => done.push(KeyBounds {
            after: upto,
            upto: None,
        }),
    }
    BackfillCheckpoint {
        epoch: at.epoch.number(),
        rows: at.rows_seen,
        done,
    }
}

/// A checkpoint as it was kept.
#[must_use]
pub fn checkpoint(found: BackfillCheckpoint) -> Checkpoint {
    let mut bounds = found.done.into_iter();
    let done = bounds.next();
    let reached = match bounds.next() {
        None => Reach::Nowhere,
        Some(KeyBounds {
            upto: Some(key), ..
        }) => Reach::Upto(from_text(key)),
        Some(KeyBounds { upto: None, .. }) => Reach::End,
    };
    Checkpoint {
        epoch: Epoch::new(found.epoch),
        upto: done.and_then(|done| done.upto).map(from_text),
        reached,
        rows_seen: found.rows,
    }
}

fn to_text(key: &Key) -> KeyText {
    KeyText(key.0.iter().map(|part| part.to_vec()).collect())
}

fn from_text(key: KeyText) -> Key {
    Key(key.0.into_iter().map(Into::into).collect())
}

/// For display only (trap 44).
fn unix_now_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
