//! Makes a move durable, with what it does to the standing of the tables (trap 38).

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
        for (name, change) in tables.iter().flat_map(|table| standing_after(table, step)) {
            change.apply(known.entry(name).or_default());
        }
    })?;
    crash::at(Point::FlipMarked);
    journal.state().set_phase(toggle, step.to(), why(basis))
}

/// What a move does to what is on record of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
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
    pub(crate) fn apply(&self, known: &mut TableState) {
        match self {
            Change::Bypassed(reason) => known.bypassed = Some(reason.clone()),
            Change::Outdated(reason) => {
                (known.verified, known.bypassed) = (None, Some(reason.clone()))
            }
            Change::InStep => *known = TableState::default(),
            // Nobody can delete in a table that is not complete (docs/decision/11).
            Change::Unseen => known.deleted_unseen |= known.is_complete(),
            Change::Seen => known.deleted_unseen = false,
        }
    }
}

/// What a move does to the records of a table, by their names.
pub(crate) fn standing_after(table: &TableMap, step: Move) -> Vec<(String, Change)> {
    let forward = [forward(step), deletes(step)].into_iter().flatten();
    let forward = forward.map(|change| (table.old.name.to_string(), change));
    let reverse = reverse(step).map(|change| (reverse_name(table), change));
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

/// The old store misses writes from phase 6 on, and until the way back to 5 is effective.
fn reverse(step: Move) -> Option<Change> {
    let written = |phase: Phase| phase.primary() == Side::Old || phase == Phase::NewPrimary;
    match (step.from(), step.to()) {
        // Inside the barrier and with an empty journal: the old store has every row.
        (Phase::DualRead, Phase::NewPrimary) => Some(Change::InStep),
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
    use crossfade_store::{Relation, TableId};

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
}
