//! Holes that the model has found in the code as it stands. Each test shows the way into one, and that a cure closes it. When the code has
//! the cure, the test is one of a seeded fault like the others.

use crossfade_model::{
    is_needed,
    protocol::{Bounds, Faults, Kind, Protocol},
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
