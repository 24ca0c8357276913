//! The orders of events that fall between the steps of a pin: too narrow to be met by running threads.

use crossfade_phase::Phase;

use super::{Closed, Point};
use crate::{Gate, Snapshot, epoch::Word};

/// Both ways over the barrier.
const WAYS: [(Phase, Phase); 2] = [
    (Phase::DualRead, Phase::NewPrimary),
    (Phase::NewPrimary, Phase::DualRead),
];

/// Lets `event` happen on the gate when the pin of a session is at `point`.
fn pin_with(gate: &Gate, point: Point, event: impl Fn(&Gate)) -> (Result<Snapshot, Closed>, usize) {
    let mut slot = gate.slot("racer");
    let pinned = slot.try_pin_past(|at| {
        if at == point {
            event(gate);
        }
    });
    let left = gate.pinned().len();
    assert_eq!(slot.held(), pinned.ok());
    (pinned, left)
}

fn close(gate: &Gate) {
    gate.0.set(Word::closed(gate.current()));
}

#[test]
fn trap_37_looked_then_closed_and_scanned_then_published_backs_out() {
    for (from, _) in WAYS {
        let gate = Gate::new(Snapshot::first(from));
        let event = |gate: &Gate| {
            close(gate);
            let limit = gate.current().epoch.next();
            assert!(
                gate.0.pinned_before(limit).is_empty(),
                "the scan sees nobody"
            );
        };
        assert_eq!(pin_with(&gate, Point::Looked, event), (Err(Closed), 0));
    }
}

#[test]
fn trap_37_published_then_closed_is_seen_by_the_scan_and_backs_out() {
    for (from, _) in WAYS {
        let gate = Gate::new(Snapshot::first(from));
        let event = |gate: &Gate| {
            close(gate);
            let limit = gate.current().epoch.next();
            assert_eq!(
                gate.0.pinned_before(limit).len(),
                1,
                "the scan sees the pin"
            );
        };
        assert_eq!(pin_with(&gate, Point::Published, event), (Err(Closed), 0));
    }
}

#[test]
fn trap_36_a_flip_published_between_the_steps_is_what_gets_pinned() {
    for (from, to) in WAYS {
        for point in [Point::Looked, Point::Published] {
            let gate = Gate::new(Snapshot::first(from));
            let next = gate.current().next(to);
            let event = |gate: &Gate| gate.0.set(Word::open(next));
            assert_eq!(pin_with(&gate, point, event), (Ok(next), 1));
        }
    }
}

#[test]
fn a_flip_called_off_between_the_steps_changes_nothing() {
    for (from, _) in WAYS {
        for point in [Point::Looked, Point::Published] {
            let gate = Gate::new(Snapshot::first(from));
            let current = gate.current();
            let event = |gate: &Gate| {
                close(gate);
                gate.0.set(Word::open(current));
            };
            assert_eq!(pin_with(&gate, point, event), (Ok(current), 1));
        }
    }
}
