//! Makes a move durable, with what it does to the standing of the tables (trap 38).

use std::collections::BTreeMap;

use crossfade_crash::{self as crash, Point};
use crossfade_journal::{Journal, StateError, TableState, Why};
use crossfade_phase::{Phase, Side};
use crossfade_store::TableMap;
use crossfade_toggle::{Basis, Move};

use crate::app::reverse_name;

/// Writes the move down, strictly before it is published (trap 40). What a crash half way leaves behind only asks for a verify that was not needed.
///
/// # Errors
/// When the state files cannot be written; the phase is as it was then.
pub(super) fn record(
    journal: &Journal,
    toggle: &str,
    tables: &[TableMap],
    step: Move,
    basis: &Basis,
) -> Result<u64, StateError> {
    // One write for all of them: clients wait meanwhile, and a toggle may have many tables.
    journal.state().update_tables(|known| {
        for table in tables {
            apply(known, table, step);
        }
    })?;
    crash::at(Point::FlipMarked);
    journal.state().set_phase(toggle, step.to(), why(basis))
}

/// Changes what is on record of a table as a move does.
pub(crate) fn apply(known: &mut BTreeMap<String, TableState>, table: &TableMap, step: Move) {
    let forward = known.get(&table.old.name.to_string());
    let in_step = forward.is_none_or(TableState::is_in_step);
    for (name, change) in standing_after(table, step, in_step) {
        change.apply(known.entry(name).or_default());
    }
}

/// What a move does to what is on record of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// Writes go round the store, or may have.
    Bypassed(String),
    /// The same, and what was verified says nothing any more.
    Outdated(String),
    /// The store has every row.
    InStep,
    /// The old store does not learn of deletes.
    Unseen,
    /// The old store is right again.
    Seen,
}

impl Change {
    fn apply(&self, known: &mut TableState) {
        match self {
            Change::Bypassed(reason) => known.bypass(reason.clone()),
            Change::Outdated(reason) => {
                known.verified = None;
                known.bypass(reason.clone());
            }
            Change::InStep => {
                *known = TableState {
                    bypasses: known.bypasses,
                    ..TableState::default()
                }
            }
            // Nobody can delete in a table that is not complete (docs/decision/11).
            Change::Unseen => known.deleted_unseen |= known.is_complete(),
            Change::Seen => known.deleted_unseen = false,
        }
    }
}

/// What a move does to the records of a table, by their names. `in_step` is what is known of the new store.
fn standing_after(table: &TableMap, step: Move, in_step: bool) -> Vec<(String, Change)> {
    let forward = [forward(step), deletes(step)].into_iter().flatten();
    let forward = forward.map(|change| (table.old.name.to_string(), change));
    let reverse = reverse(step, in_step).map(|change| (reverse_name(table), change));
    forward.chain(reverse).collect()
}

/// Trap 27: what is deleted in the new store alone must not come back from the old one.
fn deletes(step: Move) -> Option<Change> {
    match (step.from().primary(), step.to()) {
        (_, Phase::NewWrites | Phase::Backfill | Phase::NewOnly) => Some(Change::Unseen),
        (Side::New, to) if to.primary() == Side::Old => Some(Change::Seen),
        _neither => None,
    }
}

/// The new store misses writes in the phases 1 and 2, and until 3 is effective.
fn forward(step: Move) -> Option<Change> {
    let dual = |phase: Phase| phase > Phase::UseOld;
    let reason = match (dual(step.from()), dual(step.to())) {
        (true, false) => format!("phase {} does not write the new store", step.to()),
        (false, true) => {
            "rows may have been written before phase dual-write was effective".to_owned()
        }
        (true, true) | (false, false) => return None,
    };
    Some(Change::Bypassed(reason))
}

/// The old store misses writes from phase 6 on, and until the way back to 5 is effective. Where a move to 5 was forced upon a new store that is not in step with it, also
/// what that one has beyond its rows: it counts from then on, and no verify forwards shows it in 5.
fn reverse(step: Move, in_step: bool) -> Option<Change> {
    let written = |phase: Phase| phase.primary() == Side::Old || phase == Phase::NewPrimary;
    match (step.from(), step.to()) {
        // Inside the barrier and with an empty journal: the old store has every row.
        (Phase::DualRead, Phase::NewPrimary) if in_step => Some(Change::InStep),
        (Phase::DualRead, Phase::NewPrimary) => Some(Change::Outdated(
            "the new store was not in step when it became the primary".to_owned(),
        )),
        (from, to) if written(from) && !written(to) => Some(Change::Outdated(format!(
            "phase {to} does not write the old store"
        ))),
        (from, to) if !written(from) && written(to) => Some(Change::Bypassed(format!(
            "rows may have been written before phase {to} was effective"
        ))),
        _neither => None,
    }
}

/// What a move rests on, as it is kept.
pub(super) fn why(basis: &Basis) -> Why {
    match basis {
        Basis::Guard => Why::Guards("every condition held".to_owned()),
        Basis::Override { reason, unmet } => Why::Override {
            because: reason.as_str().to_owned(),
            refused: unmet
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_config::QualifiedName;
    use crossfade_journal::Verified;
    use crossfade_reconcile::{Direction, Ledger};
    use crossfade_store::{Relation, TableId};
    use crossfade_toggle::Snapshot;

    fn table() -> TableMap {
        let name = QualifiedName {
            schema: "public".into(),
            name: "orders".into(),
        };
        TableMap {
            id: TableId(0),
            toggle: "shop".into(),
            old: Relation::named(name.clone()),
            new: Relation::named(name),
            columns: Vec::new(),
            key: Vec::new(),
            version: None,
            dropped: Vec::new(),
        }
    }

    fn walk(journal: &Journal, phases: &[u8]) {
        for pair in phases.windows(2) {
            let phase = |number| Phase::from_number(number).unwrap();
            record(
                journal,
                "shop",
                &[table()],
                Move::new(phase(pair[0]), phase(pair[1])).unwrap(),
                &Basis::Guard,
            )
            .unwrap();
        }
    }

    fn verified(journal: &Journal, name: &str) {
        let outcome = Verified {
            at_unix_s: 1,
            at_epoch: 9,
            rows: 3,
            differences: 0,
            pending: 0,
        };
        let change = |known: &mut TableState| {
            (known.verified, known.bypassed, known.backfilled_at_epoch) =
                (Some(outcome), None, Some(1))
        };
        journal.state().update_table(name, change).unwrap();
    }

    #[test]
    fn trap_38_a_spell_in_phase_2_makes_the_new_store_untrusted() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        walk(&journal, &[2, 3]);
        assert!(journal.state().table("public.orders").bypassed.is_some());
        verified(&journal, "public.orders");
        walk(&journal, &[3, 4, 3]);
        assert!(journal.state().table("public.orders").is_complete());
        walk(&journal, &[3, 2]);
        assert!(!journal.state().table("public.orders").is_complete());
        walk(&journal, &[2, 3, 4]);
        verified(&journal, "public.orders");
        walk(&journal, &[4, 5, 6]);
        assert!(
            journal.state().table("public.orders").is_complete(),
            "the way on asks nothing of the new store"
        );
        assert!(journal.state().table("public.orders").deleted_unseen);
        let reverse = reverse_name(&table());
        assert!(journal.state().table(&reverse).bypassed.is_some());
        verified(&journal, &reverse);
        walk(&journal, &[6, 5]);
        assert!(
            journal.state().table(&reverse).bypassed.is_some(),
            "writes of 6 went by the old store until 5 was effective"
        );
        assert!(journal.state().table("public.orders").deleted_unseen);
        walk(&journal, &[5, 4]);
        assert!(!journal.state().table("public.orders").deleted_unseen);
    }

    /// The verify begins in 6 and ends in 5, or begins in 5 and ends in 6: what was written in 6 to rows that it had passed the old store does not have.
    #[tokio::test]
    async fn trap_38_a_reverse_verify_that_a_move_overtakes_does_not_make_the_old_store_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let reverse = reverse_name(&table());
        let verify = async |journal: &Journal, meanwhile: &[u8]| {
            let table = table();
            let begun = journal.verifying(&table, Direction::Reverse).await.unwrap();
            walk(journal, meanwhile);
            let found = crossfade_reconcile::Verified {
                rows: 3,
                differences: 0,
                pending: 0,
                snapshot: Snapshot::first(Phase::NewPrimary),
                bypasses: begun,
            };
            let ended = Ledger::verified(journal, &table, Direction::Reverse, found);
            ended.await.unwrap();
            journal.state().table(&reverse).bypassed
        };
        walk(&journal, &[3, 4, 5]);
        assert!(verify(&journal, &[5, 6]).await.is_some());
        let known = journal.state().table(&reverse);
        assert_eq!(known.verified, None, "6 asks for a verify that began in 6");
        assert_eq!(verify(&journal, &[]).await, None);
        assert!(verify(&journal, &[6, 5]).await.is_some());
        assert_eq!(verify(&journal, &[]).await, None);
    }

    /// Where the move was forced: what the new store has beyond the old one's rows no forward verify of 5 sees.
    #[test]
    fn trap_38_the_old_store_has_every_row_only_of_a_new_store_that_was_trusted() {
        let reverse = reverse_name(&table());
        for differences in [None, Some(2), Some(0)] {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            walk(&journal, &[2, 3]);
            if let Some(differences) = differences {
                verified(&journal, "public.orders");
                let change = |known: &mut TableState| {
                    let found = known.verified.as_mut().unwrap();
                    found.differences = differences;
                };
                journal
                    .state()
                    .update_table("public.orders", change)
                    .unwrap();
            }
            walk(&journal, &[3, 4, 5]);
            let is_trusted = journal.state().table(&reverse).bypassed.is_none();
            assert_eq!(is_trusted, differences == Some(0), "{differences:?}");
        }
    }
}
