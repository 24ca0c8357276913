//! All 64 pairs of phases.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crossfade_toggle::{IllegalMove, Move, Phase};
use proptest::prelude::*;

/// DESIGN 2's moves, written out: row = from 1 to 8, column = to 1 to 8.
const LEGAL: [&str; 8] = [
    // 12345678
    ".x......", // 1
    "x.x.....", // 2
    "xx.x....", // 3: back freely
    "xxx.xx..", // 4: back freely, and 4 → 6
    "...x.x..", // 5
    "....x.x.", // 6
    ".....x.x", // 7
    "......x.", // 8
];

/// Moves that need the barrier.
const BARRIER: [(u8, u8); 5] = [(4, 5), (5, 4), (4, 6), (7, 8), (8, 7)];

fn legal(from: Phase, to: Phase) -> bool {
    LEGAL[usize::from(from.number()) - 1].as_bytes()[usize::from(to.number()) - 1] == b'x'
}

fn pairs() -> impl Iterator<Item = (Phase, Phase)> {
    Phase::ALL
        .into_iter()
        .flat_map(|from| Phase::ALL.into_iter().map(move |to| (from, to)))
}

#[test]
fn every_pair_is_a_move_or_not_as_the_table_says() {
    for (from, to) in pairs() {
        let answer = Move::new(from, to);
        assert_eq!(answer.is_ok(), legal(from, to), "{from} → {to}");
        if let Ok(step) = answer {
            assert_eq!((step.from(), step.to()), (from, to));
            assert_eq!(step.is_forward(), to > from);
        }
    }
}

#[test]
fn the_same_phase_is_no_move() {
    for phase in Phase::ALL {
        assert_eq!(Move::new(phase, phase), Err(IllegalMove::NoMove(phase)));
    }
}

#[test]
fn trap_37_phases_that_must_not_overlap_have_a_barrier_between_them() {
    for (from, to) in pairs() {
        if let Ok(step) = Move::new(from, to) {
            let pair = (from.number(), to.number());
            assert_eq!(step.needs_barrier(), BARRIER.contains(&pair), "{step}");
            assert_eq!(
                step.changes_primary(),
                from.primary() != to.primary(),
                "{step}"
            );
        }
    }
}

#[test]
fn only_ways_back_with_the_old_store_as_primary_are_free() {
    let free: Vec<(u8, u8)> = pairs()
        .filter_map(|(from, to)| Move::new(from, to).ok())
        .filter(|step| step.is_free())
        .map(|step| (step.from().number(), step.to().number()))
        .collect();
    assert_eq!(free, [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3)]);
}

#[test]
fn trap_39_a_skipped_phase_is_refused_with_the_next_step_and_the_way() {
    for (from, to) in pairs() {
        let Err(illegal @ IllegalMove::TooFar { .. }) = Move::new(from, to) else {
            continue;
        };
        let path = illegal.path();
        assert_eq!(path.last(), Some(&to), "the way ends where it should");
        let mut at = from;
        for step in &path {
            assert!(legal(at, *step), "{from} → {to}: {at} → {step}");
            at = *step;
        }
        let next = illegal.next().unwrap();
        assert!(illegal.legal().contains(&next));
        assert!(illegal.to_string().contains(next.name()), "{illegal}");
    }
}

#[test]
fn messages_read_well() {
    let forward = Move::new(Phase::DualWrite, Phase::NewOnly).unwrap_err();
    assert_eq!(
        forward.to_string(),
        "no step leads from dual-write (3) to new-only (8): the next step is dual-read (4), the way is 3 → 4 → 5 → 6 → 7 → 8"
    );
    let back = Move::new(Phase::Backfill, Phase::DeployNew).unwrap_err();
    assert_eq!(
        back.to_string(),
        "no step leads from backfill (7) to deploy-new (1): the next step is new-writes (6), the way is 7 → 6 → 5 → 4 → 1"
    );
    assert_eq!(
        Move::new(Phase::UseOld, Phase::DualWrite)
            .unwrap()
            .to_string(),
        "use-old (2) → dual-write (3)"
    );
}

#[test]
fn the_legal_steps_from_a_phase_are_listed_forward_first() {
    let from_4: Vec<u8> = Move::all_from(Phase::DualRead)
        .map(|step| step.to().number())
        .collect();
    assert_eq!(from_4, [5, 6, 3, 2, 1]);
}

proptest! {
    /// Wherever a walk of legal moves leads, there is a way back to phase 1, and one on to phase 8.
    #[test]
    fn there_is_always_a_way_on_and_a_way_back(choices in prop::collection::vec(0usize..8, 0..40)) {
        let mut at = Phase::DeployNew;
        for choice in choices {
            let steps: Vec<Move> = Move::all_from(at).collect();
            at = steps[choice % steps.len()].to();
        }
        for end in [Phase::DeployNew, Phase::NewOnly] {
            let mut walker = at;
            let mut steps = 0;
            while walker != end {
                walker = match Move::new(walker, end) {
                    Ok(step) => step.to(),
                    Err(illegal) => illegal.next().unwrap(),
                };
                steps += 1;
                prop_assert!(steps <= 7);
            }
        }
    }
}
