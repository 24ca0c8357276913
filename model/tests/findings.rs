//! Holes that the model has found in the code as it stands. Each test shows the way into one, and that a cure closes it. When the code has
//! the cure, the test is one of a seeded fault like the others.

use crossfade_model::{
    is_needed,
    protocol::{Bounds, Copies, Faults, Kind, Protocol},
};
use crossfade_phase::Phase;

fn is_found(bounds: Bounds, take_out: impl FnOnce(&mut Faults)) {
    let mut faults = Faults::default();
    let model = |faults| Protocol {
        bounds: bounds.clone(),
        faults,
    };
    let whole = model(faults.clone());
    take_out(&mut faults);
    is_needed(whole, model(faults));
}

fn without_transactions() -> Bounds {
    Bounds {
        proxies: 1,
        writes: 1,
        mishaps: 2,
        secondary: Kind::WritesAtOnce,
        ..Bounds::default()
    }
}

/// A secondary without transactions holds no lock on what is staged there. A repair's delete, a sweep and a backfill's insert then land on top of a batch whose
/// primary has not committed, and their second look at the primary does not see it either.
///
/// Cure: before the second look, ask the journal whether an intent on the key is open; if so, repair it once more. Two proxies do not know each other's
/// intents: such a secondary takes one proxy.
#[test]
fn trap_08_a_batch_that_is_staged_where_nothing_is_locked() {
    is_found(without_transactions(), |faults| {
        faults.ignores_open_intents = true;
    });
    let sweeps = Bounds {
        sweeps: true,
        ..without_transactions()
    };
    is_found(sweeps, |faults| faults.ignores_open_intents = true);
    let copies = Bounds {
        mishaps: 0,
        copies: Copies::Everything,
        ..without_transactions()
    };
    is_found(copies, |faults| faults.ignores_open_intents = true);
}

/// A write that was given up after `secondary_timeout` may still be on its way to such a server (a frozen one reads its sockets when it is thawed) and land
/// behind the repair.
///
/// Cure: end the operation in the server, or wait for its end, before the key is repaired.
#[test]
fn trap_16_a_batch_that_was_given_up_and_arrives() {
    is_found(without_transactions(), |faults| {
        faults.given_up_batches_land = true;
    });
}

/// The answer to a secondary's asynchronous commit is lost, its key becomes dirty, the repair finds both rows alike (or both gone) and cleans it without writing anything: no flush
/// is waited for, and no intent is left to wait for one. A crash of the secondary then loses the row.
///
/// Cure: a repair that writes nothing makes the secondary flush before the key is clean.
#[test]
fn the_flush_before_a_repair_that_wrote_nothing_is_done() {
    let bounds = Bounds {
        writes: 1,
        mishaps: 2,
        secondary: Kind::Asynchronous,
        ..Bounds::default()
    };
    is_found(bounds, |faults| faults.trusts_unflushed_rows = true);
}

/// In phases 1 and 2 a client leaves in the middle of an autocommitted write. The server goes on with it, the session's pin is gone, and phase 3 is effective: the write
/// goes to the old store alone, behind backfill and verify.
///
/// Cure: 2 → 3 is effective when the old store's horizon of that moment has passed as well.
#[test]
fn trap_43_a_statement_of_phase_2_whose_client_is_gone() {
    let bounds = Bounds {
        writes: 1,
        flips: 1,
        phase: Phase::UseOld,
        last_phase: Phase::DualWrite,
        ..Bounds::default()
    };
    is_found(bounds, |faults| faults.forgets_the_abandoned = true);
}
